import { setImmediate as nextTurn } from "node:timers/promises";

/** After so many calls other work gets a turn: a store may answer each of them at once. */
const CALLS_PER_TURN = 256;

/** Options of {@link forEach}. */
export interface ConcurrencyOptions {
  /** The largest number of calls at the same time. Default 32. */
  readonly concurrency?: number | undefined;
  /** After this many failures no further call is made, because the store is probably down. Default 32. */
  readonly maxFailures?: number | undefined;
  /** Stops further calls. The promise rejects when all pending calls have ended. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Calls `task` for each item, with several calls at the same time. It takes an item from the iterable only when it can call
 * the task. After a failure it continues with the other items, up to `maxFailures`. It throws the first failure when all
 * pending calls have ended.
 */
export async function forEach<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  task: (item: Item) => Promise<void>,
  { concurrency = 32, maxFailures = 32, signal }: ConcurrencyOptions = {},
): Promise<void> {
  const failures: unknown[] = [];
  let untilTurn = CALLS_PER_TURN;
  const pendingCalls = new Set<Promise<void>>();
  try {
    for await (const item of items) {
      signal?.throwIfAborted();
      const call: Promise<void> = task(item)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => pendingCalls.delete(call));
      pendingCalls.add(call);
      if (pendingCalls.size >= concurrency) await Promise.race(pendingCalls);
      if (failures.length >= maxFailures) break;
      untilTurn -= 1;
      if (untilTurn > 0) continue;
      await nextTurn();
      untilTurn = CALLS_PER_TURN;
    }
  } finally {
    await Promise.all(pendingCalls);
  }
  if (failures.length > 0) throw failures[0];
  signal?.throwIfAborted();
}
