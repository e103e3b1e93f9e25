import { pagedArray } from "./paged-array.ts";

/**
 * A binary heap of entries that are only numbers, from 0 on. Its first entry expires first. Every change takes O(log n).
 * The number of a removed entry is given to a later one, so that an array indexed by them has no gaps.
 */
export interface ExpiryHeap {
  readonly size: number;
  /** The entry that expires first. */
  first(): number | undefined;
  /** Adds an entry, and returns its number. */
  add(expiresAt: number): number;
  remove(entry: number): void;
  expiryOf(entry: number): number;
  /** Changes an entry's expiry and moves it to its new position. */
  move(entry: number, expiresAt: number): void;
  clear(): void;
}

// An object for each entry would take three times as much memory.
export function expiryHeap(): ExpiryHeap {
  const expiries = pagedArray((length) => new Float64Array(length));
  const positions = pagedArray((length) => new Uint32Array(length));
  /** The entries by their positions. Behind them are the numbers of removed entries. */
  const entries = pagedArray((length) => new Uint32Array(length));
  let size = 0;
  let numbers = 0;

  const expiryOf = (entry: number): number => expiries.get(entry)!;

  function place(entry: number, position: number): void {
    entries.set(position, entry);
    positions.set(entry, position);
  }

  function siftUp(entry: number, from: number): void {
    const expiresAt = expiryOf(entry);
    let position = from;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = entries.get(above)!;
      if (expiryOf(parent) <= expiresAt) break;
      place(parent, position);
      position = above;
    }
    place(entry, position);
  }

  function siftDown(entry: number, from: number): void {
    const expiresAt = expiryOf(entry);
    let position = from;
    for (;;) {
      let below = 2 * position + 1;
      if (below >= size) break;
      let child = entries.get(below)!;
      if (below + 1 < size) {
        const right = entries.get(below + 1)!;
        if (expiryOf(right) < expiryOf(child)) {
          child = right;
          below += 1;
        }
      }
      if (expiresAt <= expiryOf(child)) break;
      place(child, position);
      position = below;
    }
    place(entry, position);
  }

  return {
    get size() {
      return size;
    },
    first: () => (size > 0 ? entries.get(0) : undefined),
    expiryOf,
    add(expiresAt) {
      const entry = size < numbers ? entries.get(size)! : numbers;
      if (entry === numbers) numbers += 1;
      expiries.set(entry, expiresAt);
      size += 1;
      siftUp(entry, size - 1);
      return entry;
    },
    remove(entry) {
      size -= 1;
      const last = entries.get(size)!;
      if (last === entry) return;
      const gap = positions.get(entry)!;
      entries.set(size, entry);
      // The last entry fills the gap. It may have to move up or down from there.
      if (expiryOf(last) < expiryOf(entry)) siftUp(last, gap);
      else siftDown(last, gap);
    },
    move(entry, expiresAt) {
      const later = expiresAt >= expiryOf(entry);
      expiries.set(entry, expiresAt);
      if (later) siftDown(entry, positions.get(entry)!);
      else siftUp(entry, positions.get(entry)!);
    },
    clear() {
      size = 0;
      numbers = 0;
      for (const each of [expiries, positions, entries]) each.clear();
    },
  };
}
