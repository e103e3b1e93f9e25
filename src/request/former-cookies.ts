import type { Context } from "../context.ts";
import type { FormerSessions } from "../former.ts";
import { clearForeign, cookieParts } from "./cookie.ts";

/** The Set-Cookie values that remove the cookies of former libraries. The session's own cookie may have such a name. */
export function formerCookies(
  { cookie }: Context,
  sources: readonly FormerSessions[],
  isSecure: boolean,
): readonly string[] {
  const own = cookieParts(cookie.clear(isSecure));
  return sources.flatMap(({ cookies, keepCookies = false }) =>
    keepCookies
      ? []
      : cookies.flatMap(({ name, path = "/", domain }) => {
          const isOwn = name === own.name && path === own.attributes.path && domain === own.attributes.domain;
          return isOwn ? [] : [clearForeign(name, path, domain, isSecure)];
        }),
  );
}
