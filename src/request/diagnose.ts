import type { Diagnosis } from "../diagnostics.ts";
import { lastSeenAt } from "../lifecycle/timeouts.ts";
import { warnOnce } from "../warnings.ts";
import { warnOfForeignCookie } from "./cookie-warnings.ts";
import { cookieParts, type CookieParts } from "./cookie.ts";
import { createReturns, type Returns } from "./cookie-returns.ts";
import { isOwnOrigin } from "./origin.ts";
import { hasTokenLike, presentedIn } from "./presented-tokens.ts";
import type { RequestSession } from "./request-session.ts";
import { claimsHttps, cookieHeader, hostOf, innermost, requestHeader, type AnyRequest } from "./request.ts";
import { pathOf } from "./target.ts";
import { isUsual, LONG_HEADER } from "./usual-request.ts";

/** Servers that keep time by NTP differ by less. */
const CLOCK_TOLERANCE = 5000;
/** Chromium and Firefox keep about this many cookies of a site, and then forget the oldest. */
const MANY_COOKIES = 150;

/** The parts of a page that show another page. */
const FRAMES: readonly string[] = ["iframe", "frame", "embed", "object"];

/** What is known of a request and its response. */
interface Facts {
  readonly session: RequestSession;
  readonly request: AnyRequest;
  readonly isSecure: boolean;
  /** The Cookie header. */
  readonly header: string;
  /** Our cookie, as this request would be given it. */
  readonly cookie: CookieParts;
  /** The Sec-Fetch headers. Browsers send them by HTTPS and to this machine. */
  readonly site: string | undefined;
  readonly mode: string | undefined;
}

/**
 * Tells why a cookie is missing or refused: each reason once in this process. The texts name options, never a value that a
 * client has sent.
 */
export function createDiagnosis(): Diagnosis {
  const returns = createReturns();
  const cookieOf = createCookieParts();
  return {
    isNeeded(session, request) {
      if (session.bearer) return false;
      if (!isUsual(session)) return true;
      if (session.request.cookieHeader) returns.cameBack(request, session);
      return isAhead(session);
    },

    diagnose(session, request) {
      // A client with a token in a header needs no cookie.
      if (session.bearer) return;
      const facts = factsOf(session, request, cookieOf);
      checkHeader(facts);
      if (session.cookie.written?.some((line) => cookieParts(line).attributes.maxAge !== 0)) {
        checkIssued(facts);
        returns.issued(request, session);
      } else if (isPresented(facts)) {
        returns.cameBack(request, session);
        if (session.context.clientSide) checkPieces(session);
        else checkPresented(facts);
      } else if (session.progress.isAccessed) {
        checkMissing(facts, returns);
        if (returns.isMissing(request, session)) warnOfLostCookie(facts);
      }
      checkClock(session);
    },
  };
}

/** Our cookie by HTTP and by HTTPS is the same for all requests. */
function createCookieParts(): (session: RequestSession) => CookieParts {
  let plain: CookieParts | undefined;
  let secure: CookieParts | undefined;
  return ({ context: { cookie }, request: { isSecure } }) =>
    isSecure ? (secure ??= cookieParts(cookie.clear(true))) : (plain ??= cookieParts(cookie.clear(false)));
}

function factsOf(
  session: RequestSession,
  request: AnyRequest,
  cookieOf: (session: RequestSession) => CookieParts,
): Facts {
  return {
    session,
    request,
    isSecure: session.request.isSecure,
    header: cookieHeader(request) ?? "",
    cookie: cookieOf(session),
    site: requestHeader(request, "sec-fetch-site"),
    mode: requestHeader(request, "sec-fetch-mode"),
  };
}

function ownValues({ session: { context }, header, isSecure }: Facts): string[] {
  return context.cookie.values(header, isSecure);
}

/** Whether the request has a cookie of our name. A session that is kept in cookies has names with a number behind. */
function isPresented(facts: Facts): boolean {
  const { clientSide, cookie } = facts.session.context;
  if (!clientSide) return ownValues(facts).length > 0;
  return facts.header.split(";").some((pair) => pair.trimStart().startsWith(cookie.nameFor(facts.isSecure)));
}

// A cookie that goes out

function checkIssued(facts: Facts): void {
  const { request, cookie, isSecure } = facts;
  const { context } = facts.session;
  const { baseName } = context.cookie;
  const { secure, domain, path } = cookie.attributes;
  const isLoopback = isForLoopback(request);
  const usedHttps = saysHttps(facts, isLoopback);
  if (secure && !usedHttps && !isLoopback && isBrowser(request)) {
    warnOnce(
      "SOJOURN_SECURE_OVER_HTTP",
      baseName,
      `The cookie ${baseName} goes out with Secure to a browser that uses plain HTTP, which drops it: leave cookie.secure at ` +
        '"auto", or serve the site over HTTPS',
    );
  }
  if (!secure && usedHttps && !isSecure && !claimsHttps(request)) {
    warnOnce(
      "SOJOURN_SILENT_PROXY",
      baseName,
      "A browser used HTTPS, and its request arrived by HTTP without X-Forwarded-Proto. The cookie goes out without Secure: let " +
        "the proxy set that header, and set trustProxy to true",
    );
  }
  const host = (context.trustProxy && requestHeader(request, "x-forwarded-host")) || hostOf(request);
  if (domain !== undefined && host !== undefined && !isWithinDomain(host, domain)) {
    warnOnce(
      "SOJOURN_COOKIE_DOMAIN",
      baseName,
      `The cookie ${baseName} goes out with the domain ${domain} to a page of another host, and browsers drop it: leave ` +
        "cookie.domain out, or let the proxy pass on the header Host unchanged",
    );
  }
  if (!isWithinPath(pathInBrowser(request), path)) warnOfPath(baseName, path);
}

function isForLoopback(request: AnyRequest): boolean {
  return /^(?:(?:[\w-]+\.)*localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i.test(hostOf(request) ?? "");
}

/** Whether the browser says that it used HTTPS, or a proxy does. */
function saysHttps({ request, site, isSecure }: Facts, isLoopback: boolean): boolean {
  if (isSecure || claimsHttps(request) || (site !== undefined && !isLoopback)) return true;
  return requestHeader(request, "origin")?.startsWith("https:") === true && site !== "cross-site";
}

/** The path that a browser compares with the cookie's. A target may be a whole URL (RFC 9112, section 3.2.2). */
function pathInBrowser(request: AnyRequest): string {
  return pathOf(request).replace(/^https?:\/\/[^/]*/i, "") || "/";
}

function warnOfPath(baseName: string, path: string): void {
  warnOnce(
    "SOJOURN_COOKIE_PATH",
    baseName,
    `A route outside of ${path} uses the session, and browsers send the cookie ${baseName} to paths below it only: leave ` +
      "cookie.path out",
  );
}

/** RFC 6265, section 5.1.3. */
function isWithinDomain(host: string, domain: string): boolean {
  // The dot at the end is of the client's own making: no option mends it.
  const name = host.replace(/\.?(?::\d+)?$/, "").toLowerCase();
  return name === domain.toLowerCase() || name.endsWith(`.${domain.toLowerCase()}`);
}

/** RFC 6265, section 5.1.4. */
function isWithinPath(path: string, cookiePath: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith("/") ? cookiePath : `${cookiePath}/`);
}

// Cookies that came

/** Browsers and servers limit all cookies together. */
function checkHeader(facts: Facts): void {
  const { session } = facts;
  const pairs = foreignPairs(facts);
  const length = pairs.join(";").length;
  if (length <= LONG_HEADER && (pairs.length < MANY_COOKIES || isPresented(facts))) return;
  warnOnce(
    "SOJOURN_MANY_COOKIES",
    session.context.cookie.baseName,
    `The cookies of this host have more than ${LONG_HEADER} bytes, or are more than ${MANY_COOKIES}. Browsers forget the ` +
      "oldest ones, and servers refuse the request (400, 431), so that users seem signed out: remove cookies that nobody needs",
  );
}

/** The cookies of the header. The pieces of a session that its client keeps are left out: `maxBytes` limits them. */
function foreignPairs({ header, session: { context }, isSecure }: Facts): string[] {
  const pairs = header.split(";");
  if (!context.clientSide) return pairs;
  const name = context.cookie.nameFor(isSecure);
  return pairs.filter((pair) => !pair.trimStart().startsWith(name));
}

function checkPresented(facts: Facts): void {
  const { session, request, header, isSecure } = facts;
  const { context } = session;
  const { baseName } = context.cookie;
  const values = ownValues(facts);
  if (values.length > 1) {
    warnOnce(
      "SOJOURN_DUPLICATE_COOKIE",
      baseName,
      `A request carries several cookies named ${baseName}, of different paths or domains. If two of them open sessions, neither ` +
        "is believed: delete the cookies in the browser, and do not change cookie.path and cookie.domain without changing cookie.name",
    );
  }
  if (presentedIn(context, header, isSecure)) {
    if (isUnknown(session)) warnOfUnknownSession(baseName);
  } else if (hasTokenLike(context, header, isSecure)) {
    warnOfForeignCookie(context, request);
  } else if (values.some((value) => value !== "")) {
    warnOnce(
      "SOJOURN_OTHER_COOKIE",
      baseName,
      `A cookie named ${baseName} arrived that Sojourn has not made: another application on this host, whatever its port, uses the ` +
        "same name. Give this one its own cookie.name",
    );
  }
}

/** Cookies that keep a session. Their numbers make several normal. */
function checkPieces(session: RequestSession): void {
  if (!isUnknown(session)) return;
  const { baseName } = session.context.cookie;
  warnOnce(
    "SOJOURN_UNREADABLE_COOKIE",
    baseName,
    `Cookies named ${baseName} arrived that open no session. If it has neither expired nor ended, the secret key was changed (keep ` +
      "the old one in the list), another application uses the same cookie.name, or the browser has lost one of the cookies",
  );
}

/** The token is good, and the store has no session for it. */
function isUnknown({ isLoaded, isSignedOut, tokenStatus, progress, loaded }: RequestSession): boolean {
  return isLoaded && !isSignedOut && tokenStatus === "anonymous" && !progress.isPersonal && loaded === undefined;
}

function warnOfUnknownSession(baseName: string): void {
  warnOnce(
    "SOJOURN_UNKNOWN_SESSION",
    baseName,
    `A cookie named ${baseName} with a valid signature names a session that the store does not have. If the session has neither ` +
      "expired nor ended, the store has lost it: a memoryStore loses its sessions when the process ends, and each process needs the same store",
  );
}

/** Whether the record is from the future, seen by this server's clock. */
function isAhead(session: RequestSession): boolean {
  return millisecondsAhead(session) > CLOCK_TOLERANCE;
}

function millisecondsAhead({ context, loaded }: RequestSession): number {
  return loaded ? lastSeenAt(loaded.expiresAt, loaded.record, context.timeouts) - context.now() : 0;
}

function checkClock(session: RequestSession): void {
  const ahead = millisecondsAhead(session);
  if (ahead <= CLOCK_TOLERANCE) return;
  warnOnce(
    "SOJOURN_CLOCKS_DIFFER",
    session.context.cookie.baseName,
    `A session was used ${Math.round(ahead / 1000)} s in the future by the clock of this process, so that timeouts come too early ` +
      "or too late: synchronise the clocks of all servers (NTP), and give every process the same timeouts",
  );
}

// Cookies that did not come

function checkMissing(facts: Facts, returns: Returns): void {
  const { session, request, header, cookie, isSecure, mode } = facts;
  // A preflight has no cookies, whatever the page asks for.
  if (methodOf(request) === "OPTIONS") return;
  const { context } = session;
  const { baseName } = context.cookie;
  const { sameSite, path } = cookie.attributes;
  if (context.cookie.values(header, !isSecure).length > 0) warnOfPrefix(baseName, isSecure);
  if (header === "" && !isWithinPath(pathInBrowser(request), path)) warnOfPath(baseName, path);
  // A forged request comes without the cookie, as it should.
  if (session.request.isRefused) return;
  const site = siteOf(facts);
  if (site === "cross-site" && sameSite !== "none" && isKeptBack(facts, sameSite)) {
    warnOnce(
      "SOJOURN_SAME_SITE",
      baseName,
      `A page of another site sent a request without the cookie ${baseName}: with cookie.sameSite "${sameSite}" browsers keep it ` +
        'back. Take the result by a redirect with GET, or set cookie.sameSite to "none" and protect the routes with csrfProtection()',
    );
  } else if (
    (site === "cross-site" || site === "same-site") &&
    (mode === "cors" || mode === undefined) &&
    returns.isWithheld(request, session)
  ) {
    warnOnce(
      "SOJOURN_NO_CREDENTIALS",
      baseName,
      `A script of another origin sent a request without the cookie ${baseName}, which its browser was given: call fetch with credentials: "include", at the ` +
        "sign-in too, and answer with Access-Control-Allow-Credentials: true and that origin",
    );
  }
}

/** Whether the browser keeps the cookie back from a request of another site, for what it is. */
function isKeptBack({ request, mode }: Facts, sameSite: "lax" | "strict"): boolean {
  const method = methodOf(request);
  if (method !== "GET" && method !== "HEAD") return true;
  // Images and styles that another site shows. Their pages are not about anybody's session.
  if (mode === "no-cors") return false;
  const isFrame = FRAMES.includes(requestHeader(request, "sec-fetch-dest") ?? "");
  const isNavigation = (mode === "navigate" || mode === undefined) && !isFrame;
  return sameSite === "strict" || !isNavigation;
}

function methodOf(request: AnyRequest): string | undefined {
  return (innermost(request) as { readonly method?: string }).method;
}

/** From where the request came, by Sec-Fetch-Site, or by Origin where the browser leaves that out. */
function siteOf({ site, request, session }: Facts): string | undefined {
  const origin = requestHeader(request, "origin");
  if (site !== undefined || origin === undefined) return site;
  if (isOwnOrigin(request, origin, session.context.trustProxy)) return "same-origin";
  const { hostname } = new URL(URL.canParse(origin) ? origin : "null:");
  return hostname === new URL(`http://${hostOf(request)}`).hostname ? "same-site" : "cross-site";
}

function warnOfPrefix(baseName: string, isSecure: boolean): void {
  if (isSecure) {
    warnOnce(
      "SOJOURN_HTTP_COOKIE",
      baseName,
      `The cookie ${baseName} that was set over HTTP came to a request over HTTPS, where only the one with the prefix __Host- or ` +
        "__Secure- is believed. Redirect all requests to HTTPS, and set trustProxy to the same value in every process",
    );
    return;
  }
  warnOnce(
    "SOJOURN_HTTPS_COOKIE",
    baseName,
    `The cookie ${baseName} with the prefix of HTTPS came to a request that looks like HTTP, where it is not read: set trustProxy ` +
      "to true if a proxy ends HTTPS, in every process",
  );
}

function warnOfLostCookie({ session: { context }, cookie, isSecure }: Facts): void {
  const { baseName } = context.cookie;
  const isDropped = cookie.attributes.secure && !isSecure;
  const reason = isDropped
    ? "some browsers drop Secure over HTTP, on this machine too"
    : "the browser may block cookies";
  warnOnce(
    "SOJOURN_LOST_COOKIE",
    baseName,
    `A browser was given the cookie ${baseName}, and its next page came without it: ${reason}. Look at the cookie in the ` +
      "developer tools of the browser, where the response that sets it names the reason",
  );
}

function isBrowser(request: AnyRequest): boolean {
  return requestHeader(request, "user-agent")?.startsWith("Mozilla/") === true;
}
