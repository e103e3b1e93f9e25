import type { Session } from "sojourn";
import { isInForce, lasting, timeoutsOf, type Ending, type RequestModel, type SessionModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import { STORE_TIMEOUT } from "./scenario.ts";

type Data = Record<string, unknown>;

/**
 * The longest that a commit may take. A failed one has a quarter of `storeTimeout` more, to take back what it can. A response
 * with the cookie of an earlier `save()` reads that session once more.
 */
const LONGEST_COMMIT = 2.25 * STORE_TIMEOUT;

/** Compares what handlers ask for, and what is stored of it, with what was promised. */
export class CommitChecks {
  readonly #observer: Observer;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  /** The handler has asked for something that ends its session, or its token. */
  ends(request: RequestModel, kind: Ending["kind"]): void {
    if (kind === "sign-in") this.#observer.signedIn.add(request.number);
    const { session } = request;
    request.needsCookie = true;
    if (!session || request.hasSignedOut) return;
    const endsAll = kind === "sign-out";
    const ending: Ending = {
      kind,
      from: this.#observer.now,
      epoch: endsAll ? undefined : request.epoch,
      ackedAt: undefined,
    };
    session.endings.push(ending);
    request.pending.push(ending);
  }

  /** What a request has done before it signs out is forgotten. */
  forgets(request: RequestModel): void {
    // What a client had asked for that goes away is stored at once.
    const state = request.leftAt === undefined ? "dropped" : "unknown";
    for (const mark of request.marks) if (mark.state === "pending") mark.state = state;
    request.removed = [];
    // Nor does the next save() try again what the last one has failed to do.
    request.signIn = request.setAside = undefined;
    request.actor.isSigningIn = false;
    request.actor.isEnding = true;
    request.isRotating = false;
    request.actor.rotation = undefined;
    request.hasSignedOut = true;
    this.#observer.signingOut.add(request);
  }

  /** What begins with a sign-in or after a sign-out has an id that no session ever had. */
  hasNewId({ number }: RequestModel, { id }: Session<Data>): void {
    if (this.#observer.store.idsOfNew.has(id))
      this.#observer.breach("id used twice", `request ${number} goes on as ${this.#observer.short(id)}`);
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
    if (setAside.signIn) request.signInCall = this.#observer.model.signsIn(setAside.signIn.userId, this.#observer.now);
    request.actor.isSigningIn = request.signIn !== undefined;
    request.hasSignedOut ||= setAside.hasSignedOut;
    request.actor.isEnding = request.hasSignedOut;
    request.isRotating ||= setAside.isRotating;
    request.actor.rotation = request.isRotating ? {} : undefined;
    for (const mark of setAside.marks) if (mark.state !== "dropped") mark.state = "pending";
    request.setAside = undefined;
  }

  /** A connection forgets what it has not saved. */
  reloads(request: RequestModel): void {
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "dropped";
    for (const mark of this.#observer.model.marks)
      mark.removals = mark.removals.filter((one) => !request.removed.includes(one));
    request.removed = [];
  }

  /** A connection has read its session anew. */
  reloaded(request: RequestModel, session: Session<Data>, began: number): void {
    const { token } = request;
    this.#observer.effects.learn();
    if (!token || !request.session) return;
    const any = lasting(token.session, token.epoch);
    if (session.isNew) {
      request.session = undefined;
      if (!this.#observer.excuse(any, this.#observer.now, [], began))
        this.#observer.breach("signed out without a cause", `connection ${request.number}`);
      return;
    }
    const verdict = this.#observer.model.verdict(any, began);
    if (verdict)
      return this.#observer.breach(
        "invalid token",
        `connection ${request.number} goes on, which ended before: ${verdict}`,
      );
    request.openedAt = began;
    this.#observer.marks.check(request, session);
    if (this.#observer.now - began < STORE_TIMEOUT - 5) this.#sees(request, began);
  }

  /** What a request has asked for was stored, or there was nothing to store. */
  stored(request: RequestModel, session: Session<Data>, began: number): void {
    this.#observer.effects.learn();
    const now = this.#observer.now;
    this.#observer.effects.confirm(request);
    if (now - began > LONGEST_COMMIT)
      this.#observer.breach("bounded wait", `request ${request.number} was stored after ${now - began} ms`);
    const written = request.marks.filter(({ state }) => state === "pending");
    const { isNew, id } = session;
    if (request.signIn && !request.hasFailed && isNew) this.#signInWasDropped(request);
    // What it has stored is deleted, in the background if the store fails.
    if (request.signIn && isNew && request.actor.faults.length > 0) this.#observer.mayLeaveSessions = true;
    if (!isNew) this.#know(request, id, began);
    if (!isNew && written.length > 0) this.#mustLive(request, began);
    for (const mark of written) {
      if (isNew) this.#observer.marks.drop(request, mark);
      else {
        mark.homes.clear();
        mark.homes.add(id);
        mark.state = this.#observer.marks.mayBeStripped(request, mark) ? "unknown" : "acknowledged";
        mark.ackedAt = now;
      }
    }
    if (written.some(({ state }) => state === "acknowledged") && !isNew && !this.#observer.effects.hasEffect(request)) {
      this.#observer.breach("response before its save", `request ${request.number} was told that all is stored`);
    }
    // A session that did not take the data along has nothing to remove.
    const goesOn = !isNew && (request.session?.request !== request || request.session.isHeir);
    if (goesOn) for (const removal of request.removed) removal.ackedAt = now;
    request.removed = [];
    for (const ending of request.pending) if (!isNew || ending.kind === "sign-out") ending.ackedAt = now;
    request.pending = [];
    const known = isNew ? undefined : this.#observer.model.sessions.get(id);
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
    request.actor.isSigningIn = request.actor.isEnding = false;
  }

  /** What is written to a session that has ended before is not acknowledged. */
  #mustLive({ session, epoch, number, hasFailed }: RequestModel, began: number): void {
    // A handler that goes on after a failed save() has been told: its response may leave out the rest.
    const verdict = !hasFailed && session && this.#observer.model.verdict(lasting(session, epoch), began);
    if (verdict)
      this.#observer.breach("acknowledged too late", `request ${number} wrote to a session that is ${verdict}`);
  }

  /** Storing failed, and the client, or the handler, was told. */
  failed(request: RequestModel, code: string | undefined, began: number): void {
    const isFull = code === "ERR_SESSION_LIMIT";
    if (!isFull) this.#observer.hasFailures = true;
    this.#observer.effects.learn();
    const isRefused = isFull || code === "ERR_SESSION_SUPERSEDED" || code === "ERR_SESSION_CONFLICT";
    this.#observer.note(`request ${request.number} fails: ${code}`);
    if (code === "ERR_SESSION_SUPERSEDED") {
      const { session } = request;
      const isExcused = session?.endings.some(
        (one) =>
          (one.kind === "sign-in" || one.kind === "rotate") &&
          !request.pending.includes(one) &&
          isInForce(one, request.openedAt),
      );
      // A second save() may meet what the first, which ran out of time, has left of its rotate().
      if (!isExcused && !request.hasLeftovers)
        this.#observer.breach("refused without a cause", `request ${request.number} was superseded by nobody`);
    } else if (code === "ERR_SESSION_CONFLICT") {
      if (!request.isUnmerged || !this.#observer.effects.isByOthers(request))
        this.#observer.breach("refused without a cause", `request ${request.number} met no conflict`);
    } else if (isFull) this.#checkLimit(request, began);
    else if (code !== "ERR_SESSION_STORE") {
      this.#observer.breach("unexpected error", `request ${request.number}: ${code}`);
    } else this.#observer.checkOutage(request, began, code);
    if (this.#observer.now - began > LONGEST_COMMIT)
      this.#observer.breach("bounded wait", `request ${request.number} failed after ${this.#observer.now - began} ms`);
    const marks = request.marks.filter(({ state }) => state === "pending");
    for (const mark of marks) mark.state = isRefused && !request.hasFailed ? "refused" : "unknown";
    request.hasFailed = true;
    const { signIn, hasSignedOut, isRotating, setAside } = request;
    if (!this.#isOneErrorAtMost(request, began)) this.#observer.mayLeaveSessions = request.hasLeftovers = true;
    // What is not deleted at once is deleted in the background.
    else if (signIn && request.signInCall && !request.actor.faults.some(({ operation }) => operation === "delete"))
      request.signInCall.failedAt = this.#observer.now;
    const isMove = request.session !== undefined && !hasSignedOut;
    this.#takesBack(request, began, isFull);
    request.setAside = {
      signIn,
      hasSignedOut,
      isRotating,
      isMove,
      marks: [...(setAside?.marks ?? []), ...marks],
      endings: [...(setAside?.endings ?? []), ...request.pending],
    };
    request.signIn = undefined;
    request.actor.isSigningIn = request.actor.isEnding = false;
    request.hasSignedOut = request.isRotating = false;
    request.actor.rotation = undefined;
    request.pending = [];
    request.removed = [];
  }

  /**
   * After a single error of the store, or where the limit refuses, and with time left, the library takes back what it has done: the session goes on as
   * if nothing had happened. Nothing is promised where others wanted to end it at the same moment.
   */
  #takesBack(request: RequestModel, began: number, isFull: boolean): void {
    const { pending, session, openedAt } = request;
    const hasCause = isFull || request.actor.faults.length > 0;
    if (!session || !hasCause || !this.#isOneErrorAtMost(request, began)) return;
    // An earlier call of save() has left something.
    if (request.hasLeftovers) return;
    // One that spares this session may have ended the one that its user was signing in to.
    const { revokedUsers } = this.#observer.model;
    if (revokedUsers.some((one) => one.userId === request.signIn?.userId && one.until >= openedAt)) return;
    const from = Math.min(...pending.map((one) => one.from));
    if (session.endings.some((one) => !pending.includes(one) && isInForce(one, from))) return;
    const isDeleted = this.#observer.store.effects.some(
      (one) => one.id === session.id && one.operation === "delete" && one.at >= openedAt,
    );
    if (isDeleted) return;
    for (const ending of pending) ending.takenBackAt = this.#observer.now;
  }

  #isOneErrorAtMost({ actor }: RequestModel, began: number): boolean {
    const [fault, another] = actor.faults;
    const isInTime = this.#observer.now - began < STORE_TIMEOUT - 1;
    return another === undefined && fault?.outcome.startsWith("fails") !== false && isInTime;
  }

  /** A sign-in is refused only where the user has as many other sessions, or sign-ins that are under way. */
  #checkLimit({ signIn, signInCall, session, pending, number }: RequestModel, began: number): void {
    const isReplaced = session?.endings.every((one) => pending.includes(one)) === true;
    const isExcused =
      this.#observer.scenario.refuses &&
      signIn !== undefined &&
      this.#observer.model.mayBeFull(signIn.userId, signInCall, isReplaced ? session : undefined, began);
    if (!isExcused)
      this.#observer.breach("refused without a cause", `the sign-in of request ${number} was within the limit`);
  }

  #signInWasDropped(request: RequestModel): void {
    const { session, number, signIn } = request;
    if (!this.#observer.isEndedByOthers(request) || session?.userId !== signIn?.userId)
      this.#observer.breach("dropped without a cause", `the sign-in of request ${number}`);
  }

  /** A session was stored under this id. */
  #know(request: RequestModel, id: string, began: number): void {
    if (this.#observer.model.sessions.has(id)) return;
    const { session, signIn, hasSignedOut } = request;
    const former = hasSignedOut ? undefined : session;
    const created = this.#observer.store.effects.filter((one) => one.id === id && one.operation === "create");
    if (created.length === 0)
      return this.#observer.breach("response before its save", `session ${this.#observer.short(id)} is not stored`);
    const isUncertain = former !== undefined && this.#observer.store.finishedBySignIns.has(former.id);
    const known: SessionModel = {
      id,
      userId: signIn?.userId,
      former,
      isHeir: former !== undefined && (isUncertain || this.#observer.effects.hasMoved(former.id, request.actor)),
      isUncertain,
      keep: signIn?.keep,
      ...timeoutsOf(signIn?.isRemembered ?? false),
      request,
      signInCall: signIn && request.signInCall,
      ackedAt: this.#observer.now,
      endings: [],
      tokens: [],
      seen: { certain: began, possible: this.#observer.now },
      began: {
        earliest: former && former.userId === undefined && !signIn ? former.began.earliest : began,
        latest: this.#observer.now,
      },
    };
    this.#observer.model.sessions.set(id, known);
    this.#observer.note(
      `request ${request.number} has stored session ${this.#observer.short(id)} of ${known.userId}` +
        (former ? `, which was ${this.#observer.short(former.id)}${known.isHeir ? ", with its data" : ""}` : ""),
    );
    // From now on this request goes on with that session.
    request.session = known;
    request.epoch = 0;
    request.isRotating = false;
    request.hasSignedOut = false;
  }

  /** A sign of life is certain where nothing went wrong. What has ended by then is not touched any more. */
  #sees({ actor, session, token }: RequestModel, at: number): void {
    if (!session || actor.faults.length > 0) return;
    if (token?.session === session && this.#observer.excuse(lasting(session, token.epoch), this.#observer.now)) return;
    session.seen.certain = Math.max(session.seen.certain, at);
  }
}
