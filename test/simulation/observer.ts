import type { Session } from "sojourn";
import {
  isInForce,
  lasting,
  Model,
  NEVER,
  timeoutsOf,
  type Ending,
  type Mark,
  type RequestModel,
  type SessionModel,
  type TokenModel,
} from "./model.ts";
import { WRITES } from "./operations.ts";
import { STORE_TIMEOUT, type Scenario } from "./scenario.ts";
import type { Effect, SharedStore } from "./shared-store.ts";
import type { Actor, Timeline } from "./virtual-time.ts";

type Data = Record<string, unknown>;

/** A promise of the library that a schedule has broken. */
export class Breach extends Error {
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

/** The longest that an open and a commit may take: see `storeTimeout`. A failed commit takes back what it can. */
const LONGEST_OPEN = STORE_TIMEOUT + 1;
const LONGEST_COMMIT = 5 * STORE_TIMEOUT;

/** Watches requests from the outside, keeps the model up to date, and compares what is seen with what was promised. */
export class Observer {
  readonly model: Model;
  readonly log: string[] = [];
  readonly breaches: Breach[] = [];
  readonly #timeline: Timeline;
  readonly #store: SharedStore;
  readonly #scenario: Scenario;
  /** Under way: a replay that is told may be theirs. */
  readonly #opening = new Set<RequestModel>();
  /** Requests that have called `signIn()`, by number. */
  readonly signedIn = new Set<number>();
  /** Whether anything was answered with an error, or by nobody. */
  #hasFailures = false;
  /** Those that have called `signOut()`. */
  readonly signingOut = new Set<RequestModel>();
  #effectsSeen = 0;

  constructor(scenario: Scenario, timeline: Timeline, store: SharedStore) {
    this.#scenario = scenario;
    this.#timeline = timeline;
    this.#store = store;
    this.model = new Model(scenario);
  }

  get #now(): number {
    return this.#timeline.now;
  }

  note(what: string): void {
    this.log.push(`${this.#now.toFixed(0).padStart(6)} ms  ${what}`);
  }

  breach(invariant: string, detail: string): void {
    this.note(`BREACH ${invariant}: ${detail}`);
    this.breaches.push(new Breach(invariant, detail));
  }

  // Opening

  opens(request: RequestModel): void {
    request.openedAt = this.#now;
    this.#opening.add(request);
  }

  /** A request's session was read. @param isProbe - it belongs to the observer, and is no part of the history. */
  opened(request: RequestModel, session: Session<Data>, isProbe = false): void {
    this.#learnEffects();
    this.#opening.delete(request);
    const [began, now] = [request.openedAt, this.#now];
    if (now - began > LONGEST_OPEN)
      this.breach("bounded wait", `request ${request.number} was opened after ${now - began} ms`);
    if (request.presented.length > 1) this.#chooseToken(request, session);
    const { token } = request;
    if (!token) {
      if (!session.isNew || session.userId !== undefined)
        this.breach("forged token", "a request without a token of ours has a session");
      return;
    }
    const isLive = !session.isNew;
    const verdict = this.model.verdict(token, began);
    const name = `session ${this.short(token.session.id)} by token ${token.epoch}.${token.place}`;
    if (isLive) {
      if (session.id !== token.session.id) return this.breach("foreign session", `${name} opens ${session.id}`);
      if (verdict) return this.breach("invalid token", `${name} is open, which ended before: ${verdict}`);
      if (session.userId !== token.session.userId)
        return this.breach("user", `${name} belongs to ${session.userId}, not to ${token.session.userId}`);
      this.note(`request ${request.number} sees ${name}: ${JSON.stringify(Object.keys(session.data))}`);
      request.session = token.session;
      request.epoch = token.epoch;
      request.storedId = session.id;
      if (!isProbe) token.presentedAt = Math.min(token.presentedAt, began);
      this.#checkData(request, session);
      return;
    }
    this.note(`request ${request.number} does not get ${name}`);
    if (!this.excuse(token, now, [], began)) this.breach("signed out without a cause", `${name} is gone`);
    if (!isProbe) this.#mayBeReplay(request, token);
  }

  /** With two tokens that open different sessions the request is a visitor's. */
  #chooseToken(request: RequestModel, session: Session<Data>): void {
    const [began, now] = [request.openedAt, this.#now];
    const opens = request.presented.find((one) => one.session.id === session.id);
    const others = request.presented.filter((one) => one !== opens);
    if (!session.isNew && others.some((one) => one.session !== opens?.session && !this.excuse(one, now, [], began)))
      this.breach("two tokens", `request ${request.number} has one of two live sessions`);
    const isOnlyOne = (one: TokenModel) =>
      !this.excuse(one, now, [], began) &&
      request.presented.every((other) => other === one || this.model.verdict(other, began) !== undefined);
    if (session.isNew && request.presented.some(isOnlyOne))
      this.breach("signed out without a cause", `request ${request.number} has an invalid token beside a valid one`);
    request.token = opens;
    for (const one of others) this.#mayBeReplay(request, one);
  }

  /** A token that was rotated out came back: the other one of the two is a thief, or this one is. */
  #mayBeReplay({ openedAt }: RequestModel, token: TokenModel): void {
    const now = this.#now;
    if (!this.model.mayBeRotatedOut(token, now)) return;
    const ending: Ending = { kind: "replay", from: openedAt, epoch: undefined, ackedAt: undefined };
    const excuse = this.excuse(token, now, [], openedAt);
    if (excuse === "rotated out" && this.model.isRotatedOut(token, openedAt)) ending.ackedAt = now;
    token.session.endings.push(ending);
  }

  /** Whoever has asked may have come with a token that was rotated out. */
  #mayHaveReplayed({ presented, openedAt }: RequestModel): void {
    for (const token of presented) {
      if (this.model.mayBeRotatedOut(token, this.#now))
        token.session.endings.push({ kind: "replay", from: openedAt, epoch: undefined, ackedAt: undefined });
    }
  }

  failedToOpen(request: RequestModel, code: string | undefined): void {
    this.#learnEffects();
    this.#opening.delete(request);
    this.#checkOutage(request, request.openedAt, code);
    this.#mayHaveReplayed(request);
  }

  /** The library says that a rotated token came back. */
  replayed(id: string): void {
    const session = this.model.sessions.get(id);
    if (!session) return;
    if (this.#isReplaying(session)) return;
    this.breach("false alarm", `a replay in session ${this.short(id)} was reported that was none`);
  }

  /** As the model knows it, and by requests that have come and are not opened yet. */
  excuse(token: TokenModel, now: number, own?: readonly Ending[], began?: number): string | undefined {
    return this.model.excuse(token, now, own, began) ?? (this.#isReplaying(token.session) ? "replay" : undefined);
  }

  #isReplaying(session: SessionModel): boolean {
    for (const request of this.#opening) {
      const isReplay = (one: TokenModel) => one.session === session && this.model.mayBeRotatedOut(one, this.#now);
      if (request.presented.some(isReplay)) return true;
    }
    return false;
  }

  /** The signal of a connection aborts. */
  aborted({ number, token }: RequestModel): void {
    this.note(`the signal of connection ${number} aborts`);
    if (!token) return;
    const { session, epoch } = token;
    if (this.excuse(lasting(session, epoch), this.#now)) return;
    this.breach("signal without a cause", `session ${this.short(session.id)} lives`);
  }

  #checkData(request: RequestModel, session: Session<Data>): void {
    const { model } = this;
    const data = session.data;
    for (const mark of model.marks) {
      if (mark.write === "flash") continue;
      const write = WRITES[mark.write]!;
      const count = write.count(data, mark.name);
      this.#compare(mark, count, request, write.key(mark.name), write.isReplaceable);
    }
  }

  #compare(mark: Mark, count: number, request: RequestModel, key: string, isReplaceable = false): void {
    const session = request.session!;
    const expected = this.model.expectation(mark, session, { began: request.openedAt, ended: this.#now }, key);
    const where = `${mark.write} by request ${mark.request.number} (${mark.state}) in session ${this.short(session.id)}`;
    if (expected === "must" && count === 0 && !isReplaceable) this.breach("lost update", `${where} is not there`);
    if (expected === "never" && count > 0) this.breach("update that may not be there", where);
    // Whoever saves again after a failure that told nothing may have it stored twice.
    if (count > 1 && !mark.request.hasFailed) this.breach("update stored twice", where);
  }

  // What a handler does

  mark(request: RequestModel, write: string, session: Session<Data>): Mark {
    const name = `${request.number}.${request.marks.length}`;
    const mark: Mark = {
      name,
      write,
      request,
      homes: new Set([session.id]),
      state: "pending",
      ackedAt: NEVER,
      removals: [],
    };
    if (request.session && !request.hasSignedOut) mark.homes.add(request.session.id);
    request.marks.push(mark);
    this.model.marks.push(mark);
    return mark;
  }

  removes(request: RequestModel, mark: Mark): void {
    // Nothing of it will ever be stored.
    if (mark.request === request && mark.state === "pending") return void (mark.state = "dropped");
    const removal = { from: this.#now, ackedAt: undefined, request };
    mark.removals.push(removal);
    request.removed.push(removal);
  }

  /** Flashes that a handler was given. */
  took(request: RequestModel, messages: readonly string[]): void {
    for (const mark of this.model.marks) {
      if (mark.write !== "flash") continue;
      const count = messages.filter((one) => one === mark.name).length;
      const isOwn = mark.request === request;
      const takenBefore = mark.removals.some((one) => one.request === request);
      if (takenBefore && count > 0 && !request.hasFailed) this.breach("flash shown twice", `flash ${mark.name}`);
      if (!isOwn && !takenBefore) {
        if (request.session && !request.hasSignedOut && !request.signIn && !request.hasFailed)
          this.#compare(mark, count, request, "flash");
        else if (count > 0 && !request.session) this.breach("foreign flash", `flash ${mark.name}`);
      }
      if (count > 0) this.removes(request, mark);
    }
  }

  /** The handler has asked for something that ends its session, or its token. */
  ends(request: RequestModel, kind: Ending["kind"]): void {
    if (kind === "sign-in") this.signedIn.add(request.number);
    const { session } = request;
    if (!session || request.hasSignedOut) return;
    const endsAll = kind === "sign-out";
    const ending: Ending = { kind, from: this.#now, epoch: endsAll ? undefined : request.epoch, ackedAt: undefined };
    session.endings.push(ending);
    request.pending.push(ending);
  }

  /** What a request has done before it signs out is forgotten. */
  forgets(request: RequestModel): void {
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "dropped";
    request.removed = [];
    request.signIn = undefined;
    request.actor.isSigningIn = false;
    request.isRotating = false;
    request.actor.rotation = undefined;
    request.hasSignedOut = true;
    this.signingOut.add(request);
  }

  /** A handler saves, and tries again what the last call has failed to do. */
  saves(request: RequestModel): void {
    const { setAside } = request;
    if (!setAside) return;
    request.signIn ??= setAside.signIn;
    for (const ending of setAside.endings) {
      ending.takenBackAt = undefined;
      request.pending.push(ending);
    }
    // What the first attempt may have left counts for the limit until it is deleted.
    if (setAside.signIn) request.signInCall = this.model.signsIn(setAside.signIn.userId, this.#now);
    request.actor.isSigningIn = request.signIn !== undefined;
    request.hasSignedOut ||= setAside.hasSignedOut;
    request.isRotating ||= setAside.isRotating;
    request.actor.rotation = request.isRotating ? {} : undefined;
    for (const mark of setAside.marks) mark.state = "pending";
    request.setAside = undefined;
  }

  /** A connection forgets what it has not saved. */
  reloads(request: RequestModel): void {
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "dropped";
    for (const mark of this.model.marks) mark.removals = mark.removals.filter((one) => !request.removed.includes(one));
    request.removed = [];
  }

  /** A connection has read its session anew. */
  reloaded(request: RequestModel, session: Session<Data>, began: number): void {
    const { token } = request;
    this.#learnEffects();
    if (!token || !request.session) return;
    const any = lasting(token.session, token.epoch);
    if (session.isNew) {
      request.session = undefined;
      if (!this.excuse(any, this.#now, [], began))
        this.breach("signed out without a cause", `connection ${request.number}`);
      return;
    }
    const verdict = this.model.verdict(any, began);
    if (verdict)
      return this.breach("invalid token", `connection ${request.number} goes on, which ended before: ${verdict}`);
    request.openedAt = began;
    this.#checkData(request, session);
    if (this.#now - began < STORE_TIMEOUT - 5) this.#sees(request, began);
  }

  // Storing

  /** What a request has asked for was stored, or there was nothing to store. */
  stored(request: RequestModel, session: Session<Data>, began: number): void {
    this.#learnEffects();
    const now = this.#now;
    this.#confirm(request);
    if (now - began > LONGEST_COMMIT)
      this.breach("bounded wait", `request ${request.number} was stored after ${now - began} ms`);
    const written = request.marks.filter(({ state }) => state === "pending");
    const { isNew, id } = session;
    if (request.signIn && !request.hasFailed && isNew) this.#signInWasDropped(request);
    if (!isNew) this.#know(request, id, began);
    for (const mark of written) {
      if (isNew) this.#dropped(request, mark);
      else {
        mark.homes.clear();
        mark.homes.add(id);
        mark.state = this.#mayBeStripped(request, mark) ? "unknown" : "acknowledged";
        mark.ackedAt = now;
      }
    }
    if (written.some(({ state }) => state === "acknowledged") && !isNew && !this.#hasEffect(request)) {
      this.breach("response before its save", `request ${request.number} was told that all is stored`);
    }
    // A session that did not take the data along has nothing to remove.
    const goesOn = !isNew && (request.session?.request !== request || request.session.isHeir);
    if (goesOn) for (const removal of request.removed) removal.ackedAt = now;
    request.removed = [];
    for (const ending of request.pending) if (!isNew || ending.kind === "sign-out") ending.ackedAt = now;
    request.pending = [];
    const known = isNew ? undefined : this.model.sessions.get(id);
    request.owesCookie = known !== undefined && (request.owesCookie || known.request === request || request.isRotating);
    if (request.signIn && request.signInCall) request.signInCall.doneAt = now;
    if (known && known === request.session && !request.isPassive && now - began < STORE_TIMEOUT - 5)
      this.#sees(request, began);
    if (isNew) request.session = undefined;
    else request.storedId = id;
    if (!isNew && request.isRotating && known === request.session) request.epoch++;
    request.isRotating = false;
    request.actor.rotation = undefined;
    request.signIn = undefined;
    request.actor.isSigningIn = false;
  }

  /** Storing failed, and the client, or the handler, was told. */
  failed(request: RequestModel, code: string | undefined, began: number): void {
    this.#hasFailures = true;
    this.#learnEffects();
    const isRefused = code === "ERR_SESSION_SUPERSEDED" || code === "ERR_SESSION_CONFLICT";
    this.note(`request ${request.number} fails: ${code}`);
    if (code === "ERR_SESSION_SUPERSEDED") {
      const { session } = request;
      const isExcused = session?.endings.some(
        (one) =>
          (one.kind === "sign-in" || one.kind === "rotate") &&
          !request.pending.includes(one) &&
          isInForce(one, request.openedAt),
      );
      if (!isExcused) this.breach("refused without a cause", `request ${request.number} was superseded by nobody`);
    } else if (code !== "ERR_SESSION_STORE") {
      this.breach("unexpected error", `request ${request.number}: ${code}`);
    } else this.#checkOutage(request, began, code);
    if (this.#now - began > LONGEST_COMMIT)
      this.breach("bounded wait", `request ${request.number} failed after ${this.#now - began} ms`);
    const marks = request.marks.filter(({ state }) => state === "pending");
    for (const mark of marks) mark.state = isRefused && !request.hasFailed ? "refused" : "unknown";
    request.hasFailed = true;
    const { signIn, hasSignedOut, isRotating, setAside } = request;
    const isMove = request.session !== undefined && !hasSignedOut;
    this.#takesBack(request, began);
    request.setAside = {
      signIn,
      hasSignedOut,
      isRotating,
      isMove,
      marks: [...(setAside?.marks ?? []), ...marks],
      endings: [...(setAside?.endings ?? []), ...request.pending],
    };
    request.signIn = undefined;
    request.actor.isSigningIn = false;
    request.hasSignedOut = request.isRotating = false;
    request.actor.rotation = undefined;
    request.pending = [];
    request.removed = [];
  }

  /**
   * After a single error of the store, and with time left, the library takes back what it has done: the session goes on as
   * if nothing had happened. Nothing is promised where others wanted to end it at the same moment.
   */
  #takesBack({ pending, session, actor, openedAt }: RequestModel, began: number): void {
    const [fault, another] = actor.faults;
    const isInTime = this.#now - began < STORE_TIMEOUT - 1;
    if (!session || another || !fault?.startsWith("fails") || !isInTime) return;
    const from = Math.min(...pending.map((one) => one.from));
    if (session.endings.some((one) => !pending.includes(one) && isInForce(one, from))) return;
    const isDeleted = this.#store.effects.some(
      (one) => one.id === session.id && one.operation === "delete" && one.at >= openedAt,
    );
    if (isDeleted) return;
    for (const ending of pending) ending.takenBackAt = this.#now;
  }

  /** The process died, or nobody waits any more. */
  lost(request: RequestModel): void {
    this.#hasFailures = true;
    this.#learnEffects();
    this.#opening.delete(request);
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "unknown";
    this.#mayHaveReplayed(request);
  }

  /** Where a user is signed in, when nothing is under way any more. */
  listed(userId: string, ids: readonly string[]): void {
    const { limit } = this.#scenario;
    for (const session of this.model.sessions.values()) {
      if (session.userId !== userId) continue;
      const last = session.tokens.reduce((highest, { epoch }) => Math.max(highest, epoch), 0);
      // A rotate() that failed may have left it a token that nobody has.
      const unknown = session.endings.filter(({ kind, ackedAt }) => kind === "rotate" && ackedAt === undefined).length;
      const isListed = ids.includes(session.id);
      if (isListed && this.model.verdict(lasting(session, last + unknown), this.#now))
        this.breach("list", `${this.short(session.id)} has ended`);
      if (!isListed && !this.excuse(lasting(session, last), this.#now))
        this.breach("list", `${this.short(session.id)} is missing`);
    }
    if (limit !== undefined && !this.#hasFailures && ids.length > limit)
      this.breach("limit", `${userId} has ${ids.length} sessions, ${limit} at most`);
  }

  /**
   * A change in place of what was there before a sign-in goes with that, where it does not come along. One of what save()
   * has failed to store has nothing to be in.
   */
  #mayBeStripped(request: RequestModel, { write }: Mark): boolean {
    const { session } = request;
    if (request.hasFailed && WRITES[write]?.isInPlace) return true;
    if (session?.request !== request || !session.former || !WRITES[write]?.isInPlace) return false;
    return (
      !session.isHeir || session.isUncertain || session.keep !== undefined || session.former.userId !== session.userId
    );
  }

  #dropped(request: RequestModel, mark: Mark): void {
    mark.state = "dropped";
    const { token, hasFailed } = request;
    if (hasFailed || request.hasSignedOut) return;
    if (token && !this.isEndedByOthers(request))
      this.breach("dropped without a cause", `what request ${request.number} wrote`);
  }

  #signInWasDropped(request: RequestModel): void {
    const { session, number, signIn } = request;
    if (!this.isEndedByOthers(request) || session?.userId !== signIn?.userId)
      this.breach("dropped without a cause", `the sign-in of request ${number}`);
  }

  isEndedByOthers({ token, session, pending, epoch, openedAt }: RequestModel): boolean {
    if (session?.endings.some((one) => !pending.includes(one) && isInForce(one, openedAt))) return true;
    const held = token && (!session || token.session === session) ? token : session && lasting(session, epoch);
    return held !== undefined && this.excuse(held, this.#now, pending, openedAt) !== undefined;
  }

  /** A session was stored under this id. */
  #know(request: RequestModel, id: string, began: number): void {
    if (this.model.sessions.has(id)) return;
    const { session, signIn, hasSignedOut } = request;
    const former = hasSignedOut ? undefined : session;
    const created = this.#store.effects.filter((one) => one.id === id && one.operation === "create");
    if (created.length === 0) return this.breach("response before its save", `session ${this.short(id)} is not stored`);
    const isUncertain = this.#store.effects.some(
      (one) => one.id === former?.id && one.operation === "delete" && one.isSigningIn,
    );
    const known: SessionModel = {
      id,
      userId: signIn?.userId,
      former,
      isHeir: former !== undefined && (isUncertain || this.#hasMoved(former.id, request.actor)),
      isUncertain,
      keep: signIn?.keep,
      ...timeoutsOf(signIn?.isRemembered ?? false),
      request,
      signInCall: signIn && request.signInCall,
      ackedAt: this.#now,
      endings: [],
      tokens: [],
      seen: { certain: began, possible: this.#now },
      began: {
        earliest: former && former.userId === undefined && !signIn ? former.began.earliest : began,
        latest: this.#now,
      },
    };
    this.model.sessions.set(id, known);
    this.note(
      `request ${request.number} has stored session ${this.short(id)} of ${known.userId}` +
        (former ? `, which was ${this.short(former.id)}${known.isHeir ? ", with its data" : ""}` : ""),
    );
    // From now on this request goes on with that session.
    request.session = known;
    request.epoch = 0;
    request.isRotating = false;
    request.hasSignedOut = false;
  }

  /** Of several sign-ins at once the one that replaced the former session's record takes its data along. */
  #hasMoved(id: string, actor: Actor): boolean {
    let mover: Actor | undefined;
    let newcomer: Actor | undefined;
    let rotation: Effect | undefined;
    for (const effect of this.#store.effects) {
      if (effect.id !== id) continue;
      if (effect.operation === "create" && effect.isSigningIn) newcomer = effect.actor;
      // The sign-in that the session began with.
      if (effect.actor === newcomer) continue;
      if (effect.operation !== "update") continue;
      // A second write of the same rotate() takes back the first.
      if (effect.rotation) rotation = rotation?.rotation === effect.rotation ? undefined : effect;
      if (!effect.isSigningIn) continue;
      // A sign-in that meets another request's rotate() only keeps that from being taken back.
      if (rotation && rotation.actor !== effect.actor && rotation.at >= effect.actor!.beganAt) continue;
      // A second write of the same sign-in takes back the first.
      mover = mover === undefined ? effect.actor : mover === effect.actor ? undefined : mover;
    }
    return mover === actor;
  }

  /** A sign of life is certain where nothing went wrong. What has ended by then is not touched any more. */
  #sees({ actor, session, token }: RequestModel, at: number): void {
    if (!session || actor.faults.length > 0) return;
    if (token?.session === session && this.excuse(lasting(session, token.epoch), this.#now)) return;
    session.seen.certain = Math.max(session.seen.certain, at);
  }

  #hasEffect({ actor }: RequestModel): boolean {
    return this.#store.effects.some(
      (one) => one.actor === actor && (one.operation === "create" || one.operation === "update"),
    );
  }

  /** A request has replaced its session's record: its token is one that the record knows by now, if nothing was taken back. */
  #confirm({ token, actor, hasFailed }: RequestModel): void {
    if (!token || hasFailed || token.confirmedAt !== NEVER) return;
    const effect = this.#store.effects.find(
      (one) => one.actor === actor && one.id === token.session.id && one.operation === "update",
    );
    if (effect) token.confirmedAt = effect.at;
  }

  /** Signs of life that are possible: whatever was written by a request that is none is not one. */
  #learnEffects(): void {
    const { effects } = this.#store;
    for (const id of this.#store.brokenTouches) this.breach("touch", `session ${this.short(id)} is shortened by one`);
    for (; this.#effectsSeen < effects.length; this.#effectsSeen++) this.#learn(effects[this.#effectsSeen]!);
  }

  readonly passiveActors = new Set<unknown>();

  #learn({ id, operation, actor, calledAt, expiresAt, clock }: Effect): void {
    const session = this.model.sessions.get(id);
    if (!session || operation === "delete" || expiresAt === undefined) return;
    if (this.passiveActors.has(actor) && session.request.actor !== actor) return;
    session.seen.possible = Math.max(session.seen.possible, calledAt);
    if (expiresAt > clock + session.idle + this.#scenario.skew)
      this.breach("timeout too late", `session ${this.short(id)} is extended by ${expiresAt - clock} ms`);
  }

  #checkOutage(request: RequestModel, began: number, code: string | undefined): void {
    if (code !== "ERR_SESSION_STORE") return this.breach("unexpected error", `request ${request.number}: ${code}`);
    if (request.actor.faults.length > 0 || this.#now - began >= STORE_TIMEOUT - 1) return;
    this.breach("failed without a cause", `request ${request.number} failed although the store was well`);
  }

  short(id: string): string {
    return id.slice(0, 4);
  }
}
