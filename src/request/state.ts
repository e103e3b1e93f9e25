import type { TokenStatus } from "../lifecycle/decisions.ts";
import type { LoadedRecord } from "../record/record.ts";
import type { Token } from "../record/token.ts";
import type { Presented, PresentedLater } from "./presented-tokens.ts";

/**
 * The states of one request. RequestSession makes all transitions of the first, ResponseProgress of the second.
 *
 *     unread ──→ live ──→ signedOut ──→ live (created)
 *       │  └───→ none ──→ live (created)
 *       └──────→ unreadable
 *
 *     open ──→ committing ──→ written ──→ ended
 *       │          └──→ failed ──→ written
 *       └──→ attached
 */

/** The session, as far as this request knows it. */
export type SessionState =
  /** The request carries tokens, and the store was not asked yet. Without tokens, it may carry a former library's cookie. */
  | { readonly kind: "unread"; readonly presented: readonly Presented[] | PresentedLater | undefined }
  /** The store could not be read, or the request is refused: nothing is known of the session, and nothing may be done to it. */
  | { readonly kind: "unreadable"; readonly error: unknown }
  /** There is no live session. `endedIds`: those that others have ended. */
  | {
      readonly kind: "none";
      readonly tokenStatus: Exclude<TokenStatus, "live">;
      readonly endedIds?: readonly string[] | undefined;
    }
  | LiveState
  /** This request has signed the session out, and goes on like a visitor's. */
  | { readonly kind: "signedOut" };

/** The token opens a live session. */
export interface LiveState {
  readonly kind: "live";
  readonly token: Token;
  /** The hash of the token's secret, where it is known already. */
  readonly secretHash?: Uint8Array | undefined;
  /** A previous key signed the token: a response issues it anew. */
  readonly isTokenByPreviousKey: boolean;
  readonly loaded: LoadedRecord;
}

/** The response, as far as the session is concerned. */
export type ResponseState =
  /** The headers are still to be written and can carry a cookie. */
  | "open"
  /** The response's commit is under way. It decides the cookie. */
  | "committing"
  /** That commit has failed. The error's response follows and stores nothing. */
  | "failed"
  | "written"
  /** The last byte of a fetch response is out. Responses of node:http tell that themselves. */
  | "ended"
  /** A WebSocket or the like has taken the connection over: no headers can carry a cookie. */
  | "attached"
  /** The same, and an event stream's headers were written. */
  | "attachedAndWritten";

export function canSetCookie(response: ResponseState): boolean {
  return response === "open" || response === "failed";
}

export function isWritten(response: ResponseState): boolean {
  return response === "written" || response === "ended" || response === "attachedAndWritten";
}

export function isAttached(response: ResponseState): boolean {
  return response === "attached" || response === "attachedAndWritten";
}
