import { Buffer } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import { syncOperation } from "../capabilities.ts";
import type { SessionStore, SessionUpdate, StoredSession, StoreListener } from "../store.ts";
import { expiryHeap, type Expiring } from "./shared/expiry-heap.ts";
import { createSubscribers } from "./shared/subscribers.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../checks.ts";
import { checkStored, checkTime } from "./shared/stored.ts";

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /**
   * The largest number of sessions in the store, at most 16 000 000. Default 100 000: with payloads of 171 bytes they take
   * about 40 MB of memory.
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

interface Entry extends Expiring {
  readonly id: string;
  /** The bytes as a one-byte string: even an empty typed array takes 200 bytes of heap. */
  payload: string;
  version: number;
  userId: string | undefined;
}

const MAX_SESSIONS = 16_000_000;
// Each create removes up to two expired sessions. So expired sessions disappear even if deleteExpired is never called.
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

  const sessions = new Map<string, Entry>();
  // Most users have one session, and a Set for each user would take half as much memory as the session itself.
  const sessionsByUser = new Map<string, Entry | Set<Entry>>();
  const heap = expiryHeap<Entry>();
  // All changes happen in this process, so subscribers never miss one.
  const subscribers = createSubscribers({ start: () => subscribers.listening(true), stop() {} });
  let closed = false;

  function assertOpen(): void {
    if (closed) throw new Error("the memory store is closed: make a new one with memoryStore()");
  }

  function findLive(id: string): Entry | undefined {
    assertOpen();
    const entry = sessions.get(id);
    return entry !== undefined && entry.expiresAt > clock() ? entry : undefined;
  }

  function removeFromIndex(entry: Entry): void {
    if (entry.userId === undefined) return;
    const sessionsOfUser = sessionsByUser.get(entry.userId);
    if (sessionsOfUser instanceof Set) sessionsOfUser.delete(entry);
    if (sessionsOfUser === entry || (sessionsOfUser instanceof Set && sessionsOfUser.size === 0))
      sessionsByUser.delete(entry.userId);
    entry.userId = undefined;
  }

  function addToIndex(entry: Entry, userId: string | undefined): void {
    if (entry.userId === userId) return;
    removeFromIndex(entry);
    if (userId === undefined) return;
    const sessionsOfUser = sessionsByUser.get(userId);
    entry.userId = copyString(userId);
    if (sessionsOfUser instanceof Set) sessionsOfUser.add(entry);
    else sessionsByUser.set(entry.userId, sessionsOfUser === undefined ? entry : new Set([sessionsOfUser, entry]));
  }

  function remove(entry: Entry): void {
    sessions.delete(entry.id);
    heap.remove(entry);
    removeFromIndex(entry);
  }

  function removeExpired(limit: number, now: number): number {
    let removed = 0;
    for (let first = heap.first(); first !== undefined && first.expiresAt <= now; first = heap.first()) {
      if (removed === limit) break;
      remove(first);
      removed += 1;
    }
    return removed;
  }

  return {
    inProcess: true,
    announcesChanges: true,

    read: syncOperation((id: string): StoredSession | undefined => {
      const entry = findLive(id);
      if (entry === undefined) return undefined;
      const { payload, version, expiresAt, userId } = entry;
      return { payload: Buffer.from(payload, "latin1"), version, expiresAt, userId };
    }),

    create: syncOperation((id: string, stored: StoredSession): boolean => {
      assertOpen();
      checkStored(stored);
      const now = clock();
      const old = sessions.get(id);
      if (old !== undefined) {
        if (old.expiresAt > now) return false;
        remove(old);
      }
      removeExpired(REMOVED_PER_CREATE, now);
      if (sessions.size >= maxSessions) {
        // The session that expires first is live, so all sessions are live.
        if (whenFull === "error") {
          throw new Error(
            `the memory store is full with ${maxSessions} live sessions: raise maxSessions, ` +
              'shorten the timeouts, or set whenFull to "evict"',
          );
        }
        remove(heap.first()!);
      }
      const { payload, version, expiresAt, userId } = stored;
      const entry: Entry = {
        id: copyString(id),
        payload: toOneByteString(payload),
        version,
        userId: undefined,
        expiresAt,
        position: 0,
      };
      sessions.set(entry.id, entry);
      heap.add(entry);
      addToIndex(entry, userId);
      return true;
    }),

    update: syncOperation((id: string, stored: SessionUpdate, expectedVersion: number): boolean => {
      assertOpen();
      checkStored(stored);
      const entry = findLive(id);
      if (entry === undefined || entry.version !== expectedVersion) return false;
      entry.payload = toOneByteString(stored.payload);
      entry.version = stored.version;
      heap.move(entry, stored.extendOnly ? Math.max(entry.expiresAt, stored.expiresAt) : stored.expiresAt);
      addToIndex(entry, stored.userId);
      subscribers.changed(entry.id);
      return true;
    }),

    touch: syncOperation((id: string, expiresAt: number): boolean => {
      assertOpen();
      checkTime(expiresAt);
      const entry = findLive(id);
      if (entry === undefined) return false;
      if (expiresAt > entry.expiresAt) heap.move(entry, expiresAt);
      return true;
    }),

    delete: syncOperation((id: string): boolean => {
      assertOpen();
      const entry = sessions.get(id);
      if (entry === undefined) return false;
      const wasLive = entry.expiresAt > clock();
      remove(entry);
      if (wasLive) subscribers.ended(entry.id);
      return wasLive;
    }),

    subscribe(listener) {
      assertOpen();
      return subscribers.subscribe(listener);
    },

    async idsOfUser(userId) {
      assertOpen();
      const now = clock();
      const ids: string[] = [];
      const sessionsOfUser = sessionsByUser.get(userId) ?? [];
      for (const entry of "id" in sessionsOfUser ? [sessionsOfUser] : sessionsOfUser)
        if (entry.expiresAt > now) ids.push(entry.id);
      return ids;
    },

    // A Map may change during the iteration: it skips removed sessions and may include new ones.
    async *all() {
      assertOpen();
      for (const entry of sessions.values()) {
        if (entry.expiresAt <= clock()) continue;
        yield entry.id;
        assertOpen();
      }
    },

    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      // Calls follow each other, so each call begins with a pause. A call without work needs none.
      const first = heap.first();
      if (first === undefined || first.expiresAt > clock()) return 0;
      await nextTurn();
      assertOpen();
      let deleted = 0;
      let began = performance.now();
      for (;;) {
        const batchSize = Math.min(limit - deleted, REMOVAL_BATCH_SIZE);
        const removed = removeExpired(batchSize, clock());
        deleted += removed;
        if (removed < batchSize || deleted === limit) return deleted;
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
      sessions.clear();
      sessionsByUser.clear();
      heap.clear();
    },
  };
}

function toOneByteString(payload: StoredSession["payload"]): string {
  const bytes = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return bytes.toString("latin1");
}

// A substring keeps the whole string in memory: an id would keep its Cookie header. So this copies the string. The one-byte
// form takes half the memory and fits almost every id. UTF-16 preserves every other string, even with a lone surrogate.
function copyString(value: string): string {
  const oneByte = Buffer.from(value, "latin1").toString("latin1");
  return oneByte === value ? oneByte : Buffer.from(value, "utf16le").toString("utf16le");
}
