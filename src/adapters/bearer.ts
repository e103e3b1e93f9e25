import { checkOptions } from "../checks.ts";
import { SessionError } from "../errors.ts";
import { bearerHeader, hasCookie, presentedBy, tokenInHeader } from "../request/bearer-header.ts";
import type { BearerRequest, BearerTokens } from "../request/bearer.ts";
import type { ResponseHeaders } from "../request/cache-headers.ts";
import { OutgoingCookie } from "../request/outgoing-cookie.ts";
import type { RequestSession } from "../request/request-session.ts";
import { requestSessionOf } from "../request/session-handle.ts";

export type { BearerTokens };

/** The options of {@link bearerTokens}. */
export interface BearerOptions {
  /**
   * Whether the session may come in its cookie too, for routes that browsers and native clients share. A request without
   * the header is a browser's then, and gets a cookie. Default `false`: cookies are neither read nor set.
   */
  cookies?: boolean | undefined;
  /** The token that counts where a request has both. Default: neither, and the request is refused (400). */
  prefer?: "bearer" | "cookie" | undefined;
}

/**
 * Lets native clients send the session's token in `Authorization: Bearer`, and sends it to them in the response header
 * `Session-Token`. Give it to an adapter as the option `bearer`, or to `sessions.open` and `sessions.attach`. Requests and
 * refusals are those of RFC 6750.
 *
 * @example
 * app.use("/api", sessionMiddleware(sessions, { bearer: bearerTokens() }));
 *
 * @throws TypeError for an unknown option, and for options that contradict each other. At a request, with `cookieStore()`.
 */
export function bearerTokens(options: BearerOptions = {}): BearerTokens {
  checkOptions("bearerTokens", options, { cookies: true, prefer: true });
  const { cookies = false, prefer } = options;
  if (typeof cookies !== "boolean") throw new TypeError("bearerTokens: cookies is true or false");
  if (prefer !== undefined && prefer !== "bearer" && prefer !== "cookie") {
    throw new TypeError('bearerTokens: prefer is "bearer" or "cookie"');
  }
  if (prefer === "cookie" && !cookies) {
    throw new TypeError('bearerTokens: prefer "cookie" needs cookies: true, or no cookie is read');
  }

  const tokens: BearerTokens = {
    begin(request, session) {
      const requestSession = requestSessionOf(session);
      const { context } = requestSession;
      // An adapter that is mounted within another may have the same option.
      if (requestSession.bearer?.tokens === tokens) return undefined;
      context.clientSide?.refuse("bearerTokens()");
      if (requestSession.isInUse) {
        throw new TypeError(
          "bearer comes too late, since the session was used: give it to the outermost adapter, as a function of the request for some routes",
        );
      }
      const header = bearerHeader(request);
      const hasBoth = header !== undefined && prefer !== "bearer" && hasCookie(requestSession);
      if (hasBoth && prefer === undefined) {
        const error = new SessionError(
          "ERR_SESSION_TWO_TOKENS",
          "This request has the session's cookie and Authorization: Bearer; send one of them",
        );
        const refused = new HeaderRequest(tokens, requestSession, { cookies: true });
        requestSession.useBearer(refused, new OutgoingCookie(context, tokenInHeader));
        requestSession.refuse(refused.explain(error));
        return Promise.reject(error);
      }
      if (cookies && (hasBoth || header === undefined)) {
        if (requestSession.cookie.writer.writeHeader) {
          throw new TypeError(
            "bearerTokens: the adapter around this one reads no cookies: give bearerTokens({ cookies: true }) to it, or a function of the request",
          );
        }
        requestSession.useBearer(new HeaderRequest(tokens, requestSession, { cookies }));
        return undefined;
      }
      const presented = header === undefined ? undefined : presentedBy(context, request, header);
      const bearer = new HeaderRequest(tokens, requestSession, {
        cookies,
        isProven: presented !== undefined,
        isSent: header !== undefined,
      });
      requestSession.useBearer(bearer, new OutgoingCookie(context, tokenInHeader), presented);
      return undefined;
    },
  };
  return tokens;
}

class HeaderRequest implements BearerRequest {
  readonly tokens: BearerTokens;
  readonly vary: string;
  readonly isProven: boolean;
  readonly #requestSession: RequestSession;
  readonly #isSent: boolean;
  #maxAge: number | undefined;

  constructor(
    tokens: BearerTokens,
    requestSession: RequestSession,
    { cookies, isProven = false, isSent = false }: { cookies: boolean; isProven?: boolean; isSent?: boolean },
  ) {
    this.tokens = tokens;
    this.#requestSession = requestSession;
    this.vary = cookies ? "Cookie, Authorization" : "Authorization";
    this.isProven = isProven;
    this.#isSent = isSent;
  }

  explain<Thrown>(error: Thrown, maxAge?: number): Thrown {
    if (!(error instanceof SessionError)) return error;
    this.#maxAge = maxAge;
    error.headers["vary"] = this.vary;
    if (error.status === 401) error.headers["www-authenticate"] = this.#challenge;
    return error;
  }

  challenge(headers: ResponseHeaders): void {
    if (headers.status !== 401 || headers.get("www-authenticate")) return;
    headers.set("WWW-Authenticate", this.#challenge);
  }

  /** RFC 6750, section 3, and RFC 9470, section 3, for a sign-in that is too old. */
  get #challenge(): string {
    if (this.#maxAge !== undefined) return `Bearer error="insufficient_user_authentication", max_age="${this.#maxAge}"`;
    return this.#isSent && this.#requestSession.token === undefined ? 'Bearer error="invalid_token"' : "Bearer";
  }
}
