import { Buffer } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import { syncOperation } from "../capabilities.ts";
import type { SessionStore, SessionUpdate, StoredSession, StoreListener } from "../store.ts";
import { expiryHeap } from "./shared/expiry-heap.ts";
import { pagedArray } from "./shared/paged-array.ts";
import { createSubscribers } from "./shared/subscribers.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../checks.ts";
import { checkStored, checkTime } from "./shared/stored.ts";

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /**
   * The largest number of sessions in the store, at most 16 000 000. Default 100 000: with payloads of 210 bytes they take
   * about 35 MB of memory.
   */
  maxSessions?: number | undefined;
  /**
   * How `create` behaves when the store has `maxSessions` live sessions. `"error"` rejects the new session, so that no user
   * is signed out without notice. `"evict"` ends the session that expires first. Default `"error"`.
   */
  whenFull?: "error" | "evict" | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} with all its capabilities, in this process's memory. */
export interface MemoryStore extends SessionStore {
  readonly inProcess: true;
  readonly announcesChanges: true;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

const MAX_SESSIONS = 16_000_000;
// Each create looks at two sessions that may have expired. So expired sessions disappear even if deleteExpired is never called.
const REMOVED_PER_CREATE = 2;
const REMOVAL_BATCH_SIZE = 256;
const MAX_SLICE_MS = 3;

/**
 * Keeps sessions in this process's memory. Use it for development, for tests, and for a server with one process that may
 * lose its sessions at a restart.
 *
 * Writes store a copy, and reads return a copy. An expired session can't be read any more. It is removed when new sessions
 * are created or by `deleteExpired`: the store has no timer. `create` rejects when the store is full (see `whenFull`).
 *
 * @throws TypeError for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: memoryStore({ maxSessions: 10_000 }) });
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  checkOptions("memoryStore", options, { maxSessions: true, whenFull: true, clock: true });
  checkClock("memoryStore: clock", options.clock);
  const { maxSessions = 100_000, whenFull = "error", clock = () => Date.now() } = options;
  checkPositiveInteger("memoryStore: maxSessions", maxSessions, MAX_SESSIONS);
  if (whenFull !== "error" && whenFull !== "evict") {
    throw new TypeError('memoryStore: whenFull must be "error" (refuse new sessions) or "evict" (end the oldest)');
  }

  /*
   * A session is an entry: a number, at which these arrays have its properties. As an object it would take 50 bytes more,
   * and the garbage collector would visit each.
   */
  const entries = new Map<string, number>();
  const ids = pagedArray<string>((length) => Array.from({ length }));
  /** The bytes as one-byte strings: even an empty typed array takes 200 bytes of heap. */
  const payloads = pagedArray<string>((length) => Array.from({ length }));
  const versions = pagedArray((length) => new Float64Array(length));
  const users = pagedArray<string | undefined>((length) => Array.from({ length }));
  const expiries = expiryHeap();
  // Most users have one session, and a Set for each user would take half as much memory as the session itself.
  const entriesByUser = new Map<string, number | Set<number>>();
  // All changes happen in this process, so subscribers never miss one.
  const subscribers = createSubscribers({ start: () => subscribers.listening(true), stop() {} });
  let closed = false;

  function assertOpen(): void {
    if (closed) throw new Error("the memory store is closed: make a new one with memoryStore()");
  }

  function findLive(id: string): number | undefined {
    assertOpen();
    const entry = entries.get(id);
    return entry !== undefined && expiries.expiryOf(entry) > clock() ? entry : undefined;
  }

  function removeFromIndex(entry: number): void {
    const userId = users.get(entry);
    if (userId === undefined) return;
    const entriesOfUser = entriesByUser.get(userId);
    if (entriesOfUser instanceof Set) entriesOfUser.delete(entry);
    if (entriesOfUser === entry || (entriesOfUser instanceof Set && entriesOfUser.size === 0))
      entriesByUser.delete(userId);
    users.set(entry, undefined);
  }

  function addToIndex(entry: number, userId: string | undefined): void {
    if (users.get(entry) === userId) return;
    removeFromIndex(entry);
    if (userId === undefined) return;
    const entriesOfUser = entriesByUser.get(userId);
    const copy = copyString(userId);
    users.set(entry, copy);
    if (entriesOfUser instanceof Set) entriesOfUser.add(entry);
    else entriesByUser.set(copy, entriesOfUser === undefined ? entry : new Set([entriesOfUser, entry]));
  }

  function remove(entry: number): void {
    entries.delete(ids.get(entry)!);
    expiries.remove(entry);
    removeFromIndex(entry);
    // A later session gets the number. Until then the arrays keep nothing of this one.
    ids.set(entry, "");
    payloads.set(entry, "");
  }

  function moveTo(entry: number, expiresAt: number): void {
    expiries.move(entry, expiresAt);
    // Otherwise one eviction would have to move every session that was extended since the last one.
    if (whenFull === "evict") expiries.settle(entry);
  }

  /** Looks at so many of the sessions that may have expired. Gives how many it has removed, and whether that were all. */
  function removeExpired(limit: number, now: number): { removed: number; isDone: boolean } {
    let removed = 0;
    for (let step = 0; step < limit; step += 1) {
      const entry = expiries.due(now);
      if (entry === undefined) return { removed, isDone: true };
      if (expiries.expiryOf(entry) > now) expiries.settle(entry);
      else {
        remove(entry);
        removed += 1;
      }
    }
    return { removed, isDone: false };
  }

  return {
    inProcess: true,
    announcesChanges: true,

    read: syncOperation((id: string): StoredSession | undefined => {
      const entry = findLive(id);
      if (entry === undefined) return undefined;
      return {
        payload: Buffer.from(payloads.get(entry)!, "latin1"),
        version: versions.get(entry)!,
        expiresAt: expiries.expiryOf(entry),
        userId: users.get(entry),
      };
    }),

    create: syncOperation((id: string, stored: StoredSession): boolean => {
      assertOpen();
      checkStored(stored);
      const now = clock();
      const old = entries.get(id);
      if (old !== undefined) {
        if (expiries.expiryOf(old) > now) return false;
        remove(old);
      }
      let { isDone } = removeExpired(REMOVED_PER_CREATE, now);
      while (!isDone && entries.size >= maxSessions) ({ isDone } = removeExpired(REMOVED_PER_CREATE, now));
      if (entries.size >= maxSessions) {
        if (whenFull === "error") {
          throw new Error(
            `the memory store is full with ${maxSessions} live sessions: raise maxSessions, ` +
              'shorten the timeouts, or set whenFull to "evict"',
          );
        }
        remove(expiries.first()!);
      }
      const entry = expiries.add(stored.expiresAt);
      const copy = copyString(id);
      entries.set(copy, entry);
      ids.set(entry, copy);
      payloads.set(entry, toOneByteString(stored.payload));
      versions.set(entry, stored.version);
      addToIndex(entry, stored.userId);
      return true;
    }),

    update: syncOperation((id: string, stored: SessionUpdate, expectedVersion: number): boolean => {
      assertOpen();
      checkStored(stored);
      const entry = findLive(id);
      if (entry === undefined || versions.get(entry) !== expectedVersion) return false;
      payloads.set(entry, toOneByteString(stored.payload));
      versions.set(entry, stored.version);
      const { expiresAt } = stored;
      moveTo(entry, stored.extendOnly ? Math.max(expiries.expiryOf(entry), expiresAt) : expiresAt);
      addToIndex(entry, stored.userId);
      subscribers.changed(ids.get(entry)!);
      return true;
    }),

    touch: syncOperation((id: string, expiresAt: number): boolean => {
      assertOpen();
      checkTime(expiresAt);
      const entry = findLive(id);
      if (entry === undefined) return false;
      if (expiresAt > expiries.expiryOf(entry)) moveTo(entry, expiresAt);
      return true;
    }),

    delete: syncOperation((id: string): boolean => {
      assertOpen();
      const entry = entries.get(id);
      if (entry === undefined) return false;
      const wasLive = expiries.expiryOf(entry) > clock();
      const ended = ids.get(entry)!;
      remove(entry);
      if (wasLive) subscribers.ended(ended);
      return wasLive;
    }),

    subscribe(listener) {
      assertOpen();
      return subscribers.subscribe(listener);
    },

    async idsOfUser(userId) {
      assertOpen();
      const now = clock();
      const found = entriesByUser.get(userId) ?? [];
      const entriesOfUser = typeof found === "number" ? [found] : [...found];
      return entriesOfUser.filter((entry) => expiries.expiryOf(entry) > now).map((entry) => ids.get(entry)!);
    },

    // A Map may change during the iteration: it skips removed sessions and may include new ones.
    async *all() {
      assertOpen();
      for (const [id, entry] of entries) {
        if (expiries.expiryOf(entry) <= clock()) continue;
        yield id;
        assertOpen();
      }
    },

    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      // Calls follow each other, so each call begins with a pause. A call without work needs none.
      if (expiries.due(clock()) === undefined) return 0;
      await nextTurn();
      assertOpen();
      let deleted = 0;
      let began = performance.now();
      for (;;) {
        const batchSize = Math.min(limit - deleted, REMOVAL_BATCH_SIZE);
        const { removed, isDone } = removeExpired(batchSize, clock());
        deleted += removed;
        if (isDone || deleted === limit) return deleted;
        if (performance.now() - began > MAX_SLICE_MS) {
          await nextTurn();
          assertOpen();
          began = performance.now();
        }
      }
    },

    async close() {
      closed = true;
      subscribers.close();
      entries.clear();
      entriesByUser.clear();
      for (const each of [ids, payloads, versions, users, expiries]) each.clear();
    },
  };
}

function toOneByteString(payload: StoredSession["payload"]): string {
  const bytes = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return bytes.toString("latin1");
}

/** Ids and most user ids are copied through it, one at a time. */
const COPIED = Buffer.alloc(512);

// A substring keeps the whole string in memory: an id would keep its Cookie header. So this copies the string. The one-byte
// form takes half the memory and fits almost every id. UTF-16 preserves every other string, even with a lone surrogate.
function copyString(value: string): string {
  const bytes = value.length <= COPIED.length ? COPIED : Buffer.allocUnsafe(value.length);
  bytes.write(value, "latin1");
  const oneByte = bytes.toString("latin1", 0, value.length);
  return oneByte === value ? oneByte : Buffer.from(value, "utf16le").toString("utf16le");
}
