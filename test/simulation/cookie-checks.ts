import type { Session } from "sojourn";
import { lasting, NEVER, type RequestModel, type TokenModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import { EVERY, STORE_TIMEOUT, type Scenario } from "./scenario.ts";
import type { SharedStore } from "./shared-store.ts";
import type { Timeline } from "./virtual-time.ts";

/** Compares the cookies of responses with what was promised. */
export class CookieChecks {
  readonly #observer: Observer;
  readonly #scenario: Scenario;
  readonly #timeline: Timeline;
  readonly #store: SharedStore;

  constructor(observer: Observer, scenario: Scenario, timeline: Timeline, store: SharedStore) {
    this.#observer = observer;
    this.#scenario = scenario;
    this.#timeline = timeline;
    this.#store = store;
  }

  /** The response of a request sets the cookie. */
  issued(request: RequestModel, value: string, committedAt: number): void {
    if (this.#isSuperseded(request))
      this.#observer.breach("late cookie", `request ${request.number} may undo what invalidated its token`);
    const found = this.#observer.model.tokens.get(value);
    if (found) return this.#checkValidity(request, found, committedAt);
    const session = this.#observer.model.sessions.get(request.storedId ?? "");
    if (!session)
      return this.#observer.breach("unknown cookie", `request ${request.number} was handed a token of no session`);
    const { epoch } = request;
    const place = session.tokens.filter((one) => one.epoch === epoch).length;
    const token: TokenModel = { value, session, epoch, place, presentedAt: NEVER, confirmedAt: NEVER };
    this.#checkValidity(request, token, committedAt);
    if (place > 0 && !this.#scenario.rotates)
      this.#observer.breach("unknown cookie", "a token was replaced without rotation");
    session.tokens.push(token);
    this.#observer.model.tokens.set(value, token);
    this.#observer.note(
      `request ${request.number} is handed token ${epoch}.${place} of session ${this.#observer.short(session.id)}`,
    );
  }

  /** Browsers keep a cookie for as long as its session can last. */
  lasts(value: string, seconds: number): void {
    const token = this.#observer.model.tokens.get(value);
    if (!token) return;
    const { began, absolute, id } = token.session;
    const { skew } = this.#scenario;
    const [earliest, latest] = [began.earliest - skew, began.latest + skew + 20];
    const rest = absolute - this.#timeline.now;
    if (seconds * 1000 < earliest + rest || (seconds - 1) * 1000 > latest + rest)
      this.#observer.breach("lifetime of the cookie", `${seconds} s for session ${this.#observer.short(id)}`);
  }

  /** Shared caches must know whose a response is; no cache may keep one that sets a cookie, or an error. */
  caches({ number, isPersonal }: RequestModel, headers: Headers, isUnique: boolean): void {
    const [vary, control] = [headers.get("vary"), headers.get("cache-control")];
    const isTold = vary === "Cookie" && (isUnique ? control === "no-store" : !isPersonal || control !== null);
    if (!isTold)
      this.#observer.breach("caches", `the response of request ${number} has Vary: ${vary}, Cache-Control: ${control}`);
  }

  /** A cookie is checked once more after the handler is done, if the store can be asked. */
  #checkValidity({ number, actor }: RequestModel, token: TokenModel, committedAt: number): void {
    const verdict = this.#observer.model.verdict(token, committedAt);
    if (!verdict) return;
    const [first, ...others] = actor.faults.filter(
      ({ operation, calledAt }) => operation === "read" && calledAt >= committedAt,
    );
    const isInTime = first !== undefined && this.#timeline.now - first.calledAt < STORE_TIMEOUT - 1;
    if (first && (others.length > 0 || !isInTime)) return;
    this.#observer.breach("invalid cookie", `request ${number} was handed a token that is ${verdict}`);
  }

  /** A sign-in or rotate() has certainly invalidated its token before it came, the store still knows that, and it did not sign in. */
  #isSuperseded({ token, openedAt, number }: RequestModel): boolean {
    if (!token || this.#observer.signedIn.has(number)) return false;
    const { session, epoch } = token;
    const moves = session.endings.filter(({ kind }) => kind === "sign-in" || kind === "rotate");
    const isDone = moves.some(
      ({ ackedAt, epoch: last = epoch }) => ackedAt !== undefined && ackedAt < openedAt && last >= epoch,
    );
    const isKept = !this.#store.effects.some((one) => one.id === session.id && one.operation === "delete");
    return isDone && isKept && this.#observer.excuse(lasting(session, epoch), this.#timeline.now, moves) === undefined;
  }

  /** A response has set no cookie. */
  keptCookie(request: RequestModel, session: Session<Record<string, unknown>>, committedAt: number): void {
    const { token, number, actor, presented } = request;
    if (request.owesCookie && !session.isNew && !this.#observer.isEndedByOthers(request))
      this.#observer.breach("no cookie", `request ${number} has a new token, and its client does not get it`);
    if (presented.length === 0 && request.marks.length === 0 && !this.#observer.signedIn.has(number) && actor.calls > 0)
      this.#observer.breach("a visitor costs nothing", `request ${number} has called the store ${actor.calls} times`);
    if (!this.#scenario.rotates || !token || request.session !== token.session || actor.faults.length > 0) return;
    const isInTime = this.#timeline.now - committedAt < STORE_TIMEOUT - 5;
    const isDue = token.confirmedAt < request.openedAt - EVERY - this.#scenario.skew;
    if (isDue && isInTime && !request.hasFailed && !this.#observer.isEndedByOthers(request))
      this.#observer.breach("rotation too late", `request ${number} has a token that is older than a rotation`);
  }

  cleared(request: RequestModel): void {
    if (!this.#observer.signingOut.has(request))
      this.#observer.breach("cookie cleared", `request ${request.number} did not sign out`);
    const successor = this.#signedInBefore(request);
    if (successor)
      this.#observer.breach("cookie cleared", `request ${request.number} may undo the sign-in of ${successor.number}`);
  }

  /** The request whose sign-in was acknowledged, and had moved the session before this one could end it. */
  #signedInBefore({ token, actor, number, storedId }: RequestModel): RequestModel | undefined {
    const { model, store, effects } = this.#observer;
    // One that has begun a session itself, by signing in or by a change of data, signs out of that.
    if (!token || this.#observer.signedIn.has(number)) return undefined;
    if (storedId !== undefined && storedId !== token.session.id) return undefined;
    if (store.effects.some((one) => one.actor === actor && one.operation === "create")) return undefined;
    const { id } = token.session;
    const writes = store.effects.filter((one) => one.id === id && one.operation !== "touch");
    const own = writes.findIndex((one) => one.actor === actor);
    for (const { former, isHeir, isUncertain, request } of model.sessions.values()) {
      if (former !== token.session || !isHeir || isUncertain || !effects.hasMoved(id, request.actor)) continue;
      const move = writes.findLastIndex((one) => one.actor === request.actor && one.operation === "update");
      if (move >= 0 && (own < 0 || move < own)) return request;
    }
    return undefined;
  }
}
