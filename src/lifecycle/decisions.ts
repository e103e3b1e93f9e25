import type { Match } from "./rotation.ts";
import { absoluteEnd, type SessionStart, type Timeouts } from "./timeouts.ts";

/**
 * The decisions of a session's life, and nothing else: no store, no clock, no input or output.
 */

/** The worth of a request's token. */
export type TokenStatus =
  /** A visitor: no token, an invalid one, or one that the store does not know. */
  | "anonymous"
  /** The token opens a session. */
  | "live"
  /** The session exists, but a sign-in or `rotate()` has invalidated this token. */
  | "superseded"
  /** A timeout has ended the session. */
  | "expired"
  /** The token was rotated out, and its grace is over: the session has to end. */
  | "replayed";

/** The status of a token whose session is stored. */
export function tokenStatus(
  session: SessionStart,
  expiresAt: number,
  secret: Match,
  now: number,
  timeouts: Timeouts,
): Exclude<TokenStatus, "anonymous"> {
  if (secret === "superseded") return "superseded";
  if (now >= expiresAt || now >= absoluteEnd(session, timeouts)) return "expired";
  return secret === "replayed" ? "replayed" : "live";
}

/** The changes that a request has made. */
export interface RequestChanges {
  readonly signedOut: boolean;
  /** The sign-out meets only sessions that others have ended. */
  readonly confirms: boolean;
  readonly signedIn: boolean;
  /** `rotate()` was called. */
  readonly rotated: boolean;
  readonly changed: boolean;
  /** A previous key encrypted the record or signed the token. */
  readonly outdated: boolean;
  /** The secret is to be rotated, or its successor was seen for the first time. */
  readonly rotates: boolean;
  readonly touchDue: boolean;
}

/** The store operation of a commit. */
export type Plan = "nothing" | "touch" | "create" | "move" | "update" | "delete" | "confirm" | "drop";

/**
 * | token status         | signed out | signed in | changed | nothing new          |
 * | -------------------- | ---------- | --------- | ------- | -------------------- |
 * | anonymous, expired   | confirm    | create    | create  | nothing              |
 * | superseded, replayed | confirm    | create    | drop    | nothing              |
 * | live                 | delete     | move      | update  | update, touch or not |
 *
 * A sign-out ends the live session, or confirms that others have ended it. Where there was none, it does nothing. The changes
 * that the handler makes after it are stored in a new session.
 *
 * A superseded request may not set the cookie: that would undo the token that superseded it. Signing in is the exception,
 * because a client whose new token was lost on the way gets another one by it.
 */
export function plan(token: TokenStatus, changes: RequestChanges): Plan {
  switch (token) {
    case "anonymous":
    case "expired":
      if (changes.confirms) return "confirm";
      return changes.signedIn || changes.changed ? "create" : "nothing";
    case "superseded":
    case "replayed":
      if (changes.confirms) return "confirm";
      if (changes.signedIn) return "create";
      return changes.changed ? "drop" : "nothing";
    case "live":
      if (changes.signedOut) return "delete";
      if (changes.signedIn) return "move";
      if (changes.rotated || changes.changed || changes.outdated || changes.rotates) return "update";
      return changes.touchDue ? "touch" : "nothing";
  }
}

/** The reaction to a conflict: the record has changed meanwhile, or is gone. */
export type Retry = "again" | "drop" | "detach" | "refuse";

/**
 * The newest record decides. Changes of an ended session are dropped. Changes of a superseded one are refused: merging them
 * would let an attacker who planted the old token write into the signed-in session. A request that only renews its token
 * or its encryption detaches.
 */
export function retry(newest: { ended: boolean; superseded: boolean }, changes: boolean): Retry {
  if (!newest.ended && !newest.superseded) return "again";
  if (!changes) return "detach";
  return newest.ended ? "drop" : "refuse";
}
