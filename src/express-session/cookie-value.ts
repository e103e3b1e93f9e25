import type { Keyring } from "../record/keyring.ts";
import { signToken, type Token } from "../record/token.ts";
import type { SessionCookie } from "../request/cookie.ts";

/** The characters of a token before its secret: its format, and the id. */
const ID_END = 23;
/** As many values as the native cookie checks. */
const MAX_CANDIDATES = 16;
const VALUE = /^s(?::|%3A)([\w-]{22})\.([\w-]{58})$/i;

/**
 * Writes a token as express-session writes its cookie: `s:<id>.<rest>`, encoded. The first part is the session's public id;
 * secret, epoch and signature are the rest.
 */
export function tokenValue(keyring: Keyring, token: Token): string {
  const text = signToken(keyring, token);
  return `s%3A${text.slice(1, ID_END)}.${text.slice(ID_END)}`;
}

/** Reads tokens in this form. */
export function createCookieReader(cookie: SessionCookie): SessionCookie {
  return {
    ...cookie,
    values(header, isSecure) {
      const found: string[] = [];
      for (const value of cookie.values(header, isSecure)) {
        const [, id, rest] = VALUE.exec(value) ?? [];
        if (id === undefined || found.length === MAX_CANDIDATES) continue;
        found.push(`1${id}${rest!}`);
      }
      return found;
    },
  };
}
