import { checkOptions } from "../checks.ts";
import type { FormerSessions, FoundSession } from "../former.ts";
import { decoded, isCookieSized, secretsOf, unsigned, type FormerSecret } from "./signatures.ts";
import { formerSession, SOURCE_OPTIONS, sourceParts, timeOf, type FormerData, type SourceOptions } from "./source.ts";
import { dataStore, type CallbackStore, type ReadData } from "./stores.ts";

/** The options of {@link expressSession}. */
export interface ExpressSessionOptions extends SourceOptions {
  /** The option `secret` of express-session: a string, or a list of the current one and the previous ones. Required. */
  secret: FormerSecret;
  /** The store of express-session, such as `new RedisStore({ client })`, or a function that reads the data of an id. Required. */
  store: CallbackStore | ReadData;
  /** The option `name` of express-session. Default `"connect.sid"`. */
  name?: string | undefined;
  /** Returns the time in epoch milliseconds, for tests. Default `Date.now`. */
  clock?: (() => number) | undefined;
}

/**
 * The sessions of express-session. A sign-out ends the former session in its store too.
 *
 * @example
 * createSessions({ secretKey, store, adopt: [expressSession({ secret: process.env.SESSION_SECRET, store: oldStore })] });
 *
 * @throws TypeError for an unknown option, and without a secret or store.
 */
export function expressSession(options: ExpressSessionOptions): FormerSessions {
  checkOptions("expressSession", options, { secret: true, store: true, name: true, clock: true, ...SOURCE_OPTIONS });
  const { name = "connect.sid", clock = () => Date.now() } = options;
  const secrets = secretsOf("expressSession: secret", options.secret);
  const idOf = (value: string) => {
    const text = decoded(value);
    return text?.startsWith("s:") ? unsigned(text.slice(2), secrets) : undefined;
  };
  return signedIds("express-session", name, options, idOf, (cookie) => extendedEndOf(cookie, clock()));
}

/**
 * Sessions in a store, whose cookie has the signed id.
 *
 * @param idOf - gives the id in a cookie that is authentic.
 * @param endOfSession - gives the end of the session, from the settings of its cookie.
 */
export function signedIds(
  library: string,
  name: string,
  options: SourceOptions & { readonly store: CallbackStore | ReadData },
  idOf: (value: string) => string | undefined,
  endOfSession: (cookie: unknown) => number | undefined = endOf,
): FormerSessions {
  const store = dataStore(`${library}: store`, options.store);
  return {
    ...sourceParts(library, [name], options),
    find: (valuesOf) =>
      valuesOf(name).flatMap((value): FoundSession[] => {
        const id = isCookieSized(value) ? idOf(value) : undefined;
        return id === undefined || id === "" ? [] : [{ key: id }];
      }),
    async read({ key }) {
      const found = await store.read(key);
      if (!found) return undefined;
      const { cookie, ...data } = found;
      return formerSession(options, data, { expiresAt: endOfSession(cookie) });
    },
    ...(store.end && { end: store.end }),
  };
}

function endOf(cookie: unknown): number | undefined {
  return timeOf((cookie as FormerData | null | undefined)?.["expires"]);
}

/**
 * A request extends the session by its lifetime. Stores such as connect-redis do that without writing the record, so the time in
 * it may have passed: that the store gives the record tells that the session lives.
 */
function extendedEndOf(cookie: unknown, now: number): number | undefined {
  const end = endOf(cookie);
  const { originalMaxAge } = (cookie ?? {}) as FormerData;
  return end === undefined || typeof originalMaxAge !== "number" ? end : Math.max(end, now + originalMaxAge);
}
