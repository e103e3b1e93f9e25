import type { Actor } from "./virtual-time.ts";
import { ABSOLUTE, GRACE, IDLE, REMEMBERED, TOUCH_INTERVAL } from "./scenario.ts";

/**
 * The observer's knowledge of the sessions. It is exact where every answer is known, and names both what must be so and
 * what may be so where an answer was lost: an operation that began may have had its effect, one that was acknowledged has.
 */

/** Something that ends a session, or the tokens that it had until then. */
export interface Ending {
  readonly kind: "sign-in" | "sign-out" | "rotate" | "revoke" | "replay";
  /** When it may have begun to have an effect. */
  readonly from: number;
  /** Tokens of later epochs live on; `undefined`: none does. */
  readonly epoch: number | undefined;
  /** From when on it has certainly had its effect. */
  ackedAt: number | undefined;
  /** It met a fault on its way, and may have missed what happened at that moment. */
  hadFaults?: boolean;
}

/** One write, and what is known of it. */
export interface Mark {
  readonly name: string;
  readonly write: string;
  readonly request: RequestModel;
  /** The ids of the sessions that it may be in. */
  readonly homes: Set<string>;
  state: "pending" | "acknowledged" | "unknown" | "refused" | "dropped";
  ackedAt: number;
  /** Requests that took it away, and since when that was certain. */
  removals: { readonly from: number; ackedAt: number | undefined; readonly request: RequestModel }[];
}

/** One request, or one connection. */
export interface RequestModel {
  readonly number: number;
  readonly actor: Actor;
  readonly isPassive: boolean;
  readonly isConnection: boolean;
  readonly token: TokenModel | undefined;
  openedAt: number;
  /** The session that its handler was given. */
  session: SessionModel | undefined;
  /** Counts the calls of `rotate()` that its session has seen. */
  epoch: number;
  /** The id of the session that was stored last. */
  storedId: string | undefined;
  /** Endings that are acknowledged together with what the handler does next. */
  pending: Ending[];
  marks: Mark[];
  removed: Mark["removals"];
  /** What the handler has asked for and was not stored yet. */
  signIn: { userId: string; keep: readonly string[] | undefined; isRemembered: boolean } | undefined;
  hasSignedOut: boolean;
  /** What a call of `save()` has failed to do: another call tries it again, and the response leaves it out. */
  setAside:
    | (Pick<RequestModel, "signIn" | "hasSignedOut" | "isRotating" | "marks"> & { readonly isMove: boolean })
    | undefined;
  /** `rotate()` was called, and not stored yet. */
  isRotating: boolean;
  /** A save failed, and the handler went on: nothing is known of what was asked for before. */
  hasFailed: boolean;
}

export interface TokenModel {
  readonly value: string;
  readonly session: SessionModel;
  /** Counts the calls of `rotate()` that this session has seen. */
  readonly epoch: number;
  /** Its place among the tokens of its epoch. */
  readonly place: number;
  /** When a request first came with it, and when one was first stored. */
  presentedAt: number;
  confirmedAt: number;
}

export interface SessionModel {
  readonly id: string;
  readonly userId: string | undefined;
  /** What it was before its user signed in; `isHeir`: its data came along, but for what `keep` left out. */
  readonly former: SessionModel | undefined;
  readonly isHeir: boolean;
  /** Whether that is not known: the former session ended in more than one way at once. */
  readonly isUncertain: boolean;
  readonly keep: readonly string[] | undefined;
  readonly idle: number;
  readonly absolute: number;
  readonly request: RequestModel;
  readonly ackedAt: number;
  readonly endings: Ending[];
  readonly tokens: TokenModel[];
  /** The last sign of life that is certain, the last that is possible, and the same of the beginning. */
  seen: { certain: number; possible: number };
  began: { earliest: number; latest: number };
}

export interface RevokedUser {
  readonly userId: string;
  readonly except: string | undefined;
  readonly from: number;
  /** When it was over, however it went. */
  until: number;
  ackedAt: number | undefined;
  hadFaults?: boolean;
}

export interface ModelSettings {
  readonly skew: number;
  readonly limit: number | undefined;
}

/** A token that no rotation ends: a connection outlives that of its own, and a request goes on with what it has stored. */
export function lasting(session: SessionModel, epoch: number): TokenModel {
  return { value: "", session, epoch, place: Number.MAX_SAFE_INTEGER, presentedAt: NEVER, confirmedAt: NEVER };
}

export const NEVER = Number.POSITIVE_INFINITY;

export class Model {
  readonly sessions = new Map<string, SessionModel>();
  readonly tokens = new Map<string, TokenModel>();
  readonly marks: Mark[] = [];
  readonly revokedUsers: RevokedUser[] = [];
  /** When sign-ins began, by user. */
  readonly signIns = new Map<string, number[]>();
  readonly #settings: ModelSettings;

  constructor(settings: ModelSettings) {
    this.#settings = settings;
  }

  signsIn(userId: string, at: number): void {
    this.signIns.set(userId, [...(this.signIns.get(userId) ?? []), at]);
  }

  /**
   * Why a token may open nothing any more by now; `undefined` where it has to open its session.
   *
   * @param own - endings that are no excuse for the one who asks.
   */
  excuse(token: TokenModel, now: number, own: readonly Ending[] = []): string | undefined {
    const { session, epoch } = token;
    // A sign-out and a rotate() of the same moment may come in either order.
    const isMeant = (one: Ending) => covers(one, epoch) || one.kind === "sign-out";
    const ending = session.endings.find((one) => one.from <= now && isMeant(one) && !own.includes(one));
    if (ending) return ending.kind;
    if (this.#mayBeRevoked(session, now)) return "revoked";
    if (this.#mayBeEvicted(session, now)) return "limit";
    if (this.mayBeRotatedOut(token, now)) return "rotated out";
    return this.#mayHaveExpired(session, now) ? "expired" : undefined;
  }

  /** Why a token must open nothing any more. */
  verdict(token: TokenModel, now: number): string | undefined {
    const { session, epoch } = token;
    const ending = session.endings.find((one) => one.ackedAt !== undefined && one.ackedAt < now && covers(one, epoch));
    if (ending) return ending.kind;
    if (this.#mustBeRevoked(session, now)) return "revoked";
    if (this.isRotatedOut(token, now)) return "rotated out";
    return this.#hasExpired(session, now) ? "expired" : undefined;
  }

  mayBeRotatedOut(token: TokenModel, now: number): boolean {
    const since = this.#successors(token).reduce((first, { presentedAt }) => Math.min(first, presentedAt), NEVER);
    return now >= since + GRACE - this.#settings.skew;
  }

  isRotatedOut(token: TokenModel, now: number): boolean {
    const since = this.#successors(token).reduce((first, { confirmedAt }) => Math.min(first, confirmedAt), NEVER);
    return now > since + GRACE + this.#settings.skew;
  }

  #successors({ session, epoch, place }: TokenModel): TokenModel[] {
    return session.tokens.filter((one) => one.epoch === epoch && one.place > place);
  }

  #mayHaveExpired({ seen, began, idle, absolute }: SessionModel, now: number): boolean {
    const { skew } = this.#settings;
    const interval = Math.min(TOUCH_INTERVAL, idle / 2);
    return now >= seen.certain + idle - interval - skew || now >= began.earliest + absolute - skew;
  }

  #hasExpired({ seen, began, idle, absolute }: SessionModel, now: number): boolean {
    const { skew } = this.#settings;
    // A sign-in may be dated a few milliseconds later, to come after those before it.
    return now > seen.possible + idle + skew + 1 || now > began.latest + absolute + skew + 20;
  }

  /** Whether the session, or one that it was before its user signed in again, may have been revoked. */
  #mayBeRevoked(session: SessionModel, now: number): boolean {
    const { userId, former, id, request } = session;
    const byUser = this.revokedUsers.some(
      (one) => one.userId === userId && one.except !== id && one.from <= now && request.openedAt <= one.until,
    );
    if (byUser) return true;
    if (!former || former.userId === undefined || former.userId !== userId) return false;
    const isMeant = ({ kind, from }: Ending) =>
      from <= now && (kind === "revoke" || kind === "sign-out" || kind === "replay");
    return former.endings.some(isMeant) || this.#mayBeRevoked(former, now);
  }

  #mustBeRevoked(session: SessionModel, now: number): boolean {
    const { userId, former, id, ackedAt, request } = session;
    // A sign-out of that moment deletes what the revocation would have followed: see docs/reliability.md.
    const isSignedOut = former?.endings.some(({ kind }) => kind === "sign-out") === true;
    const isHeir = session.isHeir && !session.isUncertain && !isSignedOut;
    const byUser = this.revokedUsers.some(
      (one) =>
        one.userId === userId &&
        one.except !== id &&
        one.except !== former?.id &&
        one.ackedAt !== undefined &&
        one.ackedAt < now &&
        (ackedAt < one.from ||
          (isHeir &&
            !one.hadFaults &&
            former?.userId === userId &&
            former.ackedAt < one.from &&
            request.openedAt < one.ackedAt)),
    );
    if (byUser) return true;
    if (!former || !isHeir || former.userId === undefined || former.userId !== userId) return false;
    return former.endings.some(
      (one) =>
        one.kind === "revoke" &&
        !one.hadFaults &&
        one.ackedAt !== undefined &&
        one.ackedAt < now &&
        one.from <= ackedAt &&
        request.openedAt < one.ackedAt,
    );
  }

  #mayBeEvicted({ userId }: SessionModel, now: number): boolean {
    const { limit } = this.#settings;
    if (limit === undefined || userId === undefined) return false;
    return (this.signIns.get(userId) ?? []).filter((at) => at <= now).length > limit;
  }

  /** What a session must hold of a mark, and what it may. */
  expectation(
    mark: Mark,
    session: SessionModel,
    now: { began: number; ended: number },
    key: string,
  ): "must" | "may" | "never" {
    if (mark.state === "refused" || mark.state === "dropped") return "never";
    const holds = this.#mayHold(mark, session, key);
    if (!holds) return "never";
    if (holds === "perhaps") return "may";
    const gone = mark.removals.some(
      ({ ackedAt, from }) => ackedAt !== undefined && ackedAt < now.began && from >= mark.ackedAt,
    );
    if (gone) return "never";
    if (mark.state !== "acknowledged" || mark.ackedAt >= now.began) return "may";
    return mark.removals.some(({ from }) => from <= now.ended) ? "may" : "must";
  }

  #mayHold(mark: Mark, session: SessionModel, key: string): boolean | "perhaps" {
    let isUncertain = false;
    for (let at: SessionModel | undefined = session; at; at = at.former) {
      if (mark.homes.has(at.id)) return isUncertain ? "perhaps" : true;
      isUncertain ||= at.isUncertain;
      if (!at.isHeir || (at.former?.userId !== undefined && at.former.userId !== at.userId)) return false;
      if (at.keep && !at.keep.includes(key)) return false;
    }
    return false;
  }
}

function covers(ending: Ending, epoch: number): boolean {
  return ending.epoch === undefined || ending.epoch >= epoch;
}

export function timeoutsOf(isRemembered: boolean): { idle: number; absolute: number } {
  return isRemembered ? REMEMBERED : { idle: IDLE, absolute: ABSOLUTE };
}
