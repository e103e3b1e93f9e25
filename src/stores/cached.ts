import { Buffer } from "node:buffer";
import { milliseconds, type Duration } from "../duration.ts";
import type { SessionStore, StoredSession, StoreListener } from "../store.ts";
import { capabilitiesOf, readLatest, refuseClientSide } from "../capabilities.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../checks.ts";

/** Options of {@link cached}. */
export interface CachedOptions {
  /**
   * The largest size of the cache in bytes. Each session counts with its payload, its user id and 512 bytes of overhead. The
   * sessions that were read least recently are removed first. Default 33 554 432 (32 MiB, about 40 000 usual sessions).
   */
  maxBytes?: number | undefined;
  /**
   * The longest time that a session stays in the cache, such as `"2s"`. It limits how old a
   * session can be if the connection for notifications is lost and the store has not detected it yet. Default `"5s"`.
   */
  maxAge?: Duration | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
  /** A monotonic clock in milliseconds, for tests. Default: `performance.now`. */
  elapsed?: (() => number) | undefined;
}

/** A store with a near cache. It has the capabilities of the original store, and these. */
export interface CachedStore extends SessionStore {
  readLatest(id: string): Promise<StoredSession | undefined>;
  subscribe(listener: StoreListener): () => void;
  close(): Promise<void>;
}

/** A point in time by both clocks: the system clock, by which sessions expire, and the monotonic clock. */
interface ClockReadings {
  readonly now: number;
  readonly elapsed: number;
}

interface Entry {
  readonly stored: StoredSession;
  readonly readAt: ClockReadings;
  readonly weight: number;
}

/** The pending reads of one session. If `outdated`, their results must not be cached. */
interface Reading {
  count: number;
  outdated: boolean;
}

const ENTRY_OVERHEAD = 512;
const MAX_BYTES = 2 ** 40;

/**
 * Adds a near cache to a store that several processes share. Sessions in the cache are read without a round trip.
 *
 * When any process updates or ends a session, the store notifies this process and the session is removed from the cache.
 * That takes as long as one message. While the store can't receive notifications, the cache is off. No session stays in
 * the cache for longer than `maxAge`. A process always reads its own writes. Only `read` uses the cache: `readLatest` reads
 * from the store, and commits compare versions in the store.
 *
 * @param store - a store that notifies of changes. `redisStore`, `postgresStore` and `sqliteStore` need the option
 *   `announceChanges: true` for that, in every process that shares the store.
 * @throws TypeError if the store does not notify subscribers of changes (`announcesChanges`), and for an option that it
 *   does not know or can't use.
 *
 * @example
 * ```ts
 * const store = cached(redisStore(client, { announceChanges: true }), { maxAge: "2s" });
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store });
 * ```
 */
export function cached(store: SessionStore, options: CachedOptions = {}): CachedStore {
  checkOptions("cached", options, { maxBytes: true, maxAge: true, clock: true, elapsed: true });
  checkClock("cached: clock", options.clock);
  checkClock("cached: elapsed", options.elapsed, "performance.now");
  const { maxBytes = 32 * 2 ** 20, clock = () => Date.now(), elapsed = () => performance.now() } = options;
  const maxAge = milliseconds(options.maxAge ?? "5s", "cached: maxAge");
  checkPositiveInteger("cached: maxBytes", maxBytes, MAX_BYTES);
  refuseClientSide("cached", store);
  if (store.subscribe === undefined || store.announcesChanges !== true) {
    throw new TypeError(
      "cached needs a store that announces its changes: give redisStore, postgresStore or sqliteStore the option announceChanges: true, " +
        "in every process that shares the store",
    );
  }

  /** The cached sessions, in the order in which they were last read. Empty while the store can't receive notifications. */
  const entries = new Map<string, Entry>();
  const readings = new Map<string, Reading>();
  let bytes = 0;
  let isListening = false;
  let stopListening: (() => void) | undefined;
  let closed = false;

  function startListening(): void {
    stopListening = store.subscribe!({
      ended: invalidate,
      changed: invalidate,
      listening(is) {
        invalidateAll();
        isListening = is;
      },
    });
  }

  function remove(id: string): void {
    const entry = entries.get(id);
    if (entry === undefined) return;
    entries.delete(id);
    bytes -= entry.weight;
  }

  /** Removes a session, and prevents pending reads from caching it. */
  function invalidate(id: string): void {
    remove(id);
    const reading = readings.get(id);
    if (reading === undefined) return;
    reading.outdated = true;
    readings.delete(id);
  }

  function invalidateAll(): void {
    entries.clear();
    bytes = 0;
    for (const reading of readings.values()) reading.outdated = true;
    readings.clear();
  }

  function getCached(id: string): StoredSession | undefined {
    const entry = entries.get(id);
    if (entry === undefined) return undefined;
    entries.delete(id);
    if (isOutdated(entry)) {
      bytes -= entry.weight;
      return undefined;
    }
    entries.set(id, entry);
    return entry.stored;
  }

  /** Checks both clocks: the system clock can be set, and the monotonic clock may stop while the machine sleeps. */
  function isOutdated({ readAt, stored }: Entry): boolean {
    const now = clock();
    const age = now - readAt.now;
    return age < 0 || age >= maxAge || elapsed() - readAt.elapsed >= maxAge || now >= stored.expiresAt;
  }

  function addToCache(id: string, stored: StoredSession, readAt: ClockReadings): void {
    remove(id);
    const weight = stored.payload.byteLength + 2 * (stored.userId?.length ?? 0) + ENTRY_OVERHEAD;
    if (weight > maxBytes) return;
    entries.set(id, { stored: { ...stored, payload: new Uint8Array(stored.payload) }, readAt, weight });
    bytes += weight;
    for (const oldest of entries.keys()) {
      if (bytes <= maxBytes) break;
      remove(oldest);
    }
  }

  async function readThrough(id: string): Promise<StoredSession | undefined> {
    if (closed) return store.read(id);
    if (stopListening === undefined) startListening();
    const readAt = { now: clock(), elapsed: elapsed() };
    const reading = readings.get(id) ?? { count: 0, outdated: !isListening };
    reading.count += 1;
    if (!reading.outdated) readings.set(id, reading);
    try {
      const stored = await readLatest(store, id);
      if (stored === undefined) remove(id);
      else if (!reading.outdated) addToCache(id, stored, readAt);
      return stored;
    } finally {
      reading.count -= 1;
      if (reading.count === 0 && readings.get(id) === reading) readings.delete(id);
    }
  }

  /** Invalidates the session after a write. A failed write may have taken effect too, so its result does not matter. */
  async function invalidateAfter<T>(id: string, write: Promise<T>): Promise<T> {
    try {
      return await write;
    } finally {
      invalidate(id);
    }
  }

  return {
    ...capabilitiesOf(store),
    // A listener may read the session at once. It must not get the cached state, in any order of the listeners.
    subscribe: (listener) =>
      store.subscribe!({
        ended(id) {
          invalidate(id);
          listener.ended?.(id);
        },
        changed(id) {
          invalidate(id);
          listener.changed?.(id);
        },
        listening(is) {
          if (!is) invalidateAll();
          listener.listening?.(is);
        },
      }),

    async read(id) {
      const stored = getCached(id);
      return stored ? { ...stored, payload: Buffer.from(stored.payload) } : readThrough(id);
    },

    readLatest: readThrough,

    create: (id, stored) => invalidateAfter(id, store.create(id, stored)),
    update: (id, stored, expectedVersion) => invalidateAfter(id, store.update(id, stored, expectedVersion)),
    touch: (id, expiresAt) => invalidateAfter(id, store.touch(id, expiresAt)),
    delete: (id) => invalidateAfter(id, store.delete(id)),

    async close() {
      closed = true;
      stopListening?.();
      isListening = false;
      invalidateAll();
      await store.close?.();
    },
  };
}
