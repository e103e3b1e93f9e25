import type { Context } from "../context.ts";
import { warnOnce } from "../warnings.ts";
import { hasTokenLike } from "./presented-tokens.ts";
import { claimsHttps, cookieHeader, isSecure, type AnyRequest } from "./request.ts";

/** Warns of a proxy that is not trusted, when a cookie is issued by HTTP. With `secure: true` it has Secure all the same. */
export function warnOfUntrustedProxy({ cookie, trustProxy }: Context, request: AnyRequest): void {
  if (isSecure(request, trustProxy) || !claimsHttps(request) || cookie.nameFor(true) === cookie.nameFor(false)) return;
  warnOnce(
    "SOJOURN_UNTRUSTED_PROXY",
    cookie.baseName,
    "A request by HTTP says in X-Forwarded-Proto or Forwarded that its client used HTTPS. That is not believed, and the " +
      "cookie goes out without Secure: set trustProxy to true if a proxy of yours sets that header, and the framework's own option, if it has one",
  );
}

/** For each request, the sessions that have a cookie of this name, path and domain. */
const cookiesOf = new WeakMap<object, Map<string, Context>>();

/** Warns of two `createSessions` with one cookie in one request: the response would have both, and browsers keep the last one. */
export function warnOfSharedCookie(context: Context, request: AnyRequest): void {
  const cookies = cookiesOf.get(request) ?? new Map<string, Context>();
  const cookie = context.cookie.clear(isSecure(request, context.trustProxy));
  const other = cookies.get(cookie);
  cookiesOf.set(request, cookies.set(cookie, context));
  if (!other || other === context) return;
  warnOnce(
    "SOJOURN_SHARED_COOKIE",
    context.cookie.baseName,
    `Two createSessions with the cookie ${context.cookie.baseName} serve one request. The browser keeps the cookie of one, and loses the ` +
      "other session: create the sessions once and import them where they are needed, or give each its own cookie.name",
  );
}

/** Warns of a cookie that is not believed, and may belong to another application. */
export function warnOfForeignCookie(context: Context, request: AnyRequest): void {
  if (!hasTokenLike(context, cookieHeader(request)!, isSecure(request, context.trustProxy))) return;
  const { baseName } = context.cookie;
  warnOnce(
    "SOJOURN_FOREIGN_COOKIE",
    baseName,
    `A cookie named ${baseName} arrived that none of the secret keys has signed, so it opens no session. If another application ` +
      "on this host uses the same name, the two sign each other's users out: give each its own cookie.name. After a change of the " +
      "secret key, keep the old one in the list",
  );
}
