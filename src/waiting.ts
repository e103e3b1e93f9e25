import { SessionError } from "./errors.ts";

/**
 * The wait for a store, bounded for everything that one open or one commit asks of it, retries and the wait for other
 * commits of the same session included.
 */
export class Patience {
  readonly #limit: number;
  readonly #end: number;
  #isOver = false;

  /** @param limit - in milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
    this.#end = performance.now() + limit;
  }

  /**
   * The store's answer. An answer that comes too late is taken and forgotten, be it a failure.
   *
   * @throws SessionError ERR_SESSION_STORE when the store fails, with its error as the cause, and when time is up.
   */
  ask<T>(what: string, question: () => Promise<T>): Promise<T> {
    const left = this.#end - performance.now();
    return new Promise<T>((resolve, reject) => {
      if (left <= 0 || this.#isOver) return reject(this.#tooLate());
      const timer = setTimeout(() => {
        // A timer may be a little ahead of the clock.
        this.#isOver = true;
        reject(this.#tooLate());
      }, left);
      const failed = (cause: unknown) => {
        clearTimeout(timer);
        reject(new SessionError("ERR_SESSION_STORE", `The session store failed to ${what} a session`, { cause }));
      };
      try {
        question().then((answer) => {
          clearTimeout(timer);
          resolve(answer);
        }, failed);
      } catch (cause) {
        failed(cause);
      }
    });
  }

  #tooLate(): SessionError {
    return new SessionError("ERR_SESSION_STORE", `The session store did not answer within ${this.#limit} ms`);
  }
}

/** How many questions to a store are under way at once, where there are many to ask. */
const SIDE_BY_SIDE = 32;

/**
 * Asks for each item, many at a time. What fails does not keep the others from being asked, unless so much fails that
 * the store is out of order; the first failure is thrown once all that were asked have answered.
 */
export async function forEach<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  ask: (item: Item) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const underway = new Set<Promise<void>>();
  for await (const item of items) {
    const asked: Promise<void> = ask(item)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => underway.delete(asked));
    underway.add(asked);
    if (underway.size >= SIDE_BY_SIDE) await Promise.race(underway);
    if (failures.length >= SIDE_BY_SIDE) break;
  }
  await Promise.all(underway);
  if (failures.length > 0) throw failures[0];
}

/** Runs tasks of the same key one after the other, and those of different keys side by side. */
export interface Lanes {
  enter<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/** A task may throw before it gives a promise. */
function begun<T>(task: () => Promise<T>): Promise<T> {
  try {
    return task();
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Commits of one session in one process wait for each other instead of taking turns at losing: only other processes
 * are left to conflict with.
 */
export function createLanes(): Lanes {
  const tails = new Map<string, Promise<unknown>>();
  return {
    enter(key, task) {
      const before = tails.get(key);
      const run = before ? before.then(task) : begun(task);
      const leave = () => void (tails.get(key) === tail && tails.delete(key));
      const tail = run.then(leave, leave);
      tails.set(key, tail);
      return run;
    },
  };
}
