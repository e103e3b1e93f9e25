import type { Match } from "./rotation.ts";
import { absoluteEnd, type Beginning, type Timeouts } from "./timeouts.ts";

/**
 * The decisions of a session's life, and nothing else: no store, no clock, no input or output.
 */

/** What a request's token turned out to be worth. */
export type TokenStatus =
  /** No token, a bad one, or none that the store knows: a visitor. */
  | "anonymous"
  /** The token opens a session. */
  | "live"
  /** The session is there, but signing in or rotating has since killed this token. */
  | "superseded"
  /** The session has come to its end. */
  | "expired"
  /** The token was rotated out, and should be known to nobody any more: the session has to end. */
  | "replayed";

/** What the token of a session that the store knows is worth now. */
export function tokenStatus(
  session: Beginning,
  expiresAt: number,
  secret: Match,
  now: number,
  timeouts: Timeouts,
): Exclude<TokenStatus, "anonymous"> {
  if (secret === "superseded") return "superseded";
  if (now >= expiresAt || now >= absoluteEnd(session, timeouts)) return "expired";
  return secret === "replayed" ? "replayed" : "live";
}

/** What a request did with its session. */
export interface Changes {
  readonly signedOut: boolean;
  readonly signedIn: boolean;
  /** `rotate()` was called. */
  readonly rotated: boolean;
  readonly changed: boolean;
  /** A previous key sealed the record or signed the token. */
  readonly outdated: boolean;
  /** The secret is to be rotated, or its successor was seen for the first time. */
  readonly rotates: boolean;
  readonly touchDue: boolean;
}

/** What a commit does with the store. */
export type Plan = "nothing" | "touch" | "create" | "move" | "update" | "delete" | "drop";

/**
 * | standing             | signed out | signed in | changed | nothing new          |
 * | -------------------- | ---------- | --------- | ------- | -------------------- |
 * | anonymous, expired   | nothing    | create    | create  | nothing              |
 * | superseded, replayed | nothing    | create    | drop    | nothing              |
 * | live                 | delete     | move      | update  | update, touch or not |
 *
 * A superseded request may not set the cookie, so that it can't undo the token that superseded it; signing in is the
 * exception, since that is how a client whose new token was lost on the way gets another.
 */
export function plan(token: TokenStatus, changes: Changes): Plan {
  switch (token) {
    case "anonymous":
    case "expired":
      return !changes.signedOut && (changes.signedIn || changes.changed) ? "create" : "nothing";
    case "superseded":
    case "replayed":
      if (changes.signedOut) return "nothing";
      if (changes.signedIn) return "create";
      return changes.changed ? "drop" : "nothing";
    case "live":
      if (changes.signedOut) return "delete";
      if (changes.signedIn) return "move";
      if (changes.rotated || changes.changed || changes.outdated || changes.rotates) return "update";
      return changes.touchDue ? "touch" : "nothing";
  }
}

/** What to do when the record that was to be updated has changed meanwhile, or is gone. */
export type Retry = "again" | "drop" | "let go" | "refuse";

/**
 * The newest record decides. What changed in an ended session is dropped, and in a superseded one refused, since merging
 * it would let whoever planted the old token write into the signed-in session. A request that changed nothing, and was
 * only to renew the token or the seal, lets go.
 */
export function retry(newest: { ended: boolean; superseded: boolean }, changes: boolean): Retry {
  if (!newest.ended && !newest.superseded) return "again";
  if (!changes) return "let go";
  return newest.ended ? "drop" : "refuse";
}
