import { commit } from "../lifecycle/commit.ts";
import type { RequestSession } from "./request-session.ts";

/**
 * Stores the changes that were made after the headers, before the last byte leaves. `undefined`, at once, where there are
 * none.
 *
 * @throws only by the promise: the errors of a commit, ERR_SESSION_HEADERS_SENT where the client would need a cookie. The
 * response must not look complete then.
 */
export function finishResponse(requestSession: RequestSession): Promise<void> | undefined {
  const { progress, lateChanges, changes } = requestSession;
  // The headers wait for their own commit still. Whoever holds them back asks again.
  if (progress.canSetCookie || progress.isCommitting || !lateChanges.areThere) return undefined;
  if (progress.isFailure && changes.isSetAside) return undefined;
  return commit(requestSession, "save");
}
