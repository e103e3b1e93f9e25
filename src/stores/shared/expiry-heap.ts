/** An entry of the heap. It stores its position, so that it can be moved or removed without a search. */
export interface Expiring {
  expiresAt: number;
  /** The index in the heap's array. Only the heap writes it. */
  position: number;
}

/** A binary heap. Its first entry expires first. Every change takes O(log n). */
export interface ExpiryHeap<T extends Expiring> {
  readonly size: number;
  /** The entry that expires first. */
  first(): T | undefined;
  add(entry: T): void;
  remove(entry: T): void;
  /** Changes an entry's expiry and moves it to its new position. */
  move(entry: T, expiresAt: number): void;
  clear(): void;
}

export function expiryHeap<T extends Expiring>(): ExpiryHeap<T> {
  let entries: T[] = [];

  function siftUp(entry: T, from: number): void {
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

  function siftDown(entry: T, from: number): void {
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
      siftUp(entry, entries.length - 1);
    },
    remove(entry) {
      const last = entries.pop()!;
      if (last === entry) return;
      // The last entry fills the gap. It may have to move up or down from there.
      if (last.expiresAt < entry.expiresAt) siftUp(last, entry.position);
      else siftDown(last, entry.position);
    },
    move(entry, expiresAt) {
      const later = expiresAt >= entry.expiresAt;
      entry.expiresAt = expiresAt;
      if (later) siftDown(entry, entry.position);
      else siftUp(entry, entry.position);
    },
    clear() {
      entries = [];
    },
  };
}
