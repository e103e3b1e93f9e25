import { diagnoseIssued } from "../diagnostics.ts";
import { Deadline } from "../deadline.ts";
import { loadLatest } from "../record/load.ts";
import type { Token } from "../record/token.ts";
import { removePresent } from "./former-cookies.ts";
import { isAccepted } from "./presented-tokens.ts";
import type { RequestSession } from "./request-session.ts";

// The cookie that a response issues or removes.

export function issueCookie(requestSession: RequestSession, token = requestSession.token!, isRenewal = false): void {
  const { cookie, loaded, request } = requestSession;
  if (cookie.writer.writeHeader === undefined) diagnose(requestSession);
  cookie.issue(token, loaded!.record, request.isSecure, isRenewal);
}

/** Warns of what an issued cookie shows. */
function diagnose({ context, request, namedId }: RequestSession): void {
  const header = namedId === undefined ? request.cookieHeader : undefined;
  const isReplaced = header !== undefined && context.cookie.values(header, request.isSecure).length > 0;
  if (isReplaced || (!request.isSecure && request.claimsHttps)) diagnoseIssued(context, request.raw, isReplaced);
}

/** The session has ended: the response removes its cookie, and those of former libraries. */
export function clearCookies({ context, request, cookie }: RequestSession): void {
  const { cookieHeader, isSecure } = request;
  cookie.clear(isSecure);
  cookie.clearFormer(removePresent(context, cookieHeader, isSecure));
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
