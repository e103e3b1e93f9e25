import { Buffer } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { SessionStore, StoredSession, StoreListener } from "../store.ts";
import { expiryHeap, type Expiring } from "./shared/expiry-heap.ts";
import { createSubscribers } from "./shared/subscribers.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../checks.ts";
import { checkStored, checkTime } from "./shared/stored.ts";

/** How {@link memoryStore} behaves. */
export interface MemoryStoreOptions {
  /**
   * How many sessions it holds at most. Default 100 000: with a payload of 171 bytes about 40 MB of heap, small beside
   * what a server uses, and more than one process usually serves. The upper end is 16 000 000.
   */
  maxSessions?: number | undefined;
  /**
   * What a new session meets when every place is taken by a live one. `"error"` (the default) refuses it, so that
   * nobody is silently signed out; `"evict"` ends the session that expires soonest.
   */
  whenFull?: "error" | "evict" | undefined;
  /** Epoch milliseconds. Default `Date.now`; tests pass their own. */
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
  /** The bytes as a one-byte string: a typed array costs 200 bytes of heap before it holds anything. */
  payload: string;
  version: number;
  userId: string | undefined;
}

const LARGEST_MAP = 16_000_000;
// Two go for one that comes, so that a server without deleteExpired still gets rid of a crowd of expired sessions.
const DROPPED_ON_CREATE = 2;
const DROPPED_BETWEEN_LOOKS_AT_THE_CLOCK = 256;
const LONGEST_SLICE = 3;

/**
 * Keeps sessions in this process's memory: for development, tests, and one-process servers that may forget everything
 * when they restart.
 *
 * Nothing is shared by reference: what is stored is copied, and what is read is a copy. Expired sessions are unreadable
 * at once, and make room as new ones come; there is no timer.
 *
 * @throws {TypeError} at an option it doesn't know or can't use. When full (see `whenFull`), `create` rejects.
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  checkOptions("memoryStore", options, { maxSessions: true, whenFull: true, clock: true });
  checkClock("memoryStore: clock", options.clock);
  const { maxSessions = 100_000, whenFull = "error", clock = () => Date.now() } = options;
  checkPositiveInteger("memoryStore: maxSessions", maxSessions, LARGEST_MAP);
  if (whenFull !== "error" && whenFull !== "evict") {
    throw new TypeError('memoryStore: whenFull must be "error" (refuse new sessions) or "evict" (end the oldest)');
  }

  const sessions = new Map<string, Entry>();
  // Most users have one session: a Set for each would cost half as much again as the session.
  const userIds = new Map<string, Entry | Set<Entry>>();
  const heap = expiryHeap<Entry>();
  // What happens here is always heard.
  const subscribers = createSubscribers({ start: () => subscribers.listening(true), stop() {} });
  let closed = false;

  function open(): void {
    if (closed) throw new Error("the memory store is closed: make a new one with memoryStore()");
  }

  function live(id: string): Entry | undefined {
    open();
    const entry = sessions.get(id);
    return entry !== undefined && entry.expiresAt > clock() ? entry : undefined;
  }

  function removeFromIndex(entry: Entry): void {
    if (entry.userId === undefined) return;
    const owned = userIds.get(entry.userId);
    if (owned instanceof Set) owned.delete(entry);
    if (owned === entry || (owned instanceof Set && owned.size === 0)) userIds.delete(entry.userId);
    entry.userId = undefined;
  }

  function addToIndex(entry: Entry, userId: string | undefined): void {
    if (entry.userId === userId) return;
    removeFromIndex(entry);
    if (userId === undefined) return;
    const owned = userIds.get(userId);
    entry.userId = flat(userId);
    if (owned instanceof Set) owned.add(entry);
    else userIds.set(entry.userId, owned === undefined ? entry : new Set([owned, entry]));
  }

  function drop(entry: Entry): void {
    sessions.delete(entry.id);
    heap.remove(entry);
    removeFromIndex(entry);
  }

  function dropExpired(limit: number, now: number): number {
    let dropped = 0;
    for (let first = heap.first(); first !== undefined && first.expiresAt <= now; first = heap.first()) {
      if (dropped === limit) break;
      drop(first);
      dropped += 1;
    }
    return dropped;
  }

  return {
    inProcess: true,
    announcesChanges: true,

    async read(id) {
      const entry = live(id);
      if (entry === undefined) return undefined;
      const { payload, version, expiresAt, userId } = entry;
      return { payload: Buffer.from(payload, "latin1"), version, expiresAt, userId };
    },

    async create(id, stored) {
      open();
      checkStored(stored);
      const now = clock();
      const old = sessions.get(id);
      if (old !== undefined) {
        if (old.expiresAt > now) return false;
        drop(old);
      }
      dropExpired(DROPPED_ON_CREATE, now);
      if (sessions.size >= maxSessions) {
        // The soonest-expiring one is live, and so are all the others.
        if (whenFull === "error") {
          throw new Error(
            `the memory store is full with ${maxSessions} live sessions: raise maxSessions, ` +
              'shorten the timeouts, or set whenFull to "evict"',
          );
        }
        drop(heap.first()!);
      }
      const { payload, version, expiresAt, userId } = stored;
      const entry: Entry = {
        id: flat(id),
        payload: text(payload),
        version,
        userId: undefined,
        expiresAt,
        position: 0,
      };
      sessions.set(entry.id, entry);
      heap.add(entry);
      addToIndex(entry, userId);
      return true;
    },

    async update(id, stored, expectedVersion) {
      open();
      checkStored(stored);
      const entry = live(id);
      if (entry === undefined || entry.version !== expectedVersion) return false;
      entry.payload = text(stored.payload);
      entry.version = stored.version;
      heap.move(entry, stored.extendOnly ? Math.max(entry.expiresAt, stored.expiresAt) : stored.expiresAt);
      addToIndex(entry, stored.userId);
      subscribers.changed(entry.id);
      return true;
    },

    async touch(id, expiresAt) {
      open();
      checkTime(expiresAt);
      const entry = live(id);
      if (entry === undefined) return false;
      if (expiresAt > entry.expiresAt) heap.move(entry, expiresAt);
      return true;
    },

    async delete(id) {
      open();
      const entry = sessions.get(id);
      if (entry === undefined) return false;
      const wasLive = entry.expiresAt > clock();
      drop(entry);
      if (wasLive) subscribers.ended(entry.id);
      return wasLive;
    },

    subscribe(listener) {
      open();
      return subscribers.subscribe(listener);
    },

    async idsOfUser(userId) {
      open();
      const now = clock();
      const ids: string[] = [];
      const owned = userIds.get(userId) ?? [];
      for (const entry of "id" in owned ? [owned] : owned) if (entry.expiresAt > now) ids.push(entry.id);
      return ids;
    },

    // A Map may change while it is walked: what is removed is not met, what is added may be.
    async *all() {
      open();
      for (const entry of sessions.values()) {
        if (entry.expiresAt <= clock()) continue;
        yield entry.id;
        open();
      }
    },

    async deleteExpired(limit) {
      open();
      checkPositiveInteger("deleteExpired: limit", limit);
      let forgotten = 0;
      let began = performance.now();
      for (;;) {
        const wanted = Math.min(limit - forgotten, DROPPED_BETWEEN_LOOKS_AT_THE_CLOCK);
        const dropped = dropExpired(wanted, clock());
        forgotten += dropped;
        if (dropped < wanted || forgotten === limit) return forgotten;
        if (performance.now() - began > LONGEST_SLICE) {
          await nextTurn();
          open();
          began = performance.now();
        }
      }
    },

    async close() {
      closed = true;
      subscribers.close();
      sessions.clear();
      userIds.clear();
      heap.clear();
    },
  };
}

function text(payload: StoredSession["payload"]): string {
  const bytes = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return bytes.toString("latin1");
}

// A string cut out of a longer one (an id out of a Cookie header) keeps the longer one alive. UTF-16 loses nothing,
// not even half a surrogate pair, and the one-byte form halves what almost every id takes.
function flat(value: string): string {
  const oneByte = Buffer.from(value, "latin1").toString("latin1");
  return oneByte === value ? oneByte : Buffer.from(value, "utf16le").toString("utf16le");
}
