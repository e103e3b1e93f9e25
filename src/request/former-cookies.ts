import type { Context } from "../context.ts";
import type { FormerCookie, FormerSessions } from "../former.ts";
import { clearForeign, cookieParts, cookieValues } from "./cookie.ts";

/** The Set-Cookie values that remove the cookies of former libraries, except those that are to be kept. */
export function removeFormer(context: Context, sources: readonly FormerSessions[], isSecure: boolean): string[] {
  return removals(
    context,
    sources.filter(({ keepCookies }) => !keepCookies).flatMap(({ cookies }) => cookies),
    isSecure,
  );
}

/** Those that remove every former cookie that a request has: after a sign-out, none may open a session of the former library. */
export function removePresent(context: Context, header: string | undefined, isSecure: boolean): string[] {
  const { former = [] } = context;
  if (former.length === 0 || header === undefined) return [];
  const isPresent = ({ name }: FormerCookie) => cookieValues(header, name).length > 0;
  return removals(
    context,
    former.flatMap(({ cookies }) => cookies.filter(isPresent)),
    isSecure,
  );
}

function removals({ cookie }: Context, cookies: readonly FormerCookie[], isSecure: boolean): string[] {
  // The session's own cookie may have such a name.
  const own = cookieParts(cookie.clear(isSecure));
  return cookies.flatMap(({ name, path = "/", domain }) => {
    const isOwn = name === own.name && path === own.attributes.path && domain === own.attributes.domain;
    return isOwn ? [] : [clearForeign(name, path, domain, isSecure)];
  });
}
