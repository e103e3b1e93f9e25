import { diagnoseIssued } from "../diagnostics.ts";
import { Deadline } from "../deadline.ts";
import { loadLatest } from "../record/load.ts";
import type { Token } from "../record/token.ts";
import { isAccepted } from "./presented-tokens.ts";
import type { RequestSession } from "./request-session.ts";

// The cookie that a response issues.

/** Warns of what it shows. @param isFirst - the request came without a token of ours. */
export function diagnoseIssuedCookie({ context, request }: RequestSession, isFirst: boolean): void {
  const header = isFirst ? request.cookieHeader : undefined;
  const isReplaced = header !== undefined && context.cookie.values(header, request.isSecure).length > 0;
  if (isReplaced || (!request.isSecure && request.claimsHttps)) diagnoseIssued(context, request.raw, isReplaced);
}

/**
 * Withdraws a cookie that has waited for the response since `save()`, if another request has signed in or out meanwhile: this
 * cookie would undo it. `undefined` where no cookie waits. It never rejects.
 */
export function recheckCookie(requestSession: RequestSession): Promise<void> | undefined {
  const { token, cookie, isSignedOut } = requestSession;
  return cookie.pending === undefined || !token || isSignedOut ? undefined : recheck(requestSession, token);
}

async function recheck(requestSession: RequestSession, token: Token): Promise<void> {
  const { context } = requestSession;
  const deadline = new Deadline(context.storeTimeout);
  const read = () => loadLatest(context, token.id, deadline);
  try {
    // One error of the store must not sign out whoever has signed in meanwhile.
    const loaded = await read().catch(read);
    if (requestSession.token !== token) return;
    if (!loaded) requestSession.detach("ended");
    else if (!isAccepted(requestSession.matchIn(loaded.record))) requestSession.detach("superseded");
  } catch (error) {
    // The session was stored. Nothing says that it has ended.
    context.emitter.emit("error", { id: token.id, error });
  }
}
