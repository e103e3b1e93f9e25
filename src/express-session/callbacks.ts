import { isPromise } from "../coroutine.ts";

/** The callback of a method of an express-session store. */
type StoreCallback<T> = (error?: unknown, result?: T) => void;

/**
 * Calls a method that takes a callback, and returns its answer as a promise.
 *
 * Only the first answer counts: some stores call back a second time. A store that throws, at once or by a promise that it
 * returns beside its callback, has failed. A promise that is fulfilled says nothing: the callback may come later.
 */
export function answerOf<T>(call: (callback: StoreCallback<T>) => unknown): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(error instanceof Error ? error : new Error(String(error)));
    const returned = call((error, result) => {
      if (error) fail(error);
      else resolve(result);
    });
    // Without a handler here, a store that calls back with an error and rejects as well would end the process.
    if (isPromise(returned)) returned.then(undefined, fail);
  });
}
