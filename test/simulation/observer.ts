import type { Session } from "sojourn";
import { CommitChecks } from "./commit-checks.ts";
import { Departures } from "./departures.ts";
import { MarkChecks } from "./mark-checks.ts";
import {
  isInForce,
  lastEpochOf,
  lasting,
  Model,
  type Ending,
  type RequestModel,
  type SessionModel,
  type TokenModel,
} from "./model.ts";
import { STORE_TIMEOUT, type Scenario } from "./scenario.ts";
import type { SharedStore } from "./shared-store.ts";
import { StoreEffects } from "./store-effects.ts";
import type { Timeline } from "./virtual-time.ts";

type Data = Record<string, unknown>;

/** A promise of the library that a schedule has broken. */
export class Breach extends Error {
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

/** The longest that an open may take. */
const LONGEST_OPEN = STORE_TIMEOUT + 1;

/**
 * Watches requests from the outside, keeps the model up to date, and compares what is seen with what was promised. This file
 * has what a request sees. What it writes, and what is stored of it, have files of their own.
 */
export class Observer {
  readonly model: Model;
  readonly marks = new MarkChecks(this);
  readonly commits = new CommitChecks(this);
  readonly effects = new StoreEffects(this);
  readonly departures = new Departures(this);
  readonly log: string[] = [];
  readonly breaches: Breach[] = [];
  readonly scenario: Scenario;
  readonly store: SharedStore;
  readonly #timeline: Timeline;
  /** Under way: a replay that is told may be theirs. */
  readonly #opening = new Set<RequestModel>();
  /** Requests that have called `signIn()`, by number. */
  readonly signedIn = new Set<number>();
  /** Those that have called `signOut()`. */
  readonly signingOut = new Set<RequestModel>();
  /** The actors of requests that are no sign of life. */
  readonly passiveActors = new Set<unknown>();
  /** Whether anything was answered with an error, or by nobody. */
  hasFailures = false;
  /** Whether a sign-in may have left a session whose token nobody has. */
  mayLeaveSessions = false;

  constructor(scenario: Scenario, timeline: Timeline, store: SharedStore) {
    this.scenario = scenario;
    this.store = store;
    this.#timeline = timeline;
    this.model = new Model(scenario);
  }

  get now(): number {
    return this.#timeline.now;
  }

  note(what: string): void {
    this.log.push(`${this.now.toFixed(0).padStart(6)} ms  ${what}`);
  }

  breach(invariant: string, detail: string): void {
    this.note(`BREACH ${invariant}: ${detail}`);
    this.breaches.push(new Breach(invariant, detail));
  }
  opens(request: RequestModel): void {
    request.openedAt = this.now;
    this.#opening.add(request);
  }

  /** A request's session was read. @param isProbe - it belongs to the observer, and is no part of the history. */
  opened(request: RequestModel, session: Session<Data>, isProbe = false): void {
    this.effects.learn();
    this.#opening.delete(request);
    const [began, now] = [request.openedAt, this.now];
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
      request.isPersonal = true;
      request.epoch = token.epoch;
      request.storedId = session.id;
      if (!isProbe) token.presentedAt = Math.min(token.presentedAt, began);
      this.marks.check(request, session);
      return;
    }
    this.note(`request ${request.number} does not get ${name}`);
    if (!this.excuse(token, now, [], began)) this.breach("signed out without a cause", `${name} is gone`);
    if (!isProbe) this.#mayBeReplay(request, token);
  }

  /** With two tokens that open different sessions the request is a visitor's. */
  #chooseToken(request: RequestModel, session: Session<Data>): void {
    const [began, now] = [request.openedAt, this.now];
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
    const now = this.now;
    if (!this.model.mayBeRotatedOut(token, now)) return;
    const ending: Ending = { kind: "replay", from: openedAt, epoch: undefined, ackedAt: undefined };
    const excuse = this.excuse(token, now, [], openedAt);
    if (excuse === "rotated out" && this.model.isRotatedOut(token, openedAt)) ending.ackedAt = now;
    token.session.endings.push(ending);
  }

  /** Whoever has asked may have come with a token that was rotated out. */
  #mayHaveReplayed({ presented, openedAt }: RequestModel): void {
    for (const token of presented) {
      if (this.model.mayBeRotatedOut(token, this.now))
        token.session.endings.push({ kind: "replay", from: openedAt, epoch: undefined, ackedAt: undefined });
    }
  }

  failedToOpen(request: RequestModel, code: string | undefined): void {
    this.effects.learn();
    this.#opening.delete(request);
    this.checkOutage(request, request.openedAt, code);
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
      const isReplay = (one: TokenModel) => one.session === session && this.model.mayBeRotatedOut(one, this.now);
      if (request.presented.some(isReplay)) return true;
    }
    return false;
  }

  /** The process died, or nobody waits any more. */
  lost(request: RequestModel): void {
    this.hasFailures = this.mayLeaveSessions = true;
    this.effects.learn();
    this.#opening.delete(request);
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "unknown";
    this.#mayHaveReplayed(request);
  }

  /** The signal of a connection aborts. */
  aborted({ number, token }: RequestModel): void {
    this.note(`the signal of connection ${number} aborts`);
    if (!token) return;
    const { session, epoch } = token;
    if (this.excuse(lasting(session, epoch), this.now)) return;
    this.breach("signal without a cause", `session ${this.short(session.id)} lives`);
  }

  /** Where a user is signed in, when nothing is under way any more. */
  listed(userId: string, ids: readonly string[]): void {
    const { limit } = this.scenario;
    for (const session of this.model.sessions.values()) {
      if (session.userId !== userId) continue;
      const last = session.tokens.reduce((highest, { epoch }) => Math.max(highest, epoch), 0);
      const isListed = ids.includes(session.id);
      if (isListed && this.model.verdict(lasting(session, lastEpochOf(session)), this.now))
        this.breach("list", `${this.short(session.id)} has ended`);
      if (!isListed && !this.excuse(lasting(session, last), this.now))
        this.breach("list", `${this.short(session.id)} is missing`);
    }
    const unknown = ids.find((id) => !this.model.sessions.has(id));
    if (unknown !== undefined && !this.mayLeaveSessions)
      this.breach("list", `${this.short(unknown)} is a session that nobody has a token of`);
    if (limit !== undefined && !this.hasFailures && ids.length > limit)
      this.breach("limit", `${userId} has ${ids.length} sessions, ${limit} at most`);
  }

  isEndedByOthers({ token, session, pending, epoch, openedAt }: RequestModel): boolean {
    if (session?.endings.some((one) => !pending.includes(one) && isInForce(one, openedAt))) return true;
    const held = token && (!session || token.session === session) ? token : session && lasting(session, epoch);
    return held !== undefined && this.excuse(held, this.now, pending, openedAt) !== undefined;
  }

  checkOutage(request: RequestModel, began: number, code: string | undefined): void {
    if (code !== "ERR_SESSION_STORE") return this.breach("unexpected error", `request ${request.number}: ${code}`);
    if (request.actor.faults.length > 0 || this.now - began >= STORE_TIMEOUT - 1) return;
    this.breach("failed without a cause", `request ${request.number} failed although the store was well`);
  }

  short(id: string): string {
    return id.slice(0, 4);
  }
}
