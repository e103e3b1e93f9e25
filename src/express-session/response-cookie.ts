import type { IncomingMessage } from "node:http";
import type { Context } from "../context.ts";
import type { Token } from "../record/token.ts";
import { issueCookie } from "../request/issued-cookie.ts";
import { OutgoingCookie, type TokenWriter } from "../request/outgoing-cookie.ts";
import { claimsHttps } from "../request/request.ts";
import { warnOnce } from "../warnings.ts";
import { tokenValue } from "./cookie-value.ts";
import { Cookie, setCookie, settingsOf } from "./cookie.ts";
import type { RequestState } from "./session-request.ts";

/** The cookie of a response, with the attributes of the session's own. */
export class SessionCookie extends OutgoingCookie {
  readonly #state: RequestState;

  constructor(state: RequestState) {
    super(state.context, new CookieWriter(state));
    this.#state = state;
  }

  /** Called when the headers are written: what is to be stored is stored. */
  override take(): readonly string[] | undefined {
    const { inner, options, req } = this.#state;
    try {
      if (this.pending === undefined && inner.token && req.session && this.#isDue(options.rolling)) issueCookie(inner);
      return super.take();
    } catch (error) {
      // The error's response must not fail by the same attribute: nobody takes a second error.
      if (this.#state.hasBadCookie) return undefined;
      this.#state.hasBadCookie = true;
      this.withdraw();
      throw error;
    }
  }

  /** The browser has the session's own cookie already. It gets it anew where its lifetime is to begin anew. */
  #isDue(rolling: boolean): boolean {
    const { inner, cookie } = this.#state;
    // The browser may have a newer token than the one that it came with.
    if (inner.matchIn(inner.loaded!.record) !== "current") return false;
    if (rolling) return true;
    return inner.loaded!.version !== this.#state.versionBefore && cookie.expires instanceof Date;
  }
}

class CookieWriter implements TokenWriter {
  readonly #state: RequestState;

  constructor(state: RequestState) {
    this.#state = state;
  }

  issue({ keyring }: Context, token: Token): (() => readonly string[]) | undefined {
    const state = this.#state;
    const { isSecure, options } = state;
    if (state.cookie.secure && !isSecure) {
      warnOfUnsetCookie(state);
      return undefined;
    }
    return () => {
      // The handler may have put another cookie in its place.
      const { cookie } = state;
      cookie.maxAge = cookie.originalMaxAge;
      return [setCookie(options.name, tokenValue(keyring, token), cookie)];
    };
  }

  clear(): readonly string[] {
    const { cookie, options } = this.#state;
    const ended = new Cookie({ ...settingsOf(cookie), originalMaxAge: undefined });
    ended.expires = new Date(0);
    return [`${setCookie(options.name, "", ended)}; Max-Age=0`];
  }
}

/** As with express-session, the response succeeds without its cookie, and the client is a visitor again. */
function warnOfUnsetCookie({ context, options: { name }, req }: RequestState): void {
  if (claimsHttps(req)) {
    warnOnce(
      "SOJOURN_UNTRUSTED_PROXY",
      name,
      `The cookie ${name} is not set, because of cookie.secure: the request came by HTTP, and that its X-Forwarded-Proto or Forwarded ` +
        'names HTTPS is not believed. If a proxy of yours sets X-Forwarded-Proto, call app.set("trust proxy", 1), or give session() proxy: true',
    );
  } else if (context.diagnose) {
    warnOnce(
      "SOJOURN_SECURE_OVER_HTTP",
      name,
      `The cookie ${name} is not set, because of cookie.secure: the request came by plain HTTP. Use HTTPS, or cookie.secure: "auto". ` +
        'If a proxy of yours ends HTTPS, let it set X-Forwarded-Proto, and call app.set("trust proxy", 1)',
    );
  }
}

/** Whether the client's connection was encrypted, as express-session finds it. */
export function isEncrypted(req: IncomingMessage & { secure?: unknown }, proxy: boolean | undefined): boolean {
  if ((req.socket as { encrypted?: boolean } | undefined)?.encrypted) return true;
  if (proxy === false) return false;
  if (proxy !== true) return req.secure === true;
  const header = req.headers["x-forwarded-proto"];
  return typeof header === "string" && header.split(",", 1)[0]!.trim().toLowerCase() === "https";
}
