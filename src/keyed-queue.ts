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
