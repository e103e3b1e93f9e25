/** What the heap orders. It keeps its own place, so that it can be moved or removed without being searched for. */
export interface Expiring {
  expiresAt: number;
  /** Where it stands in the heap. Only the heap writes it. */
  position: number;
}

/** A binary heap: the soonest-expiring entry first, every change in O(log n). */
export interface ExpiryHeap<T extends Expiring> {
  readonly size: number;
  /** The entry that expires soonest. */
  first(): T | undefined;
  add(entry: T): void;
  remove(entry: T): void;
  /** Gives an entry of the heap another expiry, and its new place. */
  move(entry: T, expiresAt: number): void;
  clear(): void;
}

export function expiryHeap<T extends Expiring>(): ExpiryHeap<T> {
  let entries: T[] = [];

  function rise(entry: T, from: number): void {
    let position = from;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = entries[above]!;
      if (parent.expiresAt <= entry.expiresAt) break;
      entries[position] = parent;
      parent.position = position;
      position = above;
    }
    entries[position] = entry;
    entry.position = position;
  }

  function sink(entry: T, from: number): void {
    let position = from;
    for (;;) {
      let below = 2 * position + 1;
      if (below >= entries.length) break;
      let child = entries[below]!;
      const right = entries[below + 1];
      if (right !== undefined && right.expiresAt < child.expiresAt) {
        child = right;
        below += 1;
      }
      if (entry.expiresAt <= child.expiresAt) break;
      entries[position] = child;
      child.position = position;
      position = below;
    }
    entries[position] = entry;
    entry.position = position;
  }

  return {
    get size() {
      return entries.length;
    },
    first: () => entries[0],
    add(entry) {
      entries.push(entry);
      rise(entry, entries.length - 1);
    },
    remove(entry) {
      const last = entries.pop()!;
      if (last === entry) return;
      // The last entry fills the gap; it may belong above it as well as below.
      if (last.expiresAt < entry.expiresAt) rise(last, entry.position);
      else sink(last, entry.position);
    },
    move(entry, expiresAt) {
      const later = expiresAt >= entry.expiresAt;
      entry.expiresAt = expiresAt;
      if (later) sink(entry, entry.position);
      else rise(entry, entry.position);
    },
    clear() {
      entries = [];
    },
  };
}
