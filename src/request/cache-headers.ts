import { splitList } from "./header-list.ts";

/** The headers of a response, as far as a session writes to them; only Set-Cookie is appended. A `Headers` object is one. */
export interface ResponseHeaders {
  get(name: string): string | null | undefined;
  set(name: string, value: string): void;
  append(name: string, value: string): void;
  /** The names of the headers that there are. */
  keys(): Iterable<string>;
}

/** Says that the response depends on the cookie. */
export function varyByCookie(headers: ResponseHeaders): void {
  const vary = headers.get("vary");
  if (!vary) headers.set("Vary", "Cookie");
  else if (!hasName(vary, "*", "cookie")) headers.set("Vary", `${vary}, Cookie`);
}

/** Says that nobody may store the response. */
export function forbidCaching(headers: ResponseHeaders): void {
  varyByCookie(headers);
  headers.set("Cache-Control", "no-store");
  overrideTargeted(headers);
}

/** Says that no shared cache may store the response, if the application has not said so already. */
export function forbidSharing(headers: ResponseHeaders): void {
  if (!hasMember(headers.get("cache-control") ?? "", "no-store", "private")) headers.set("Cache-Control", "no-store");
  overrideTargeted(headers);
}

/** Says that the response is made for one client, unless the application has said anything about storing it. */
export function markPrivate(headers: ResponseHeaders): void {
  if (!headers.get("cache-control")) headers.set("Cache-Control", "private");
}

/**
 * Headers that are for one kind of cache go before Cache-Control there (RFC 9213, section 2.2): `CDN-Cache-Control`, and
 * those of products, whose names end in it by convention.
 */
function overrideTargeted(headers: ResponseHeaders): void {
  for (const name of Array.from(headers.keys())) {
    const lower = name.toLowerCase();
    // For nginx, 0 is what forbids storing.
    if (lower === "x-accel-expires") headers.set(name, "0");
    else if (OLDER_NAMES.includes(lower) || (lower.endsWith("cache-control") && lower !== "cache-control"))
      headers.set(name, "no-store");
  }
}

const OLDER_NAMES = ["surrogate-control", "edge-control"];

/** Whether a list of names, in which nothing is quoted, has one of these (RFC 9110, section 12.5.5). */
function hasName(list: string, ...members: string[]): boolean {
  return list.split(",").some((name) => members.includes(name.trim().toLowerCase()));
}

/** Whether one of these is a member of the list by itself: `private="x-name"` is about one header only. */
function hasMember(list: string, ...members: string[]): boolean {
  return splitList(list.toLowerCase(), ",").some((part) => members.includes(part));
}
