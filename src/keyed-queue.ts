import { isPromise, rejecting, type Answer } from "./coroutine.ts";

/** Runs tasks with the same key one after another, and tasks with different keys at the same time. */
export interface KeyedQueue {
  /**
   * If a task throws before it returns a promise, the result is a rejected promise.
   *
   * @param task - takes the result of the task that it has waited for. `undefined` if there was none, or if it failed. All tasks
   *   of one key have results of the same type.
   */
  run<T>(key: string, task: (before: T | undefined) => Answer<T>): Answer<T>;
}

/**
 * Creates a queue. With it, commits of one session in one process wait for each other and do not conflict. They can
 * conflict only with commits of other processes.
 */
export function createKeyedQueue(): KeyedQueue {
  /** Promises of the result of each key's last task, or of nothing if it fails. */
  const tails = new Map<string, Promise<unknown>>();
  /** The keys whose tasks have not returned yet, one within the other: such a task may call a listener that starts another one. */
  const starting: string[] = [];

  function start<T>(key: string, task: () => Answer<T>): Answer<T> {
    starting.push(key);
    try {
      return rejecting(task);
    } finally {
      starting.pop();
    }
  }

  const queue: KeyedQueue = {
    run(key, task) {
      if (starting.includes(key)) return Promise.resolve().then(() => queue.run(key, task));
      const previous = tails.get(key) as Promise<Parameters<typeof task>[0]> | undefined;
      const result = previous
        ? previous.then((before) => start(key, () => task(before)))
        : start(key, () => task(undefined));
      // A task that is done has kept nobody waiting.
      if (!isPromise(result)) return result;
      const removeTail = () => void (tails.get(key) === tail && tails.delete(key));
      const tail = result.then((value) => {
        removeTail();
        return value;
      }, removeTail);
      tails.set(key, tail);
      return result;
    },
  };
  return queue;
}
