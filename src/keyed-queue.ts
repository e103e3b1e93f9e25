/** Runs tasks with the same key one after another, and tasks with different keys at the same time. */
export interface KeyedQueue {
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/** Starts a task. If it throws before it returns a promise, the result is a rejected promise. */
function start<T>(task: () => Promise<T>): Promise<T> {
  try {
    return task();
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Creates a queue. With it, commits of one session in one process wait for each other and do not conflict. They can
 * conflict only with commits of other processes.
 */
export function createKeyedQueue(): KeyedQueue {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run(key, task) {
      const previous = tails.get(key);
      const result = previous ? previous.then(task) : start(task);
      const removeTail = () => void (tails.get(key) === tail && tails.delete(key));
      const tail = result.then(removeTail, removeTail);
      tails.set(key, tail);
      return result;
    },
  };
}
