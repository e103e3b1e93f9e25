import { checkOptions } from "../checks.ts";
import type { FormerSessions, FoundSession } from "../former.ts";
import { keygrip, secretsOf, signedByKeygrip, type FormerSecret, type Keygrip } from "./signatures.ts";
import {
  formerSession,
  keyOf,
  parseData,
  SOURCE_OPTIONS,
  sourceParts,
  type FormerData,
  type SourceOptions,
} from "./source.ts";

/** The options of {@link cookieSession}. */
export interface CookieSessionOptions extends SourceOptions {
  /** The option `keys` or `secret` of cookie-session: a string, a list, or an instance of Keygrip. Required. */
  keys: FormerSecret | Keygrip;
  /** The option `name` of cookie-session. Default `"session"`. */
  name?: string | undefined;
}

interface FoundData extends FoundSession {
  readonly data: FormerData;
}

/**
 * The sessions of cookie-session, whose cookies have the data. They name no time of expiry: a cookie counts until you remove
 * this source.
 *
 * @throws TypeError for an unknown option, and without keys.
 */
export function cookieSession(options: CookieSessionOptions): FormerSessions<FoundData> {
  checkOptions("cookieSession", options, { keys: true, name: true, ...SOURCE_OPTIONS });
  const { name = "session" } = options;
  const keys = keysOf("cookieSession: keys", options.keys);
  return {
    ...sourceParts("cookie-session", [name, `${name}.sig`], options),
    find: (valuesOf) =>
      signedByKeygrip(valuesOf, name, keys).flatMap((value): FoundData[] => {
        const data = parseData(Buffer.from(value, "base64").toString("utf8"));
        return data ? [{ key: keyOf(value), data }] : [];
      }),
    read: async ({ data }) => formerSession(options, data),
  };
}

/** @throws TypeError without keys. */
export function keysOf(option: string, keys: FormerSecret | Keygrip): Keygrip {
  const isInstance = typeof (keys as Partial<Keygrip> | null)?.verify === "function";
  return isInstance ? (keys as Keygrip) : keygrip(secretsOf(option, keys as FormerSecret));
}
