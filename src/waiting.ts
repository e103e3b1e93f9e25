import { SessionError } from "./errors.ts";

/**
 * The wait for a store, bounded for everything that one open or one commit asks of it, retries and the wait for other
 * commits of the same session included.
 */
export class Deadline {
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
  run<T>(what: string, question: () => Promise<T>): Promise<T> {
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

/** How {@link forEach} goes about it. */
export interface Bounds {
  /** How many questions to a store are under way at once. Default 32. */
  readonly sideBySide?: number | undefined;
  /** How many failures mean that the store is out of order, so that nothing more is asked. Default 32. */
  readonly mostFailures?: number | undefined;
  /** Ends it, once all that were asked have answered. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks for each item, many at a time, taking each only when there is a place for it. What fails does not keep the others
 * from being asked, unless too much does; the first failure is thrown once all that were asked have answered.
 */
export async function forEach<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  ask: (item: Item) => Promise<void>,
  { sideBySide = 32, mostFailures = 32, signal }: Bounds = {},
): Promise<void> {
  const failures: unknown[] = [];
  const underway = new Set<Promise<void>>();
  try {
    for await (const item of items) {
      signal?.throwIfAborted();
      const asked: Promise<void> = ask(item)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => underway.delete(asked));
      underway.add(asked);
      if (underway.size >= sideBySide) await Promise.race(underway);
      if (failures.length >= mostFailures) break;
    }
  } finally {
    await Promise.all(underway);
  }
  if (failures.length > 0) throw failures[0];
  signal?.throwIfAborted();
}

/** Runs tasks of the same key one after the other, and those of different keys side by side. */
export interface KeyedQueue {
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
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
export function createKeyedQueue(): KeyedQueue {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run(key, task) {
      const before = tails.get(key);
      const run = before ? before.then(task) : begun(task);
      const leave = () => void (tails.get(key) === tail && tails.delete(key));
      const tail = run.then(leave, leave);
      tails.set(key, tail);
      return run;
    },
  };
}
