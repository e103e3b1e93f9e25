import { pagedArray } from "./paged-array.ts";

/**
 * A binary heap of entries that are only numbers, from 0 on. The number of a removed entry is given to a later one, so that an
 * array indexed by them has no gaps.
 *
 * Most changes extend an entry. That takes O(1), because the entry stays in its position until the time comes that its
 * position stands for. Every other change takes O(log n).
 */
export interface ExpiryHeap {
  readonly size: number;
  /** The entry that expires first. Every extended entry before it is moved. */
  first(): number | undefined;
  /** An entry that has expired by `now`, if it was not extended. `settle` moves one that was. `undefined`: none has expired. */
  due(now: number): number | undefined;
  /** Moves the first entry to its position, if it was extended. */
  settle(entry: number): void;
  /** Adds an entry, and returns its number. */
  add(expiresAt: number): number;
  remove(entry: number): void;
  expiryOf(entry: number): number;
  /** Changes an entry's expiry. */
  move(entry: number, expiresAt: number): void;
  clear(): void;
}

// An object for each entry would take three times as much memory.
export function expiryHeap(): ExpiryHeap {
  const expiries = pagedArray((length) => new Float64Array(length));
  /** The times that the positions stand for: an entry's expiry, or an earlier one. */
  const times = pagedArray((length) => new Float64Array(length));
  const positions = pagedArray((length) => new Uint32Array(length));
  /** The entries by their positions. Behind them are the numbers of removed entries. */
  const entries = pagedArray((length) => new Uint32Array(length));
  let size = 0;
  let numbers = 0;

  const expiryOf = (entry: number): number => expiries.get(entry)!;
  const timeOf = (entry: number): number => times.get(entry)!;

  function place(entry: number, position: number): void {
    entries.set(position, entry);
    positions.set(entry, position);
  }

  function siftUp(entry: number, from: number): void {
    const time = timeOf(entry);
    let position = from;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = entries.get(above)!;
      if (timeOf(parent) <= time) break;
      place(parent, position);
      position = above;
    }
    place(entry, position);
  }

  function siftDown(entry: number, from: number): void {
    const time = timeOf(entry);
    let position = from;
    for (;;) {
      let below = 2 * position + 1;
      if (below >= size) break;
      let child = entries.get(below)!;
      if (below + 1 < size) {
        const right = entries.get(below + 1)!;
        if (timeOf(right) < timeOf(child)) {
          child = right;
          below += 1;
        }
      }
      if (time <= timeOf(child)) break;
      place(child, position);
      position = below;
    }
    place(entry, position);
  }

  const top = (): number | undefined => (size > 0 ? entries.get(0) : undefined);

  function settle(entry: number): void {
    times.set(entry, expiryOf(entry));
    siftDown(entry, positions.get(entry)!);
  }

  return {
    get size() {
      return size;
    },
    first() {
      for (;;) {
        const entry = top();
        if (entry === undefined || timeOf(entry) === expiryOf(entry)) return entry;
        settle(entry);
      }
    },
    due(now) {
      const entry = top();
      return entry !== undefined && timeOf(entry) <= now ? entry : undefined;
    },
    settle,
    expiryOf,
    add(expiresAt) {
      const entry = size < numbers ? entries.get(size)! : numbers;
      if (entry === numbers) numbers += 1;
      expiries.set(entry, expiresAt);
      times.set(entry, expiresAt);
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
      if (timeOf(last) < timeOf(entry)) siftUp(last, gap);
      else siftDown(last, gap);
    },
    move(entry, expiresAt) {
      expiries.set(entry, expiresAt);
      if (expiresAt >= timeOf(entry)) return;
      times.set(entry, expiresAt);
      siftUp(entry, positions.get(entry)!);
    },
    clear() {
      size = 0;
      numbers = 0;
      for (const each of [expiries, times, positions, entries]) each.clear();
    },
  };
}
