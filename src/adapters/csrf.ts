import { randomBytes } from "node:crypto";
import { checkOptions } from "../checks.ts";
import { SessionError } from "../errors.ts";
import { checkTrusted, isOwnOrigin, isOwnSite } from "../request/origin.ts";
import { innermost, requestHeader, type AnyRequest } from "../request/request.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import { pathOf } from "../request/target.ts";
import type { RequestSession } from "../request/request-session.ts";
import type { Session } from "../session.ts";

/** The options of {@link csrfProtection}. */
export interface CsrfOptions {
  /** Other origins whose pages may send forms and requests: `["https://accounts.example.com"]`. Default: none. */
  trustedOrigins?: readonly string[] | undefined;
  /**
   * Paths that are not protected, such as those of webhooks: `["/webhooks/payment"]`. A request is exempt if its path is the
   * same, character by character. Default: none.
   */
  exempt?: readonly string[] | undefined;
  /**
   * A request with neither `Sec-Fetch-Site` nor `Origin`: `"allow"`, because no current browser sends a form like that, or
   * `"refuse"` unless it has a token, for browsers from before 2020. Default `"allow"`.
   */
  withoutOrigin?: "allow" | "refuse" | undefined;
}

/** The options of {@link CsrfProtection.check}. */
export interface CsrfCheckOptions {
  /** The token that the form has sent. Default: the header `X-CSRF-Token`, in which a script sends it. */
  token?: unknown;
  /** Checks GET and HEAD too, for a link that changes something, such as one that signs out. Default `false`. */
  everyMethod?: boolean | undefined;
}

/** Protection from cross-site request forgery, for the option `csrf` of an adapter. */
export interface CsrfProtection {
  /**
   * Checks a request where it is called, instead of in the adapter: with the token of a form that was parsed before, or for a
   * route whose GET changes something.
   *
   * @throws SessionError ERR_SESSION_ORIGIN (403).
   */
  check<Data extends object>(request: AnyRequest, session: Session<Data>, options?: CsrfCheckOptions): void;
  /**
   * A token for a form or a script of a page that the browser does not take for a page of this origin. It is different at
   * each call, and valid as long as the session has this id: a sign-in invalidates it.
   *
   * @throws TypeError for a visitor's session to which nothing was written: it will not be stored, and its id is lost.
   */
  token<Data extends object>(session: Session<Data>): string;
  /** For adapters: checks the headers, and reads the session only for a token. `undefined` where there is nothing to wait for. */
  admit<Data extends object>(request: AnyRequest, session: Session<Data>): Promise<void> | undefined;
}

/**
 * Protects from cross-site request forgery: refuses unsafe methods (all but GET, HEAD and OPTIONS) that a page of another
 * origin makes the browser send. Current browsers say so in `Sec-Fetch-Site` (W3C Fetch Metadata), older ones in `Origin`
 * (RFC 6454).
 *
 * @example
 * app.use(sessionMiddleware(sessions, { csrf: csrfProtection() }));
 *
 * @throws TypeError for an origin or a path that could not match as it is meant.
 */
export function csrfProtection(options: CsrfOptions = {}): CsrfProtection {
  checkOptions("csrfProtection", options, { trustedOrigins: true, exempt: true, withoutOrigin: true });
  const { trustedOrigins = [], exempt = [], withoutOrigin = "allow" } = options;
  checkTrusted("csrfProtection", "trustedOrigins", trustedOrigins);
  if (!Array.isArray(exempt)) throw new TypeError("csrfProtection: exempt is a list of strings");
  for (const path of exempt) checkExempt(path);
  if (withoutOrigin !== "allow" && withoutOrigin !== "refuse") {
    throw new TypeError('csrfProtection: withoutOrigin is "allow" or "refuse"');
  }
  const trusted = new Set(trustedOrigins);
  const exempted = new Set(exempt);

  /** Another spelling of an exempt path is not exempt, however a router reads it. */
  const isExempt = (request: AnyRequest) => exempted.size > 0 && exempted.has(pathOf(request));

  /** The error for a request that has no token. */
  function objection(
    request: AnyRequest,
    { context, bearer }: RequestSession,
    everyMethod = false,
  ): SessionError | undefined {
    // A browser sends no such header by itself, and nobody else has the token.
    if (bearer?.isProven) return undefined;
    if ((!everyMethod && isSafe(request)) || isExempt(request)) return undefined;
    const origin = requestHeader(request, "origin");
    if (origin !== undefined && trusted.has(origin)) return undefined;
    const site = requestHeader(request, "sec-fetch-site");
    if (site !== undefined) return isOwnSite(site) ? undefined : foreignPage();
    if (origin !== undefined) return isOwnOrigin(request, origin, context.trustProxy) ? undefined : foreignPage();
    return withoutOrigin === "allow" ? undefined : unknownPage();
  }

  const protection: CsrfProtection = {
    check(request, session, given = {}) {
      checkOptions("csrf.check", given, { token: true, everyMethod: true });
      const { token = headerToken(request), everyMethod } = given;
      const requestSession = requestSessionOf(session);
      const error = objection(request, requestSession, everyMethod);
      if (error === undefined) return;
      if (token === undefined) throw explained(requestSession, error);
      // Reading the id fails where a lazy route has not loaded the session.
      if (session.isNew || !isTokenOf(requestSession, session.id, token))
        throw explained(requestSession, invalidToken());
    },

    token(session) {
      const { id, isNew } = session;
      const requestSession = requestSessionOf(session);
      if (isNew && !requestSession.changes.hasDataChanges && !requestSession.changes.requested.signIn) {
        throw new TypeError(
          "csrf.token(session): this session is not stored, so its token would never be valid; write to session.data first",
        );
      }
      return mask(Buffer.from(requestSession.context.keyring.sign(signedText(id)), "base64url"));
    },

    admit(request, session) {
      const requestSession = requestSessionOf(session);
      const error = objection(request, requestSession);
      if (error === undefined) return undefined;
      if (headerToken(request) === undefined) return Promise.reject(explained(requestSession, error));
      return session.load().then(() => protection.check(request, session));
    },
  };
  return protection;
}

function explained(requestSession: RequestSession, error: SessionError): SessionError {
  requestSession.request.isRefused = true;
  return requestSession.bearer?.explain(error) ?? error;
}

function foreignPage(): SessionError {
  return new SessionError(
    "ERR_SESSION_ORIGIN",
    "A page of another origin sent this request; to allow it, list the origin in trustedOrigins, or send a token",
  );
}

function unknownPage(): SessionError {
  return new SessionError(
    "ERR_SESSION_ORIGIN",
    "This request does not say which page sent it, and has no token; send the page's token with it",
  );
}

function invalidToken(): SessionError {
  return new SessionError("ERR_SESSION_ORIGIN", "The token of this page is not valid any more; load the page again");
}

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Middleware may have replaced the method by that of a field or a header: neither the old one nor the new one may change anything. */
function isSafe(request: AnyRequest): boolean {
  type Methods = { readonly method?: unknown; readonly originalMethod?: unknown; readonly req?: Methods };
  const given = request as Methods;
  const inner = innermost(request) as Methods;
  const methods = [inner.method, inner.originalMethod, given.method, given.originalMethod, given.req?.method];
  return methods.every((method) => method === undefined || SAFE.has(method as string)) && inner.method !== undefined;
}

function headerToken(request: AnyRequest): string | undefined {
  return requestHeader(request, "x-csrf-token");
}

// Tokens

/** It differs from what a session's cookie has signed, which begins with a digit. */
function signedText(id: string): string {
  return `csrf\0${id}`;
}

const BYTES = 24;
const TOKEN = /^[\w-]{64}$/;

/** Hides the same bytes in other ones each time: a compressed page with an attacker's text beside it would show them. */
function mask(bytes: Buffer): string {
  const pad = randomBytes(bytes.length);
  return Buffer.concat([pad, pad.map((byte, i) => byte ^ bytes[i]!)]).toString("base64url");
}

function isTokenOf({ context }: RequestSession, id: string, token: unknown): boolean {
  if (typeof token !== "string" || !TOKEN.test(token)) return false;
  const bytes = Buffer.from(token, "base64url");
  const pad = bytes.subarray(0, BYTES);
  const unmasked = Buffer.from(bytes.subarray(BYTES).map((byte, i) => byte ^ pad[i]!));
  return context.keyring.verify(signedText(id), unmasked.toString("base64url")) >= 0;
}

// Options

function checkExempt(path: unknown): void {
  const isExact =
    typeof path === "string" &&
    /^\/(?!\/)(?:(?![?#%\\*()])[!-~])*$/.test(path) &&
    !/\/:/.test(path) &&
    new URL(path, "http://localhost").pathname === path;
  if (isExact) return;
  throw new TypeError(
    `csrfProtection: ${String(path)} can't be exempt; write whole paths as clients send them, without patterns, queries or escapes: "/webhooks/payment"`,
  );
}
