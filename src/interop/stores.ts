import { isPromise } from "../coroutine.ts";
import { isRedisClient } from "../methods.ts";
import { isData, type FormerData } from "./source.ts";

type Callback<T extends unknown[]> = (error: unknown, ...result: T) => void;

/**
 * The store of the former library, with callbacks: a store of express-session or of @fastify/session, such as
 * `new RedisStore({ client })`.
 */
export interface CallbackStore {
  get(id: string, callback: Callback<[data?: unknown]>): unknown;
  destroy?(id: string, callback: Callback<[]>): unknown;
}

/** Reads the data of a session by its id. `undefined` or `null`: there is none. */
export type ReadData = (id: string) => Promise<FormerData | null | undefined>;

/** The store of the former library, for a source. */
export interface DataStore {
  read(id: string): Promise<FormerData | undefined>;
  end?(id: string): Promise<void>;
}

/** @throws TypeError for anything but a store or a function. */
export function dataStore(option: string, store: CallbackStore | ReadData): DataStore {
  checkNoClient(option, store);
  if (typeof store === "function") return { read: async (id) => dataOf(await store(id)) };
  if (typeof (store as Partial<CallbackStore> | null)?.get !== "function") {
    throw new TypeError(`${option} takes the former store, or an async function that reads the data of an id`);
  }
  return {
    read: async (id) => dataOf(await call<unknown>((callback) => store.get(id, callback)).catch(missing)),
    ...(store.destroy && {
      end: async (id) => {
        await call((callback) => store.destroy!(id, callback)).catch(missing);
      },
    }),
  };
}

/** @throws TypeError for a client of Redis: its `get` takes no callback, or another one. */
export function checkNoClient(option: string, store: unknown): void {
  if (isRedisClient(store))
    throw new TypeError(
      `${option}: this is a client of Redis: give the former store, such as new RedisStore({ client })`,
    );
}

function dataOf(found: unknown): FormerData | undefined {
  if (found === undefined || found === null || found === false) return undefined;
  if (isData(found)) return found;
  throw new TypeError("the store gave data that are no object");
}

/** A store of files says by this code that there is no session. */
function missing(error: unknown): undefined {
  if ((error as { code?: unknown } | null)?.code !== "ENOENT") throw error;
  return undefined;
}

/** Some stores return a promise too, which rejects where they call back with the error. */
function call<T>(start: (callback: Callback<[result?: T]>) => unknown): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(error instanceof Error ? error : new Error(String(error)));
    const started = start((error, result) => (error ? fail(error) : resolve(result)));
    if (isPromise(started)) started.then(undefined, fail);
  });
}
