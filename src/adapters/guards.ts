import { checkOptions } from "../checks.ts";
import { milliseconds, type Duration } from "../duration.ts";
import { SessionError } from "../errors.ts";
import { printable } from "../printable.ts";
import { isCalledByFramework, mountOf, type Framework, type OtherFramework } from "../request/frameworks.ts";
import { isOwnOrigin } from "../request/origin.ts";
import { innermost, requestHeader, type AnyRequest } from "../request/request.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import { pathOf, targetOf } from "../request/target.ts";
import type { Session } from "../session.ts";

/** The options of `requireUser`. */
export interface GuardOptions {
  /**
   * The path of the page to sign in, such as `"/login"`. A browser that asks for a page is sent there by a redirect, and
   * {@link returnTo} brings it back. The page itself is let through. Default: none, and the answer is 401. A script gets 401
   * in any case. It has no fragment and no parameter `returnTo`.
   */
  loginPage?: string | undefined;
}

/** The options of `requireRecentSignIn`. */
export interface RecentSignInOptions extends GuardOptions {
  /** The maximum time since the sign-in, such as `"10m"`. */
  within: Duration;
}

/**
 * Decides on a request. Gives the place to redirect to, or `undefined` where the handler may run. A promise only where the
 * session of a lazy route has to be read.
 *
 * @throws SessionError ERR_SESSION_SIGN_IN (401).
 */
export type Guard = (request: AnyRequest, session: unknown) => string | undefined | Promise<string | undefined>;

/**
 * Lets requests pass whose session belongs to a user: the decision of `requireUser`, for an adapter.
 *
 * @throws TypeError for an unknown option, and for a `loginPage` that is no path of this site.
 */
export function createUserGuard(
  framework: Framework | OtherFramework,
  options: GuardOptions,
  name = "requireUser",
): Guard {
  checkCalled(name, options, `${name}()`);
  checkOptions(name, options, { loginPage: true });
  return createGuard(framework, name, options, (session) => session.userId !== undefined);
}

/** Lets requests pass whose user signed in within the given time: the decision of `requireRecentSignIn`, for an adapter. */
export function createRecentSignInGuard(
  framework: Framework | OtherFramework,
  options: RecentSignInOptions,
  name = "requireRecentSignIn",
): Guard {
  checkCalled(name, options, `${name}({ within: "10m" })`);
  checkOptions(name, options, { loginPage: true, within: true });
  const { within } = options;
  const maxAge = Math.floor(milliseconds(within, `${name}: within`) / 1000);
  return createGuard(framework, name, options, (session) => session.signedInWithin(within), maxAge);
}

function checkCalled(name: string, options: unknown, call: string): void {
  if (isCalledByFramework(options)) throw new TypeError(`${name} must be called: ${call}`);
}

function createGuard(
  framework: Framework | OtherFramework,
  name: string,
  { loginPage }: GuardOptions,
  isMet: (session: Session<object>) => boolean,
  maxAge?: number,
): Guard {
  if (loginPage !== undefined && safePath(loginPage) !== loginPage) {
    throw new TypeError(`${name}: loginPage is a path of this site, such as "/login", not ${printable(loginPage)}`);
  }
  checkRoomForReturn(name, loginPage);
  const loginPath = loginPage?.split("?", 1)[0];

  function decide(request: AnyRequest, session: Session<object>): string | undefined {
    if (isMet(session)) return undefined;
    // Otherwise a guard before all routes would redirect to itself.
    if (loginPage !== undefined && pathOf(request) === loginPath) return undefined;
    if (loginPage !== undefined && isForPage(request)) return withReturn(loginPage, request);
    const isUser = session.userId !== undefined;
    const error = signInError(isUser);
    throw requestSessionOf(session).bearer?.explain(error, isUser ? maxAge : undefined) ?? error;
  }

  return (request, given) => {
    const session = expectSession(given, framework);
    return session.isLoaded ? decide(request, session) : session.load().then(() => decide(request, session));
  };
}

/** Whether a guard can add the parameter {@link FIELD} to the login page. */
function checkRoomForReturn(name: string, loginPage = ""): void {
  const { hash, searchParams } = new URL(loginPage, BASE);
  if (hash !== "") {
    throw new TypeError(
      `${name}: loginPage has a fragment, and the page to come back to would be a part of it: leave it out`,
    );
  }
  if (searchParams.has(FIELD)) {
    throw new TypeError(
      `${name}: loginPage has the parameter ${FIELD}, which the guard adds: leave it out, and call returnTo(request, { fallback })`,
    );
  }
}

/**
 * Checks that a request has a session.
 *
 * @throws TypeError that says how to mount the sessions.
 */
export function expectSession(session: unknown, framework: Framework | OtherFramework): Session<object> {
  try {
    requestSessionOf(session);
  } catch {
    throw new TypeError(`This request has no session: ${mountOf(framework)}`);
  }
  return session as Session<object>;
}

function signInError(isUser: boolean): SessionError {
  if (isUser) return new SessionError("ERR_SESSION_SIGN_IN", "Please sign in again: the last sign-in is too long ago");
  return new SessionError("ERR_SESSION_SIGN_IN", "Please sign in");
}

/** Whether a person waits for a page. A script would take the login page for the answer to its call. */
function isForPage(request: AnyRequest): boolean {
  const mode = requestHeader(request, "sec-fetch-mode");
  if (mode !== undefined && mode !== "navigate") return false;
  return requestHeader(request, "accept")?.toLowerCase().includes("text/html") === true;
}

// The way back

const FIELD = "returnTo";
const LONGEST = 2048;
const BASE = "http://localhost";

/** The login page, with the page to come back to. A form that was sent can't be sent again. */
function withReturn(loginPage: string, request: AnyRequest): string {
  const { method } = innermost(request) as { readonly method?: string };
  const path = method === "GET" || method === "HEAD" ? safePath(targetOf(request)) : undefined;
  if (path === undefined) return loginPage;
  return `${loginPage}${loginPage.includes("?") ? "&" : "?"}${FIELD}=${encodeURIComponent(path)}`;
}

/** The options of {@link returnTo}. */
export interface ReturnOptions {
  /** The path of this site for a request without a page to come back to, and for one that names another site. Default `"/"`. */
  fallback?: string | undefined;
  /** The page to come back to, where a field of the form has it. Default: the parameter `returnTo` of the request's URL. */
  value?: unknown;
}

/**
 * The page to redirect to after signing in: the one that a guard has redirected from. It is always a path of this site,
 * whatever the request names.
 *
 * @example
 * req.session.signIn(user.id);
 * res.redirect(303, returnTo(req));
 *
 * @throws TypeError for a `fallback` that is no path of this site.
 */
export function returnTo(request: AnyRequest, options: ReturnOptions = {}): string {
  checkOptions("returnTo", options, { fallback: true, value: true });
  const { fallback = "/", value = parameterOf(request) } = options;
  if (safePath(fallback) !== fallback) {
    throw new TypeError(`returnTo: fallback is a path of this site, such as "/", not ${printable(fallback)}`);
  }
  if (typeof value !== "string") return fallback;
  const [origin] = /^https?:\/\/[^/?#\\]+/i.exec(value) ?? [];
  if (origin === undefined) return safePath(value) ?? fallback;
  const rest = value.slice(origin.length);
  const isOwn = isOwnOrigin(request, origin, false);
  return (isOwn ? safePath(rest.startsWith("/") ? rest : `/${rest}`) : undefined) ?? fallback;
}

/** Two parameters would be read in two ways. */
function parameterOf(request: AnyRequest): string | undefined {
  const target = targetOf(request);
  const start = target.indexOf("?");
  const values = start < 0 ? [] : new URLSearchParams(target.slice(start)).getAll(FIELD);
  return values.length === 1 ? values[0] : undefined;
}

/**
 * A path of this site as a browser reads it, or `undefined` for anything that could lead elsewhere. Browsers take `\` for
 * `/`, leave out tabs and line breaks, and read `//host` as another site; a path may become that only when `.` is resolved.
 */
function safePath(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > LONGEST || !/^\/(?:(?!\\)[!-~])*$/.test(value)) return undefined;
  if (value.startsWith("//") || !URL.canParse(value, BASE)) return undefined;
  const { origin, pathname, search, hash } = new URL(value, BASE);
  // Some servers and proxies decode the beginning once more.
  if (origin !== BASE || /^\/(?:\/|%2f|%5c|%[01])/i.test(pathname)) return undefined;
  return `${pathname}${search}${hash}`;
}
