import { parts } from "./header-list.ts";

/** The headers of a response, as far as a session writes to them; only Set-Cookie is appended. A `Headers` object is one. */
export interface ResponseHeaders {
  get(name: string): string | null | undefined;
  set(name: string, value: string): void;
  append(name: string, value: string): void;
  /** The names of the headers that there are. */
  keys(): Iterable<string>;
}

/** Says that the response depends on the cookie. */
export function varyByCookie(head: ResponseHeaders): void {
  const vary = head.get("vary");
  if (!vary) head.set("Vary", "Cookie");
  else if (!names(vary, "*", "cookie")) head.set("Vary", `${vary}, Cookie`);
}

/** Says that nobody may store the response. */
export function forbidCaching(head: ResponseHeaders): void {
  varyByCookie(head);
  head.set("Cache-Control", "no-store");
  overrideTargeted(head);
}

/** Says that no shared cache may store the response, if the application has not said so already. */
export function forbidSharing(head: ResponseHeaders): void {
  if (!says(head.get("cache-control") ?? "", "no-store", "private")) head.set("Cache-Control", "no-store");
  overrideTargeted(head);
}

/** Says that the response is made for one client, unless the application has said anything about storing it. */
export function markPrivate(head: ResponseHeaders): void {
  if (!head.get("cache-control")) head.set("Cache-Control", "private");
}

/**
 * Headers that are for one kind of cache go before Cache-Control there (RFC 9213, section 2.2): `CDN-Cache-Control`, and
 * those of products, whose names end in it by convention.
 */
function overrideTargeted(head: ResponseHeaders): void {
  for (const name of Array.from(head.keys())) {
    const lower = name.toLowerCase();
    // For nginx, 0 is what forbids storing.
    if (lower === "x-accel-expires") head.set(name, "0");
    else if (OLDER.includes(lower) || (lower.endsWith("cache-control") && lower !== "cache-control"))
      head.set(name, "no-store");
  }
}

const OLDER = ["surrogate-control", "edge-control"];

/** Whether a list of names, in which nothing is quoted, has one of these (RFC 9110, section 12.5.5). */
function names(list: string, ...members: string[]): boolean {
  return list.split(",").some((name) => members.includes(name.trim().toLowerCase()));
}

/** Whether one of these is a member of the list by itself: `private="x-name"` is about one header only. */
function says(list: string, ...members: string[]): boolean {
  return parts(list.toLowerCase(), ",").some((part) => members.includes(part));
}
