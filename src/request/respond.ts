import { commit } from "../lifecycle/commit.ts";
import { forbidCaching, forbidSharing, markPrivate, varyBy, type ResponseHeaders } from "./cache-headers.ts";
import { cookieParts } from "./cookie.ts";
import type { OutgoingCookie } from "./outgoing-cookie.ts";
import { canSetHeaders, checkUnread, copyWithHeaders, CopyHeaders, streamBodyOf } from "./fetch-response.ts";
import { dropUndeliverable } from "./closed-response.ts";
import { endResponse, finishResponse } from "./finish-response.ts";
import { recheckCookie } from "./issued-cookie.ts";
import type { RequestSession } from "./request-session.ts";
import type { Answer } from "../coroutine.ts";

/**
 * Stores the session's changes and writes the cookie and the rules for caches to the response's headers. `undefined` where
 * nothing has to be waited for; the headers are written then.
 *
 * @throws only by the promise: the errors of a commit.
 */
export function concludeResponse(requestSession: RequestSession, headers: ResponseHeaders): Promise<void> | undefined {
  const { changes } = requestSession;
  if (!requestSession.progress.canSetCookie) {
    // An event stream, for example, has headers all the same.
    if (requestSession.progress.isAttached && !requestSession.progress.isWritten) writeHeaders(requestSession, headers);
    return undefined;
  }
  if (requestSession.progress.hasFailed || requestSession.loadError !== undefined || changes.isSetAside) {
    const concluding = concludeFailure(requestSession, headers);
    // The end of the body is not the moment to try again what save() has failed to store.
    changes.dropSetAside();
    return concluding;
  }
  changes.dropSetAside();
  // Before the commit: it calls listeners of its events here, where the store answers at once, and what they ask for is too late.
  requestSession.progress.begin();
  const storing = requestSession.isLoaded && !requestSession.isUntouched ? store(requestSession) : undefined;
  if (!storing) {
    writeHeaders(requestSession, headers);
    return undefined;
  }
  return storing
    .then(() => writeHeaders(requestSession, headers))
    .catch((error: unknown) => {
      requestSession.progress.fail();
      // The client is told of these. Later changes are told apart.
      changes.setAside(changes.requested);
      throw requestSession.bearer?.explain(error) ?? error;
    });
}

function store(requestSession: RequestSession): Promise<void> | undefined {
  const { cookie, progress, committing } = requestSession;
  if (progress.isClosed) {
    // A commit that is under way knows nothing of what was asked for since.
    if (committing) return committing.catch(() => {}).then(() => store(requestSession));
    dropUndeliverable(requestSession);
  }
  const waiting = cookie.pending;
  const storing = commit(requestSession, "response", true);
  if (waiting === undefined) return storing;
  return Promise.resolve(storing).then(() => (cookie.pending === waiting ? recheckCookie(requestSession) : undefined));
}

/** The headers are written. */
function markWritten(requestSession: RequestSession): void {
  const { context, changes, progress } = requestSession;
  context.diagnose?.(requestSession, requestSession.request.raw);
  progress.write();
  if (changes.hasGivenObjects && context.lateChecks()) requestSession.lateChanges.expect();
}

/** Writes the cookie for the client, and the rules for caches. */
function writeHeaders(requestSession: RequestSession, headers: ResponseHeaders): void {
  markWritten(requestSession);
  const cookie = requestSession.cookie.take();
  if (!requestSession.progress.isAccessed && cookie === undefined) return;
  const { bearer } = requestSession;
  varyBy(headers, bearer?.vary);
  bearer?.challenge(headers);
  if (cookie !== undefined) {
    writeCookies(headers, requestSession.cookie, cookie);
    forbidSharing(headers);
  } else if (requestSession.progress.isPersonal || !requestSession.isLoaded) {
    // A session that is not read yet may turn out to be somebody's after the headers have left.
    markPrivate(headers);
  }
}

/**
 * Writes the headers of an error's response, as {@link prepareFailure} and {@link writeFailureHeaders} do together.
 * `undefined` where nothing has to be waited for.
 */
export function concludeFailure(requestSession: RequestSession, headers: ResponseHeaders): Promise<void> | undefined {
  const { progress } = requestSession;
  const preparing = prepareFailure(requestSession);
  if (!preparing) {
    writeFailureHeaders(requestSession, headers);
    return undefined;
  }
  if (progress.canSetCookie) progress.begin();
  return preparing.then(() => writeFailureHeaders(requestSession, headers));
}

/**
 * Checks the cookie of an earlier commit, which an error's response takes along: another request may have ended the session.
 * `undefined` where there is no cookie. It never rejects.
 */
export function prepareFailure(requestSession: RequestSession): Promise<void> | undefined {
  const { progress, changes, lateChanges, cookie } = requestSession;
  if (progress.hasFailed && !changes.isSetAside) lateChanges.drop("by an error handler, after it could not be stored");
  cookie.repeat();
  return recheckCookie(requestSession);
}

/**
 * Writes the headers of an error's response, which stores nothing: caches must not keep it. The cookie of an earlier commit
 * goes with it, or the client would be signed out.
 */
export function writeFailureHeaders(requestSession: RequestSession, headers: ResponseHeaders): void {
  requestSession.progress.markAccessed();
  markWritten(requestSession);
  forbidCaching(headers, requestSession.bearer?.vary);
  requestSession.bearer?.challenge(headers);
  requestSession.cookie.repeat();
  const cookie = requestSession.cookie.take();
  if (cookie !== undefined) writeCookies(headers, requestSession.cookie, cookie);
}

/** Writes the cookies in the form that the adapter takes. */
function writeCookies(headers: ResponseHeaders, outgoing: OutgoingCookie, cookies: readonly string[]): void {
  const { writeHeader } = outgoing.writer;
  if (writeHeader) return writeHeader(headers, cookies, outgoing.isRenewal);
  for (const cookie of cookies) {
    if (headers.setCookie) headers.setCookie(cookieParts(cookie));
    else headers.append("Set-Cookie", cookie);
  }
}

/** The response has ended, and its headers never came by: nothing stores the changes, and no cookie went with it. */
export function reportBypassed(requestSession: RequestSession, how: string): void {
  if (!requestSession.progress.canSetCookie) return;
  const { isUntouched, lateChanges, changes, cookie } = requestSession;
  markWritten(requestSession);
  if (isUntouched || !(lateChanges.areThere || changes.isAnythingRequested || cookie.pending !== undefined)) return;
  requestSession.lateChanges.drop(how);
}

/** Where a response has the session whose headers are in it: a WeakMap costs more, at every garbage collection. */
const CARRIED = Symbol("sojourn.carried");

interface Carrier {
  [CARRIED]?: RequestSession;
}

/** Commits the session and gives a copy of the response with its headers. Committing once more is as good as once. */
export function commitToResponse(requestSession: RequestSession, response: Response): Answer<Response> {
  const { cookie, progress } = requestSession;
  if (!canSetHeaders(response)) {
    progress.attach();
    return commit(requestSession, "save")?.then(() => response) ?? response;
  }
  checkUnread(response);
  const isOurs = (response as Carrier)[CARRIED] === requestSession;
  const inIt = isOurs ? cookie.written : undefined;
  if (progress.isWritten && !progress.isAttached) {
    progress.reopen();
    if (inIt === undefined) cookie.repeat();
  }
  const original: Original = { response, headers: new CopyHeaders(response), isOurs, inIt };
  if (!requestSession.isUntouched) original.headers.keep();
  const concluding = concludeResponse(requestSession, original.headers);
  return concluding
    ? concluding.then(() => finishAndCopy(requestSession, original, true))
    : finishAndCopy(requestSession, original, false);
}

/** The response that an application has given. */
interface Original {
  readonly response: Response;
  readonly headers: CopyHeaders;
  /** It is a copy that an earlier commit of the same session has given. */
  readonly isOurs: boolean;
  /** The cookies of that commit. */
  readonly inIt: readonly string[] | undefined;
}

function finishAndCopy(requestSession: RequestSession, original: Original, hasWaited: boolean): Answer<Response> {
  const { progress, request } = requestSession;
  const { response, isOurs } = original;
  // A WebSocket outlives the response that begins it: one of workerd, or an empty one of Hono's upgradeWebSocket.
  const isTakenOver = response.status === 101 || (progress.isAttached && request.isUpgrade);
  if (isTakenOver) progress.attach();
  // A body that was given before finishes the session already.
  const finish = isTakenOver || isOurs ? undefined : bodyEnd(requestSession);
  if (!finish || streamBodyOf(response)) return copyOf(requestSession, original, finish);
  // Nothing runs while such a body is sent: changes that came during the commit are stored now.
  const storing = hasWaited ? finish() : endResponse(requestSession);
  return storing ? storing.then(() => copyOf(requestSession, original)) : copyOf(requestSession, original);
}

function copyOf(
  requestSession: RequestSession,
  { response, headers, inIt }: Original,
  finish?: () => Promise<void> | void,
): Response {
  const { written } = requestSession.cookie;
  const copy = copyWithHeaders(response, headers, { finish, replaces: inIt === written ? undefined : inIt });
  // A visitor's response is handed back as it is: nothing of the session is in it.
  if (copy !== response) (copy as Carrier)[CARRIED] = requestSession;
  return copy;
}

/** The function to call before a fetch response's body ends. `undefined` for a response that nothing can change any more. */
function bodyEnd(requestSession: RequestSession): (() => Promise<void> | void) | undefined {
  if (!requestSession.request.expectsBody) {
    endResponse(requestSession);
    return undefined;
  }
  if (!requestSession.progress.isAccessed) return undefined;
  return () =>
    finishResponse(requestSession)?.finally(() => endResponse(requestSession)) ?? endResponse(requestSession);
}
