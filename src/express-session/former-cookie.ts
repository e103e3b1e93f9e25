import type { RequestSession } from "../request/request-session.ts";
import { cookieValues } from "../request/cookie.ts";
import { warnOnce } from "../warnings.ts";
import type { Resolved } from "./options.ts";

/** A cookie that express-session itself has made: an id, and an HMAC-SHA256 in Base64, encoded. Our own has another length. */
const FORMER = /^s(?::|%3A).+\.(?:[A-Za-z0-9+/]|%2B|%2F){43}$/i;

/** Warns where the cookie of express-session opens no session: otherwise a wrong option signs out all users in silence. */
export function diagnoseFormerCookie({ context, request }: RequestSession, { name, given }: Resolved): void {
  const header = request.cookieHeader;
  if (header === undefined) return;
  const values = cookieValues(header, name).filter((value) => FORMER.test(value));
  if (values.length === 0) return;
  if (!given) {
    warnOnce(
      "SOJOURN_FORMER_STORE",
      name,
      `A cookie named ${name} arrived that express-session has made, and session() has none of its stores to find the session in, so ` +
        "its user is a visitor. If users are to stay signed in, give session() the option store that express-session had",
    );
  } else if (!isAuthentic(context, values)) {
    warnOnce(
      "SOJOURN_FOREIGN_COOKIE",
      name,
      `A cookie named ${name} arrived that express-session has made, and that no secret of session() has signed, so it opens no ` +
        "session. After a change of the secret, keep the old one in the list: secret: [new, old]. If another application on this " +
        "host uses the same name, give this one its own name",
    );
  } else {
    warnOnce(
      "SOJOURN_UNKNOWN_SESSION",
      name,
      `A cookie named ${name} that express-session has made and that is authentic names a session that the store does not have. If it ` +
        "has neither expired nor ended, the store has other options than before: compare its prefix, database and table",
    );
  }
}

function isAuthentic({ former = [] }: RequestSession["context"], values: readonly string[]): boolean {
  try {
    return former.some((source) => source.find(() => values).length > 0);
  } catch {
    // A diagnosis must never fail the request.
    return false;
  }
}
