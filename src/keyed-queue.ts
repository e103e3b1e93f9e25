import { rejecting, type Answer } from "./coroutine.ts";

/** Runs tasks with the same key one after another, and tasks with different keys at the same time. */
export interface KeyedQueue {
  /** If a task throws before it returns a promise, the result is a rejected promise. */
  run<T>(key: string, task: () => Answer<T>): Answer<T>;
}

/**
 * Creates a queue. With it, commits of one session in one process wait for each other and do not conflict. They can
 * conflict only with commits of other processes.
 */
export function createKeyedQueue(): KeyedQueue {
  const tails = new Map<string, Promise<unknown>>();
  /** The keys whose tasks have not returned yet. Such a task may call a listener that starts another one. */
  const starting = new Set<string>();

  function start<T>(key: string, task: () => Answer<T>): Answer<T> {
    starting.add(key);
    try {
      return rejecting(task);
    } finally {
      starting.delete(key);
    }
  }

  const queue: KeyedQueue = {
    run(key, task) {
      if (starting.has(key)) return Promise.resolve().then(() => queue.run(key, task));
      const previous = tails.get(key);
      const result = previous ? previous.then(() => start(key, task)) : start(key, task);
      // A task that is done has kept nobody waiting.
      if (!(result instanceof Promise)) return result;
      const removeTail = () => void (tails.get(key) === tail && tails.delete(key));
      const tail = result.then(removeTail, removeTail);
      tails.set(key, tail);
      return result;
    },
  };
  return queue;
}
