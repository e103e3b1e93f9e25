import type { CookieParts } from "./cookie.ts";
import { splitList } from "./header-list.ts";

/** The operations on a response's headers that a session needs. Only Set-Cookie is appended. A `Headers` object fits. */
export interface ResponseHeaders {
  /** The value of a header, if it is set. */
  get(name: string): string | null | undefined;
  /** Sets a header in place of what it was. */
  set(name: string, value: string): void;
  /** Adds a header beside others of its name. */
  append(name: string, value: string): void;
  /** The names of the headers that are set. */
  keys(): Iterable<string>;
  /**
   * Sets the cookie, in place of `append("Set-Cookie", …)`. For a framework that writes cookies itself. The value is to be
   * sent as it is; it has no character that needs to be encoded.
   */
  setCookie?(cookie: CookieParts): void;
  /** The status of the response, where it is known. `sojourn/bearer` writes no renewed token with 304, and a challenge with 401. */
  readonly status?: number | undefined;
}

/** Adds to Vary the headers that the response depends on. */
export function varyBy(headers: ResponseHeaders, names = "Cookie"): void {
  const vary = headers.get("vary");
  if (!vary) return headers.set("Vary", names);
  const missing = names.split(", ").filter((name) => !hasName(vary, "*", name.toLowerCase()));
  if (missing.length > 0) headers.set("Vary", [vary, ...missing].join(", "));
}

/** Forbids every cache to store the response. @param names - the headers that it depends on. */
export function forbidCaching(headers: ResponseHeaders, names?: string): void {
  varyBy(headers, names);
  headers.set("Cache-Control", "no-store");
  overrideTargeted(headers);
}

/** Forbids shared caches to store the response, unless the application did so already. */
export function forbidSharing(headers: ResponseHeaders): void {
  const given = headers.get("cache-control");
  if (!given || !hasMember(given, "no-store", "private")) headers.set("Cache-Control", "no-store");
  overrideTargeted(headers);
}

/** Marks the response as private to one client, unless the application has set Cache-Control. */
export function markPrivate(headers: ResponseHeaders): void {
  if (!headers.get("cache-control")) headers.set("Cache-Control", "private");
}

/**
 * Overrides the headers for one kind of cache, which such a cache prefers to Cache-Control (RFC 9213, section 2.2):
 * `CDN-Cache-Control`, and headers of products, whose names end in `Cache-Control` by convention.
 */
function overrideTargeted(headers: ResponseHeaders): void {
  let targeted: string[] | undefined;
  for (const name of headers.keys()) if (isTargeted(name.toLowerCase())) (targeted ??= []).push(name);
  if (!targeted) return;
  // nginx does not store the response if this is 0.
  for (const name of targeted) headers.set(name, name.toLowerCase() === "x-accel-expires" ? "0" : "no-store");
}

function isTargeted(name: string): boolean {
  if (name.endsWith("cache-control")) return name !== "cache-control";
  return name === "x-accel-expires" || OLDER_NAMES.includes(name);
}

const OLDER_NAMES = ["surrogate-control", "edge-control"];

/** Whether a list of names, in which nothing is quoted, has one of these (RFC 9110, section 12.5.5). */
function hasName(list: string, ...members: string[]): boolean {
  return list.split(",").some((name) => members.includes(name.trim().toLowerCase()));
}

/** Whether the list has one of these members without an argument: `private="x-name"` applies to one header only. */
function hasMember(list: string, ...members: string[]): boolean {
  return splitList(list.toLowerCase(), ",").some((part) => members.includes(part));
}
