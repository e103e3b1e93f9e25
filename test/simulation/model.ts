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
  /** It met several faults on its way, and may have missed what happened at that moment. */
  hadFaults?: boolean;
  /** It has failed and was taken back by then: requests that come later find the session as if nothing had happened. */
  takenBackAt?: number | undefined;
}

/** One call of `signIn()`. */
export interface SignInModel {
  readonly at: number;
  /** From when on its session is stored for certain, and no attempt of it is under way. */
  doneAt: number | undefined;
  /** From when on nothing is left of it for certain, because it has failed. */
  failedAt: number | undefined;
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
  /** The tokens that its cookies carry, and the one that has opened a session. */
  readonly presented: readonly TokenModel[];
  token: TokenModel | undefined;
  openedAt: number;
  /** The session that its handler was given. */
  session: SessionModel | undefined;
  /** Its token has opened a session. */
  isPersonal: boolean;
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
    | (Pick<RequestModel, "signIn" | "hasSignedOut" | "isRotating" | "marks"> & {
        readonly isMove: boolean;
        readonly endings: readonly Ending[];
      })
    | undefined;
  /** A call of `save()` has met more than one error, or has run out of time: it may not have taken back all. */
  hasLeftovers: boolean;
  /** `rotate()` was called, and not stored yet. */
  isRotating: boolean;
  isSaving: boolean;
  /** It is saving, and nothing may be merged. */
  isUnmerged: boolean;
  signInCall: SignInModel | undefined;
  /** It has stored a new token, which its response has to hand out. */
  owesCookie: boolean;
  /** When its client went away, before its handler was done. */
  leftAt: number | undefined;
  /** It has asked for what only a new cookie can bring, or for the end of its session. */
  needsCookie: boolean;
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
  readonly signInCall: SignInModel | undefined;
  readonly ackedAt: number;
  readonly endings: Ending[];
  readonly tokens: TokenModel[];
  /** The last sign of life that is certain, the last that is possible, and the same of the beginning. */
  seen: { certain: number; possible: number };
  began: { earliest: number; latest: number };
}

export interface RevokedUser {
  readonly userId: string;
  /** The ids that it spares. A session that is being signed in to has two. */
  readonly except: readonly string[];
  readonly from: number;
  /** When it was over, however it went. */
  until: number;
  ackedAt: number | undefined;
  hadFaults?: boolean | undefined;
}

export interface ModelSettings {
  readonly skew: number;
  readonly limit: number | undefined;
  readonly refuses: boolean;
}

/** A token that no rotation ends: a connection outlives that of its own, and a request goes on with what it has stored. */
export function lasting(session: SessionModel, epoch: number): TokenModel {
  return { value: "", session, epoch, place: Number.MAX_SAFE_INTEGER, presentedAt: NEVER, confirmedAt: NEVER };
}

/** A rotate() that failed, or whose cookie was withdrawn, may have left a session a token that nobody has. */
export function lastEpochOf({ tokens, endings }: SessionModel): number {
  const rotations = endings.filter(({ kind }) => kind === "rotate").length;
  return tokens.reduce((highest, { epoch }) => Math.max(highest, epoch), rotations);
}

export const NEVER = Number.POSITIVE_INFINITY;

export class Model {
  readonly sessions = new Map<string, SessionModel>();
  readonly tokens = new Map<string, TokenModel>();
  readonly marks: Mark[] = [];
  readonly revokedUsers: RevokedUser[] = [];
  /** All calls of `signIn()`, by user. */
  readonly signIns = new Map<string, SignInModel[]>();
  readonly #settings: ModelSettings;

  constructor(settings: ModelSettings) {
    this.#settings = settings;
  }

  signsIn(userId: string, at: number): SignInModel {
    const call = { at, doneAt: undefined, failedAt: undefined };
    this.signIns.set(userId, [...(this.signIns.get(userId) ?? []), call]);
    return call;
  }

  /**
   * Why a token may open nothing any more by now; `undefined` where it has to open its session.
   *
   * @param own - endings that are no excuse for the one who asks.
   * @param began - when the one who asks has come. What was taken back before is no excuse.
   */
  excuse(token: TokenModel, now: number, own: readonly Ending[] = [], began = 0): string | undefined {
    const { session, epoch } = token;
    // A sign-out and a rotate() of the same moment may come in either order.
    const isMeant = (one: Ending) => (covers(one, epoch) || one.kind === "sign-out") && isInForce(one, began);
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
      (one) => one.userId === userId && !one.except.includes(id) && one.from <= now && request.openedAt <= one.until,
    );
    if (byUser) return true;
    if (!former || former.userId === undefined || former.userId !== userId) return false;
    const isMeant = ({ kind, from }: Ending) =>
      from <= now && (kind === "revoke" || kind === "sign-out" || kind === "replay");
    return former.endings.some(isMeant) || this.#mayBeRevoked(former, now);
  }

  #mustBeRevoked(session: SessionModel, now: number): boolean {
    const { userId, former, id, ackedAt, request } = session;
    const isHeir = session.isHeir && !session.isUncertain;
    const byUser = this.revokedUsers.some(
      (one) =>
        one.userId === userId &&
        !one.except.includes(id) &&
        !one.except.includes(former?.id ?? "") &&
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

  /** Of a user's sign-ins the latest stay, or, where the limit refuses, all that were admitted. */
  #mayBeEvicted({ userId, signInCall: own }: SessionModel, now: number): boolean {
    const { limit, refuses } = this.#settings;
    if (limit === undefined || refuses || userId === undefined || !own) return false;
    const isLater = (one: SignInModel) => one.at <= now && (one.doneAt === undefined || one.doneAt >= own.at);
    return this.signIns.get(userId)!.filter((one) => one !== own && isLater(one)).length >= limit;
  }

  /**
   * Whether a user may have had as many sessions as the limit allows at some time since then, beside one that is signed in to.
   *
   * @param replaced - the session that this sign-in replaces: it counts for nothing.
   */
  mayBeFull(userId: string, own: SignInModel | undefined, replaced: SessionModel | undefined, began: number): boolean {
    const mayCount = (one: SignInModel) => {
      if (one === own || (one.failedAt !== undefined && one.failedAt < began)) return false;
      const session = [...this.sessions.values()].find(({ signInCall }) => signInCall === one);
      if (!session) return true;
      return session !== replaced && this.verdict(lasting(session, lastEpochOf(session)), began) === undefined;
    };
    return this.signIns.get(userId)!.filter(mayCount).length >= (this.#settings.limit ?? NEVER);
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

/** Whether an ending may have had its effect on whoever came at this time. */
export function isInForce({ takenBackAt }: Ending, began: number): boolean {
  return takenBackAt === undefined || began <= takenBackAt;
}

function covers(ending: Ending, epoch: number): boolean {
  return ending.epoch === undefined || ending.epoch >= epoch;
}

export function timeoutsOf(isRemembered: boolean): { idle: number; absolute: number } {
  return isRemembered ? REMEMBERED : { idle: IDLE, absolute: ABSOLUTE };
}
