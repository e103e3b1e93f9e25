import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import type { SessionStore, StoredSession, StoreListener } from "../../src/store.ts";

/** How long the way to the engine takes, each way. */
export type Hop = () => Promise<unknown>;

export const tick: Hop = () => Promise.resolve();
export const turn: Hop = () => nextTurn();
export const timer: Hop = () => delay(1);

type Rows = Map<string, StoredSession>;

/**
 * An engine in this process that is reached over a network: whatever it is asked for arrives later and is answered later
 * still, and it does one step at a time. Stores made of several steps are open to what falls between.
 */
export interface AsyncEngine {
  readonly clock: () => number;
  /** Waits for the way to the engine, does the whole of the step, and waits for the way back. */
  step<T>(effect: (rows: Rows, live: (id: string) => StoredSession | undefined) => T): Promise<T>;
  /** Tells every instance, in order, some time later. */
  publish(message: Message): void;
  /** Gives a function that ends it. */
  hear(receive: (message: Message) => void): () => void;
}

interface Message {
  readonly kind: "ended" | "changed";
  readonly id: string;
}

export function asyncEngine(clock: () => number, hop: Hop = turn): AsyncEngine {
  const rows: Rows = new Map();
  const receivers = new Set<(message: Message) => void>();
  let published: Promise<unknown> = Promise.resolve();

  function live(id: string): StoredSession | undefined {
    const row = rows.get(id);
    return row !== undefined && row.expiresAt > clock() ? row : undefined;
  }

  return {
    clock,
    async step(effect) {
      await hop();
      const result = effect(rows, live);
      await hop();
      return result;
    },
    publish(message) {
      published = published.then(hop).then(() => {
        for (const receive of receivers) receive(message);
      });
    },
    hear(receive) {
      receivers.add(receive);
      return () => void receivers.delete(receive);
    },
  };
}

export const copyOf = ({ payload, version, expiresAt, userId }: StoredSession): StoredSession => ({
  payload: new Uint8Array(payload),
  version,
  expiresAt,
  userId,
});

/** An honest instance of a store over the engine, with every capability: each operation is one step of it. */
export function asyncStore(
  engine: AsyncEngine,
): SessionStore & Required<Pick<SessionStore, "idsOfUser" | "subscribe">> {
  const { clock, publish } = engine;
  const listeners = new Set<StoreListener>();
  let endHearing: (() => void) | undefined;
  let closed = false;

  function open(): void {
    if (closed) throw new Error("this instance is closed");
  }

  async function step<T>(effect: Parameters<typeof engine.step<T>>[0]): Promise<T> {
    open();
    return engine.step(effect);
  }

  function receive({ kind, id }: Message): void {
    for (const listener of listeners) {
      try {
        listener[kind]?.(id);
      } catch {
        // The listener's own mistake.
      }
    }
  }

  return {
    announcesChanges: true,

    read: (id) =>
      step((_, live) => {
        const found = live(id);
        return found && copyOf(found);
      }),

    async create(id, stored) {
      const row = copyOf(stored);
      return step((rows, live) => live(id) === undefined && rows.set(id, row).size > 0);
    },

    async update(id, stored, expectedVersion) {
      const row = copyOf(stored);
      const { extendOnly = false } = stored;
      return step((rows, live) => {
        const found = live(id);
        if (found?.version !== expectedVersion) return false;
        rows.set(id, extendOnly ? { ...row, expiresAt: Math.max(row.expiresAt, found.expiresAt) } : row);
        publish({ kind: "changed", id });
        return true;
      });
    },

    touch: (id, expiresAt) =>
      step((rows, live) => {
        const found = live(id);
        if (found === undefined) return false;
        rows.set(id, { ...found, expiresAt: Math.max(expiresAt, found.expiresAt) });
        return true;
      }),

    delete: (id) =>
      step((rows, live) => {
        const wasLive = live(id) !== undefined;
        rows.delete(id);
        if (wasLive) publish({ kind: "ended", id });
        return wasLive;
      }),

    idsOfUser: (userId) => step((rows, live) => [...rows.keys()].filter((id) => live(id)?.userId === userId)),

    async *all() {
      const ids = await step((rows, live) => [...rows.keys()].filter((id) => live(id)));
      for (const id of ids) {
        open();
        yield id;
      }
    },

    deleteExpired: (limit) =>
      step((rows) => {
        const gone = [...rows].filter(([, { expiresAt }]) => expiresAt <= clock()).slice(0, limit);
        for (const [id] of gone) rows.delete(id);
        return gone.length;
      }),

    subscribe(listener) {
      open();
      const held = { ...listener };
      listeners.add(held);
      endHearing ??= engine.hear(receive);
      listener.listening?.(true);
      return () => void listeners.delete(held);
    },

    async close() {
      closed = true;
      listeners.clear();
      endHearing?.();
    },
  };
}
