// A store that listens keeps a connection of its pool. Where that leaves none to ask through, all would wait for ever.

interface Sized {
  readonly options: { readonly max?: unknown };
}

/** Pools that a store asks through. */
const asked = new WeakSet<Sized>();
/** How many listen in a pool, each on a connection of its own. */
const listening = new WeakMap<Sized, number>();

const countOf = (pool: Sized): number => listening.get(pool) ?? 0;

function check(pool: Sized, count: number): void {
  const wanted = asked.has(pool) ? count + 1 : count;
  if (typeof pool.options.max !== "number" || pool.options.max >= wanted) return;
  throw new TypeError(
    `each postgresStore that listens keeps a connection of its pool, and this pool has max: ${pool.options.max}; ` +
      `with ${count} of them it needs at least ${wanted}: raise max, or pass another pool as the option listen`,
  );
}

/** @throws {TypeError} where the pool is known to have no connection left. */
export function askThrough(pool: Sized): void {
  asked.add(pool);
  check(pool, countOf(pool));
}

/**
 * Keeps room in a pool for one more who listens, until what it gives is called.
 *
 * @throws {TypeError} where the pool is known to be too small.
 */
export function reserveIn(pool: Sized): () => void {
  check(pool, countOf(pool) + 1);
  listening.set(pool, countOf(pool) + 1);
  let isKept = true;
  return () => {
    if (isKept) listening.set(pool, countOf(pool) - 1);
    isKept = false;
  };
}
