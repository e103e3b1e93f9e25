import { Buffer } from "node:buffer";
import { milliseconds, type Duration } from "../duration.ts";
import type { SessionStore, StoredSession, StoreListener } from "../store.ts";
import { capabilitiesOf, readLatest } from "../capabilities.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../checks.ts";

/** How {@link cached} behaves. */
export interface CachedOptions {
  /**
   * How much it holds at most, in bytes: what each session's payload and user take, and 512 more for keeping it.
   * Default 33 554 432 (32 MiB, some 40 000 sessions of the usual size). The least recently read leave first.
   */
  maxBytes?: number | undefined;
  /**
   * How long a session is answered for from memory, at most, however it was told of: what bounds staleness should a
   * connection die without anybody noticing. Default `"5s"`.
   */
  maxAge?: Duration | undefined;
  /** Epoch milliseconds. Default `Date.now`; tests pass their own. */
  clock?: (() => number) | undefined;
  /** Milliseconds that only grow, wherever the clock is set. Default `performance.now`; tests pass their own. */
  elapsed?: (() => number) | undefined;
}

/** The capabilities of the store behind it, and these. */
export interface CachedStore extends SessionStore {
  readLatest(id: string): Promise<StoredSession | undefined>;
  subscribe(listener: StoreListener): () => void;
  close(): Promise<void>;
}

/** By both clocks: the one that sessions expire by, and the one that nobody can set. */
interface Moment {
  readonly now: number;
  readonly elapsed: number;
}

interface Entry {
  readonly stored: StoredSession;
  readonly readAt: Moment;
  readonly weight: number;
}

/** Reads of one session that are under way: whether what they bring may be kept. */
interface Reading {
  count: number;
  outdated: boolean;
}

const OVERHEAD = 512;
const MAX_BYTES = 2 ** 40;

/**
 * A near cache before a store that other processes write to as well: reads without a round trip, coherent by
 * invalidation.
 *
 * What any process updates or ends is forgotten as soon as the store's subscription tells of it, which takes as long as
 * a message does. While the subscription is down nothing is answered from memory, and never anything for longer than
 * `maxAge`. What this process has written it reads back at once. Only `read` is answered from memory; `readLatest`, and
 * so every compare-and-set, goes to the store.
 *
 * @throws {TypeError} where the store does not announce its changes to subscribers (`announcesChanges`), and at an
 * option it doesn't know or can't use.
 */
export function cached(store: SessionStore, options: CachedOptions = {}): CachedStore {
  checkOptions("cached", options, { maxBytes: true, maxAge: true, clock: true, elapsed: true });
  checkClock("cached: clock", options.clock);
  checkClock("cached: elapsed", options.elapsed, "performance.now");
  const { maxBytes = 32 * 2 ** 20, clock = () => Date.now(), elapsed = () => performance.now() } = options;
  const maxAge = milliseconds(options.maxAge ?? "5s", "cached: maxAge");
  checkPositiveInteger("cached: maxBytes", maxBytes, MAX_BYTES);
  if (store.subscribe === undefined || store.announcesChanges !== true) {
    throw new TypeError(
      "cached needs a store that announces its changes: give redisStore, postgresStore or sqliteStore the option announceChanges: true, " +
        "in every process that shares the store",
    );
  }

  /** In the order in which they were last read; empty while the subscription is down. */
  const entries = new Map<string, Entry>();
  const readings = new Map<string, Reading>();
  let bytes = 0;
  let isListening = false;
  let endListening: (() => void) | undefined;
  let closed = false;

  function listen(): void {
    endListening = store.subscribe!({
      ended: forget,
      changed: forget,
      listening(is) {
        forgetAll();
        isListening = is;
      },
    });
  }

  function drop(id: string): void {
    const entry = entries.get(id);
    if (entry === undefined) return;
    entries.delete(id);
    bytes -= entry.weight;
  }

  /** Also what a read that is under way may still bring. */
  function forget(id: string): void {
    drop(id);
    const reading = readings.get(id);
    if (reading === undefined) return;
    reading.outdated = true;
    readings.delete(id);
  }

  function forgetAll(): void {
    entries.clear();
    bytes = 0;
    for (const reading of readings.values()) reading.outdated = true;
    readings.clear();
  }

  function remembered(id: string): StoredSession | undefined {
    const entry = entries.get(id);
    if (entry === undefined) return undefined;
    entries.delete(id);
    if (isOld(entry)) {
      bytes -= entry.weight;
      return undefined;
    }
    entries.set(id, entry);
    return entry.stored;
  }

  /** By either clock: one was set, and the other stands still while the machine sleeps. */
  function isOld({ readAt, stored }: Entry): boolean {
    const now = clock();
    const age = now - readAt.now;
    return age < 0 || age >= maxAge || elapsed() - readAt.elapsed >= maxAge || now >= stored.expiresAt;
  }

  function keep(id: string, stored: StoredSession, readAt: Moment): void {
    drop(id);
    const weight = stored.payload.byteLength + 2 * (stored.userId?.length ?? 0) + OVERHEAD;
    if (weight > maxBytes) return;
    entries.set(id, { stored: { ...stored, payload: new Uint8Array(stored.payload) }, readAt, weight });
    bytes += weight;
    for (const oldest of entries.keys()) {
      if (bytes <= maxBytes) break;
      drop(oldest);
    }
  }

  async function readThrough(id: string): Promise<StoredSession | undefined> {
    if (closed) return store.read(id);
    if (endListening === undefined) listen();
    const readAt = { now: clock(), elapsed: elapsed() };
    const reading = readings.get(id) ?? { count: 0, outdated: !isListening };
    reading.count += 1;
    if (!reading.outdated) readings.set(id, reading);
    try {
      const stored = await readLatest(store, id);
      if (stored === undefined) drop(id);
      else if (!reading.outdated) keep(id, stored, readAt);
      return stored;
    } finally {
      reading.count -= 1;
      if (reading.count === 0 && readings.get(id) === reading) readings.delete(id);
    }
  }

  /** Whatever came of it, and be it unknown, what was read before is not to be relied on. */
  async function written<T>(id: string, effect: Promise<T>): Promise<T> {
    try {
      return await effect;
    } finally {
      forget(id);
    }
  }

  return {
    ...capabilitiesOf(store),
    // A listener may read what it is told of: it must not get what was remembered before, whoever is told first.
    subscribe: (listener) =>
      store.subscribe!({
        ended(id) {
          forget(id);
          listener.ended?.(id);
        },
        changed(id) {
          forget(id);
          listener.changed?.(id);
        },
        listening(is) {
          if (!is) forgetAll();
          listener.listening?.(is);
        },
      }),

    async read(id) {
      const stored = remembered(id);
      return stored ? { ...stored, payload: Buffer.from(stored.payload) } : readThrough(id);
    },

    readLatest: readThrough,

    create: (id, stored) => written(id, store.create(id, stored)),
    update: (id, stored, expectedVersion) => written(id, store.update(id, stored, expectedVersion)),
    touch: (id, expiresAt) => written(id, store.touch(id, expiresAt)),
    delete: (id) => written(id, store.delete(id)),

    async close() {
      closed = true;
      endListening?.();
      isListening = false;
      forgetAll();
      await store.close?.();
    },
  };
}
