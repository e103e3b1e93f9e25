/** How {@link forEach} goes about it. */
export interface ConcurrencyOptions {
  /** How many calls are under way at once, at most. Default 32. */
  readonly concurrency?: number | undefined;
  /** So many failures mean that the store is out of order: no further call is made. Default 32. */
  readonly maxFailures?: number | undefined;
  /** Ends it, once every call under way has ended. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Calls `task` for each item, several calls at a time. An item is taken from the iterable only when its call can begin.
 * A failure does not keep the other calls from being made, unless there are too many. The first failure is thrown once
 * every call under way has ended.
 */
export async function forEach<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  task: (item: Item) => Promise<void>,
  { concurrency = 32, maxFailures = 32, signal }: ConcurrencyOptions = {},
): Promise<void> {
  const failures: unknown[] = [];
  const underway = new Set<Promise<void>>();
  try {
    for await (const item of items) {
      signal?.throwIfAborted();
      const call: Promise<void> = task(item)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => underway.delete(call));
      underway.add(call);
      if (underway.size >= concurrency) await Promise.race(underway);
      if (failures.length >= maxFailures) break;
    }
  } finally {
    await Promise.all(underway);
  }
  if (failures.length > 0) throw failures[0];
  signal?.throwIfAborted();
}
