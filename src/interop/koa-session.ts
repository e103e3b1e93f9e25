import { checkOptions } from "../checks.ts";
import type { FormerSessions, FoundSession } from "../former.ts";
import { keysOf } from "./cookie-session.ts";
import { signedByKeygrip, type FormerSecret, type Keygrip } from "./signatures.ts";
import {
  formerSession,
  isData,
  keyOf,
  parseData,
  SOURCE_OPTIONS,
  sourceParts,
  timeOf,
  type FormerData,
  type SourceOptions,
} from "./source.ts";
import { checkNoClient } from "./stores.ts";

/** The option `store` of koa-session. */
export interface KoaSessionStore {
  get(key: string, maxAge: number | undefined, options: Record<string, unknown>): Promise<unknown>;
  destroy?(key: string): Promise<unknown>;
}

/** The options of {@link koaSession}. */
export interface KoaSessionOptions extends SourceOptions {
  /** `app.keys` of the Koa application: a list, or an instance of Keygrip. Required. */
  keys: FormerSecret | Keygrip;
  /** The option `key` of koa-session: the cookie's name. Default `"koa.sess"`. */
  key?: string | undefined;
  /** The option `store` of koa-session. Default none: the cookies have the data. */
  store?: KoaSessionStore | undefined;
}

interface FoundData extends FoundSession {
  /** The data in the cookie. */
  readonly data?: FormerData | undefined;
}

/**
 * The sessions of koa-session, in cookies or in a store. With a store, a sign-out ends the former session there too.
 *
 * @throws TypeError for an unknown option, and without keys.
 */
export function koaSession(options: KoaSessionOptions): FormerSessions<FoundData> {
  checkOptions("koaSession", options, { keys: true, key: true, store: true, ...SOURCE_OPTIONS });
  const { key: name = "koa.sess", store } = options;
  const keys = keysOf("koaSession: keys", options.keys);
  checkNoClient("koaSession: store", store);
  if (store !== undefined && typeof store?.get !== "function")
    throw new TypeError("koaSession: store takes the former store");
  return {
    ...sourceParts("koa-session", [name, `${name}.sig`], options),
    find: (valuesOf) =>
      signedByKeygrip(valuesOf, name, keys).flatMap((value): FoundData[] => {
        if (store) return value === "" ? [] : [{ key: value }];
        const data = parseData(Buffer.from(value, "base64").toString("utf8"));
        return data ? [{ key: keyOf(value), data }] : [];
      }),
    async read({ key, data: inCookie }) {
      const found = store ? await store.get(key, undefined, { rolling: false }) : inCookie;
      if (found === undefined || found === null || found === "") return undefined;
      if (!isData(found)) throw new TypeError("the store gave data that are no object");
      const { _expire, _maxAge, _session, ...data } = found;
      return formerSession(options, data, { expiresAt: timeOf(_expire) });
    },
    ...(store?.destroy && {
      end: async (key: string) => {
        await store.destroy!(key);
      },
    }),
  };
}
