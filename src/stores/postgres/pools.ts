// Each store that listens keeps a connection of its pool. If that left no connection for queries, all of them would wait
// for ever.

interface SizedPool {
  readonly options: { readonly max?: unknown };
}

/** The pools that stores send queries to. */
const queryPools = new WeakSet<SizedPool>();
/** The number of listeners in a pool. Each keeps a connection. */
const listenerCounts = new WeakMap<SizedPool, number>();

const listenersIn = (pool: SizedPool): number => listenerCounts.get(pool) ?? 0;

function checkSize(pool: SizedPool, listeners: number): void {
  const needed = queryPools.has(pool) ? listeners + 1 : listeners;
  if (typeof pool.options.max !== "number" || pool.options.max >= needed) return;
  throw new TypeError(
    `each postgresStore that listens keeps a connection of its pool, and this pool has max: ${pool.options.max}; ` +
      `with ${listeners} of them it needs at least ${needed}: raise max, or pass another pool as the option listen`,
  );
}

/** @throws TypeError if the pool is known to have no connection left. */
export function useForQueries(pool: SizedPool): void {
  queryPools.add(pool);
  checkSize(pool, listenersIn(pool));
}

/**
 * Reserves a connection of a pool for a listener, until the returned function is called.
 *
 * @throws TypeError if the pool is known to be too small.
 */
export function reserveListener(pool: SizedPool): () => void {
  checkSize(pool, listenersIn(pool) + 1);
  listenerCounts.set(pool, listenersIn(pool) + 1);
  let isReserved = true;
  return () => {
    if (isReserved) listenerCounts.set(pool, listenersIn(pool) - 1);
    isReserved = false;
  };
}
