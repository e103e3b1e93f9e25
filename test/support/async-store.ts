import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import type { SessionStore, StoredSession, StoreListener } from "../../src/store.ts";

/** The delay of a message to the engine, or back. */
export type Hop = () => Promise<unknown>;

export const tick: Hop = () => Promise.resolve();
export const turn: Hop = () => nextTurn();
export const timer: Hop = () => delay(1);

type Rows = Map<string, StoredSession>;

/**
 * An engine in this process that behaves as if behind a network. A request arrives after a delay, and so does its reply. It
 * does one step at a time, so another call can come between the steps of a store that needs several.
 */
export interface AsyncEngine {
  readonly clock: () => number;
  /** Waits for the request's delay, does the whole step, and waits for the reply's delay. */
  step<T>(effect: (rows: Rows, live: (id: string) => StoredSession | undefined) => T): Promise<T>;
  /** Notifies every instance later, in order. */
  publish(message: Message): void;
  /** Returns the function that ends it. */
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

/** A correct instance of a store over the engine, with every capability. Each operation is one step of the engine. */
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
        // A listener's error does not affect the others.
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
