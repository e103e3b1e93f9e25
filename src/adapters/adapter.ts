import { commit } from "../lifecycle/commit.ts";
import { commitToResponse, concludeFailure, concludeResponse, reportBypassed } from "../request/respond.ts";
import { canSetHeaders, copyWithHeaders, CopyHeaders, withoutCookies } from "../request/fetch-response.ts";
import { endResponse, finishResponse } from "../request/finish-response.ts";
import { loadSession } from "../request/load-session.ts";
import type { ResponseHeaders } from "../request/cache-headers.ts";
import type { CloseSource } from "../request/request.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { Session } from "../session.ts";
import { checkOptions, type OptionNames } from "../checks.ts";
import { isPromise, type Answer } from "../coroutine.ts";
import type { AnyRequest } from "../request/request.ts";
import type { SessionContext } from "./context.ts";
import type { CsrfProtection } from "./csrf.ts";
import { expectBearer, type BearerTokens } from "../request/bearer.ts";

export { sessionFactory } from "../sessions.ts";
export { checkUnread, isResponse } from "../request/fetch-response.ts";
export {
  expectFramework,
  isEngineRequest,
  mountOf,
  type Framework,
  type OtherFramework,
} from "../request/frameworks.ts";
export { isPrefetch } from "../request/prefetch.ts";
export { disconnectionOf, linkReplacement } from "../request/request.ts";
export {
  createRecentSignInGuard,
  createUserGuard,
  returnTo,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
  type ReturnOptions,
} from "./guards.ts";
export { logSessionError } from "./log.ts";
export { checkUnreplaced, type SessionHolder } from "./replaced.ts";
export type { CookieAttributes, CookieParts } from "../request/cookie.ts";
export type { DeclaredData } from "../session.ts";
export type { CloseSource, ResponseHeaders };

/** The options of every adapter. Of adapters that are mounted within another, for some routes, each one's options hold there. */
export interface AdapterOptions<Request> {
  /**
   * Leaves out reading the session before the handler: `true` for every route, or a function that decides for a
   * request. The handler calls `await session.load()` before it uses the session. Default `false`: the session is read
   * before every handler, if the request carries a token.
   */
  lazy?: boolean | ((request: Request) => boolean) | undefined;
  /** Requests that do not extend their session, such as polling. Default: none. */
  passive?: ((request: Request) => boolean) | undefined;
  /**
   * Routes that may use the session for the first time when the response is under way (streamed rendering): `true` for
   * all, or a function that says so of a request. Caches are told from the start that their pages depend on it. Default:
   * none, and such a use throws.
   */
  personal?: boolean | ((request: Request) => boolean) | undefined;
  /**
   * `bearerTokens()` of "sojourn/bearer", or a function that gives it for some requests: native clients send the session's
   * token in `Authorization: Bearer`. Default: only the cookie counts.
   */
  bearer?: BearerTokens | ((request: Request) => BearerTokens | undefined) | undefined;
  /** `csrfProtection()` of "sojourn/csrf": refuses requests that pages of other origins send, before the handler. Default: none. */
  csrf?: CsrfProtection | undefined;
  /** `context` of "sojourn/context": its `session` is the current request's, anywhere below the handler. Default: none. */
  context?: SessionContext | undefined;
}

/** Applies an adapter's options to a request's session, and reads it. `undefined` where there is nothing to wait for. */
export type Prepare<Request> = <Data extends object>(
  session: Session<Data>,
  request: Request,
) => Promise<unknown> | undefined;

/** The names of the options of every adapter. An adapter adds its own. */
export const ADAPTER_OPTIONS: OptionNames<AdapterOptions<never>> = {
  lazy: true,
  passive: true,
  personal: true,
  bearer: true,
  csrf: true,
  context: true,
};

/**
 * Checks an adapter's options.
 *
 * @param adapter - the adapter's name, for messages.
 * @param names - the options that it has: `{ ...ADAPTER_OPTIONS, onError: true }`
 * @throws TypeError for an option that the adapter does not have, or that is something else.
 */
export function resolveAdapterOptions<Request, Options extends AdapterOptions<Request>>(
  adapter: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): Prepare<Request> {
  checkOptions(adapter, options, names);
  const { lazy = false, passive, personal = false, bearer, csrf, context } = options;
  if (csrf !== undefined && typeof (csrf as Partial<CsrfProtection> | null)?.admit !== "function") {
    throw new TypeError(`${adapter}: csrf takes csrfProtection() of "sojourn/csrf"`);
  }
  if (context !== undefined && typeof (context as Partial<SessionContext> | null)?.run !== "function") {
    throw new TypeError(`${adapter}: context takes context of "sojourn/context"`);
  }
  if (bearer !== undefined && typeof bearer !== "function") expectBearer(adapter, bearer);
  const isTrueFor = (option: boolean | ((request: Request) => boolean), request: Request) =>
    typeof option === "function" ? option(request) : option;

  const read: Prepare<Request> = (session, request) =>
    session.isLoaded || isTrueFor(lazy, request) ? undefined : loadSession(requestSessionOf(session));

  return (session, request) => {
    if (bearer) {
      const tokens = typeof bearer === "function" ? bearer(request) : bearer;
      // Refused before anything else: which session it would be is not clear.
      const refusing = tokens && expectBearer(adapter, tokens).begin(requestOf(session), session);
      if (refusing) return refusing;
    }
    if (passive) session.passive = passive(request);
    if (isTrueFor(personal, request)) requestSessionOf(session).progress.markAccessed();
    // Refused before the store is asked.
    const admitting = csrf?.admit(requestOf(session), session);
    return admitting ? admitting.then(() => read(session, request)) : read(session, request);
  };
}

/** The request itself. The adapter's own object may be a context that nobody else knows. */
function requestOf<Data extends object>(session: Session<Data>): AnyRequest {
  return requestSessionOf(session).request.raw;
}

/**
 * Makes the outermost adapter of a request responsible for its response.
 *
 * @param response - its `close` event says that the response is done; `session.signal` is released then.
 * @returns `false` for an adapter that is mounted within another: that one concludes the response.
 */
export function claimResponse<Data extends object>(session: Session<Data>, response?: CloseSource): boolean {
  const requestSession = requestSessionOf(session);
  const isOutermost = requestSession.progress.claim();
  if (isOutermost && response) requestSession.progress.source = response;
  return isOutermost;
}

/** Tells a session the client's network address, where the request itself does not. It is asked for at a sign-in. */
export function tellAddress<Data extends object>(session: Session<Data>, address: () => string | undefined): void {
  requestSessionOf(session).request.besideAddress = address;
}

/**
 * Finds the client's address in the argument that a server of fetch handlers passes beside the request: of
 * @hono/node-server, Deno, or Bun.
 */
export function findAddress(serverArgument: unknown, request: unknown): string | undefined {
  const { incoming, remoteAddr, requestIP, server } = (serverArgument ?? {}) as Partial<Record<string, unknown>>;
  const { socket } = (incoming ?? {}) as { socket?: { remoteAddress?: string } };
  if (socket) return socket.remoteAddress;
  if (remoteAddr) return (remoteAddr as { hostname?: string }).hostname;
  if (typeof requestIP === "function") {
    const found = requestIP.call(serverArgument, request) as { address?: string } | null;
    return found?.address;
  }
  return server ? findAddress(server, request) : undefined;
}

/**
 * Stores the session's changes and writes the cookie and the rules for caches to the response's headers. Call it when the
 * headers are about to leave. `undefined` where nothing has to be waited for; the headers are written then.
 *
 * @throws only by the promise: the errors of `session.save()`. Answer with {@link failSession} then.
 */
export function concludeSession<Data extends object>(
  session: Session<Data>,
  headers: ResponseHeaders,
): Promise<void> | undefined {
  return concludeResponse(requestSessionOf(session), headers);
}

/** Commits a session to a fetch response as `sessions.commit` does, but without a promise where nothing has to be waited for. */
export function commitSession<Data extends object>(session: Session<Data>, response: Response): Answer<Response> {
  return commitToResponse(requestSessionOf(session), response);
}

/**
 * Writes the headers of an error's response: nobody may store it. The cookie of an earlier commit goes with it, unless
 * another request has ended the session meanwhile. `undefined` where nothing has to be waited for; the headers are written
 * then. The promise never rejects.
 */
export function failSession<Data extends object>(
  session: Session<Data>,
  headers: ResponseHeaders,
): Promise<void> | undefined {
  return concludeFailure(requestSessionOf(session), headers);
}

/** Whether a handler has used the session, so that what it makes is not for everybody. */
export function dependsOnSession<Data extends object>(session: Session<Data>): boolean {
  return requestSessionOf(session).progress.isAccessed;
}

/** Gives a copy of an error's response, with the headers that {@link failSession} writes. Nothing is stored any more. */
export async function failResponse<Data extends object>(session: Session<Data>, response: Response): Promise<Response> {
  if (!canSetHeaders(response)) return response;
  const headers = new CopyHeaders(response);
  await failSession(session, headers);
  endSession(session);
  return copyWithHeaders(response, headers);
}

/**
 * Stores what needs no cookie, and extends the session, where no response can carry one: while a framework renders its
 * components, for example. `undefined` where there is nothing to wait for.
 *
 * @throws only by the promise: the errors of `session.save()`, ERR_SESSION_HEADERS_SENT for a change that needs a cookie.
 */
export function storeSession<Data extends object>(session: Session<Data>): Promise<void> | undefined {
  return commit(requestSessionOf(session), "save", false);
}

/**
 * Lets {@link concludeSession} store once more: for a framework that runs several handlers in one request, and sends the
 * headers after all of them.
 */
export function reopenSession<Data extends object>(session: Session<Data>): void {
  requestSessionOf(session).progress.reopen();
}

/** Tells whether something of the session was stored in between: the number is another then. `undefined`: there is no session. */
export function revisionOf<Data extends object>(session: Session<Data>): number | undefined {
  return requestSessionOf(session).loaded?.version;
}

/**
 * Stores the changes that were made after the headers. Call it before the last byte of a streamed response.
 *
 * @throws only by the promise. The response must not look complete then.
 */
export function finishSession<Data extends object>(session: Session<Data>): Promise<void> | undefined {
  return finishResponse(requestSessionOf(session));
}

/**
 * Nothing is stored any more, from here on. Call it where an error's response is given without {@link finishSession}, so
 * that changes behind it are reported.
 */
export function endSession<Data extends object>(session: Session<Data>): void {
  endResponse(requestSessionOf(session));
}

/**
 * Reports changes that nobody stores, since the response has ended without {@link concludeSession}.
 *
 * @param how - the end of "The session was changed …".
 */
export function reportBypass<Data extends object>(session: Session<Data>, how: string): void {
  reportBypassed(requestSessionOf(session), how);
}

/**
 * Nobody would keep a cookie of this response: a change that needs one throws from here on. Call `session.save()` before
 * {@link commitSession} then, which writes the headers alone.
 */
export function detachSession<Data extends object>(session: Session<Data>): void {
  requestSessionOf(session).progress.attach();
}

/**
 * The framework renders an error page for the same request, by the same adapter. The next commit decides the cookie.
 *
 * @param former - the committed response that the page takes the place of: its cookies of the session are taken out. Without
 *   one there was an error: the changes of its handler are forgotten.
 */
export function reopenResponse<Data extends object>(session: Session<Data>, former: Response | undefined): void {
  const { progress, cookie, changes } = requestSessionOf(session);
  progress.reopen();
  if (former) withoutCookies(former.headers, cookie.written ?? []);
  else changes.forget();
  cookie.repeat();
}

/** The response was not given: nobody listens to `session.signal` any more. */
export function releaseSession<Data extends object>(session: Session<Data>): void {
  requestSessionOf(session).signal?.release();
}

/**
 * Finds the object that tells of a response's end, where a server of fetch handlers passes it beside the request:
 * @hono/node-server has the response of node:http, and of an upgrade the request with its socket; Deno has a promise.
 */
export function findResponse(serverArgument: unknown): CloseSource | undefined {
  const { outgoing, incoming, completed } = (serverArgument ?? {}) as {
    outgoing?: Partial<CloseSource>;
    incoming?: { socket?: Partial<CloseSource> };
    completed?: unknown;
  };
  const closing = outgoing ?? incoming?.socket;
  if (typeof closing?.once === "function") return closing as CloseSource;
  if (!isPromise(completed)) return undefined;
  return { once: (_event, listener) => void completed.then(listener, listener) };
}

/** Whether a header describes a response that could not be given. It must not get into the error's response. */
export function describesResponse(header: string): boolean {
  return /^(content-.*|etag|expires|last-modified|link|location|refresh|session-token|set-cookie)$/.test(header);
}
