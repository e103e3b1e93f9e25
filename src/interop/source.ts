import { hash } from "node:crypto";
import { MAX_TIME } from "../duration.ts";
import type { FormerCookie, FormerSession } from "../former.ts";
import { passportUser } from "../user-id.ts";

/** The data of a former session, as its library kept them. */
export type FormerData = Readonly<Record<string, unknown>>;

/** The options that all sources have. */
export interface SourceOptions {
  /**
   * Gives the id of the user who is signed in, from the data. Default: that of passport, `data.passport?.user` or
   * its `id`, where it is a string or a number. `null` and `undefined`: nobody is signed in.
   */
  userId?: ((data: FormerData) => string | null | undefined) | undefined;
  /** Gives the data of the new session, from those of the former one. Default: the same data. */
  data?: ((data: FormerData) => FormerData) | undefined;
  /** The path of the former cookie. Default `"/"`. */
  path?: string | undefined;
  /** The domain of the former cookie. Default none. */
  domain?: string | undefined;
  /** Whether the former cookie stays, so that you can go back to the former library. Default `false`. */
  keepCookie?: boolean | undefined;
}

/** The names of {@link SourceOptions}, for the check of a source's options. */
export const SOURCE_OPTIONS = { userId: true, data: true, path: true, domain: true, keepCookie: true } as const;

/** The parts of a source that all have. */
export function sourceParts(
  library: string,
  names: readonly string[],
  { path, domain, keepCookie }: SourceOptions,
): { name: string; cookies: readonly FormerCookie[]; keepCookies: boolean | undefined } {
  return {
    name: `${library} ${names[0]!}`,
    cookies: names.map((name) => ({ name, path, domain })),
    keepCookies: keepCookie,
  };
}

/** Describes a former session by the options of its source. */
export function formerSession(
  options: SourceOptions,
  data: FormerData,
  times: Pick<FormerSession, "expiresAt" | "createdAt"> = {},
): FormerSession {
  const { userId = passportUser, data: convert } = options;
  return { ...times, userId: userId(data) ?? undefined, data: convert ? convert(data) : data };
}

/** A dictionary that a former library has written. */
export function isData(value: unknown): value is FormerData {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses a former cookie that is authentic. `undefined` where it has no dictionary. */
export function parseData(text: string): FormerData | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isData(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The key of a cookie that has the data itself. */
export const keyOf = (cookie: string): string => hash("sha256", cookie, "base64url");

/** The end of a session, from what a store may have: a date, its text, or a number. `undefined` where it has none. */
export function timeOf(value: unknown): number | undefined {
  if (value === null || value === undefined || value === false || value === "") return undefined;
  // A lifetime without end, such as Number.MAX_SAFE_INTEGER, leads to a time that no date can hold.
  if (typeof value === "number" && value > MAX_TIME) return MAX_TIME;
  const at = value instanceof Date || typeof value === "number" || typeof value === "string" ? +new Date(value) : NaN;
  if (Number.isFinite(at)) return Math.max(0, at);
  throw new TypeError("the time of expiry is no time");
}
