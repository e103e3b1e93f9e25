import { describe, expect, it } from "vitest";
import { asyncEngine, asyncStore, tick, timer, turn } from "../../test/support/async-store.ts";
import { memoryStore } from "../stores/memory.ts";
import { syncOf } from "../capabilities.ts";
import type { SessionStore, StoredSession, StoreListener } from "../store.ts";
import { type MakeStore, storeContract, type StoreContractOptions } from "./index.ts";

/** The names of the cases that a store fails. */
async function failures(makeStore: MakeStore, options?: StoreContractOptions, only = /./): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of storeContract(makeStore, options)) {
    if (!only.test(name)) continue;
    await run().catch((error: unknown) => failed.push(`${name}: ${error instanceof Error ? error.message : ""}`));
  }
  return failed;
}

/** A store that breaks one rule. */
const broken =
  (breaks: (store: SessionStore, clock: () => number) => Partial<SessionStore>): MakeStore =>
  ({ clock }) => {
    const store = memoryStore({ clock });
    return { ...store, ...breaks(store, clock) };
  };

/** A store whose `delete` notifies its listeners in the given way. */
const telling = (
  deletes: (store: SessionStore, id: string, tell: (id: string) => void) => Promise<boolean>,
): MakeStore =>
  broken((store) => {
    const listeners = new Set<StoreListener>();
    return {
      subscribe: (listener) => {
        listeners.add(listener);
        listener.listening?.(true);
        return () => void listeners.delete(listener);
      },
      delete: (id) =>
        deletes(store, id, (ended) => {
          for (const listener of listeners) listener.ended?.(ended);
        }),
    };
  });

const mistakes: Record<string, [rule: RegExp, MakeStore]> = {
  "overwrites at create": [
    /refuses to create a session that exists/,
    broken((store) => ({
      create: async (id, stored) => (await store.delete(id), store.create(id, stored)),
    })),
  ],
  "ignores the version": [
    /expects another version/,
    broken((store) => ({
      async update(id, stored) {
        const found = await store.read(id);
        return found !== undefined && store.update(id, stored, found.version);
      },
    })),
  ],
  "creates by an update": [
    /never creates by an update/,
    broken((store) => ({
      update: async (id, stored, expected) => (await store.update(id, stored, expected)) || store.create(id, stored),
    })),
  ],
  "shortens at a touch": [
    /never shortens at a touch/,
    broken((store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        return found !== undefined && store.update(id, { ...found, expiresAt }, found.version);
      },
    })),
  ],
  "shortens at an update that may only extend": [
    /keeps the later expiry/,
    broken((store) => ({
      update: (id, { extendOnly: _ignored, ...stored }, expected) => store.update(id, stored, expected),
    })),
  ],
  "counts a touch as a version": [
    /old version after a touch/,
    broken((store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        if (found === undefined) return false;
        return store.update(id, { ...found, version: found.version + 1, expiresAt }, found.version);
      },
    })),
  ],
  "says false at a touch that changes nothing": [
    /never shortens at a touch, and still says true/,
    broken((store) => ({
      async touch(id, expiresAt) {
        const found = await store.read(id);
        return found !== undefined && expiresAt > found.expiresAt && store.touch(id, expiresAt);
      },
    })),
  ],
  "shares payloads by reference": [
    /gives out copies/,
    broken((store) => {
      const shared = new Map<string, StoredSession>();
      return {
        async read(id) {
          const found = await store.read(id);
          if (found === undefined) return undefined;
          const state = `${id} ${found.version} ${found.expiresAt}`;
          if (!shared.has(state)) shared.set(state, found);
          return shared.get(state);
        },
      };
    }),
  ],
  "expires a millisecond late": [/at the very millisecond/, ({ clock }) => memoryStore({ clock: () => clock() - 1 })],
  "loses updates": [
    /concurrent updates once/,
    broken((store) => {
      const updated = new Map<string, StoredSession>();
      const read = async (id: string) => updated.get(id) ?? store.read(id);
      return {
        read,
        async update(id, stored, expected) {
          if ((await read(id))?.version !== expected) return false;
          updated.set(id, stored);
          return true;
        },
      };
    }),
  ],
  "cuts text at a NUL": [
    /hostile ids apart/,
    broken((store) => ({
      read: (id) => store.read(id.split("\0")[0] ?? ""),
      create: (id, stored) => store.create(id.split("\0")[0] ?? "", stored),
    })),
  ],
  "finds a user by prefix": [
    /a user's sessions, and nobody else's/,
    broken((store) => ({
      idsOfUser: async (userId) => (userId === "" ? everything(store) : (store.idsOfUser?.(userId) ?? [])),
    })),
  ],
  "forgets more than its limit": [
    /forgets expired sessions, as many as it is told/,
    broken((store) => ({ deleteExpired: async () => store.deleteExpired?.(1000) ?? 0 })),
  ],
  "answers once closed": [/rejects every operation once closed/, broken(() => ({ close: async () => undefined }))],
  "never says that it listens": [/notifies of each live session/, broken(() => ({ subscribe: () => () => undefined }))],
  "notifies of nothing": [
    /notifies of each live session/,
    broken(() => ({
      subscribe: (listener) => {
        listener.listening?.(true);
        return () => undefined;
      },
    })),
  ],
  "has one subscription for a listener that is subscribed twice": [
    /a subscription of its own/,
    telling(async (store, id, tell) => {
      const ended = await store.delete(id);
      if (ended) tell(id);
      return ended;
    }),
  ],
  "ends somebody else's subscription where one is ended twice": [
    /a subscription of its own/,
    broken((store) => {
      const listeners: StoreListener[] = [];
      return {
        subscribe: (listener) => {
          listeners.push(listener);
          listener.listening?.(true);
          return () => void listeners.splice(listeners.indexOf(listener), 1);
        },
        async delete(id) {
          const ended = await store.delete(id);
          if (ended) for (const listener of listeners) listener.ended?.(id);
          return ended;
        },
      };
    }),
  ],
  "falls over a listener that throws": [
    /goes on, and notifies the others/,
    telling(async (store, id, tell) => {
      const ended = await store.delete(id);
      if (ended) tell(id);
      return ended;
    }),
  ],
  "says that it announces changes, and does not": [
    /notifies of updates too/,
    broken((store) => ({
      subscribe: ({ ended, listening }) => store.subscribe!({ ended: ended!, listening: listening! }),
    })),
  ],
  "notifies of what was not there": [
    /notifies of each live session/,
    telling(async (store, id, tell) => {
      tell(id);
      return store.delete(id);
    }),
  ],
};

async function everything(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all?.() ?? []) ids.push(id);
  return ids;
}

const HONEST = { "a promise": tick, "a turn of the event loop": turn, "a millisecond": timer };

const plainStore: MakeStore = ({ clock }) => {
  const { read, create, update, touch, delete: end } = memoryStore({ clock });
  return { read, create, update, touch, delete: end };
};

describe("storeContract", () => {
  // Concurrently, because a case waits seconds for a notification that never comes.
  for (const [mistake, [rule, makeStore]] of Object.entries(mistakes)) {
    it.concurrent(`finds a store that ${mistake}`, async () => {
      expect(await failures(makeStore, {}, rule)).toContainEqual(expect.stringMatching(rule));
    });
  }

  it("holds a store without capabilities to the rest", async () => {
    expect(await failures(plainStore, { oneInstance: true })).toEqual([]);
    expect(await failures(plainStore, { oneInstance: true, capabilities: [] })).toEqual([]);
  });

  it("finds a store that lacks a capability it declares, or has one it does not", async () => {
    const rule = expect.stringMatching(/has the capabilities it declares/) as string;
    expect(await failures(plainStore, { capabilities: ["idsOfUser"] })).toContainEqual(rule);
    expect(await failures(({ clock }) => memoryStore({ clock }), { capabilities: [] })).toContainEqual(rule);
  });

  it("finds a store that comes as one instance without saying that it can't be shared", async () => {
    const rule = "comes as two instances that share what they keep, unless it can't be shared";
    const failing = async (makeStore: MakeStore, options?: StoreContractOptions) =>
      (await failures(makeStore, options, /comes as two instances/)).map((failed) => failed.split(":")[0]);
    expect(await failing(plainStore)).toEqual([rule]);
    expect(await failing(plainStore, { oneInstance: true })).toEqual([]);
    expect(await failing(({ clock }) => memoryStore({ clock }))).toEqual([]);
    expect(
      await failing(({ clock }) => [memoryStore({ clock }), memoryStore({ clock })], { oneInstance: true }),
    ).toEqual([rule]);
  });

  it("finds an operation that answers at once by the answers of another function", async () => {
    const copying: MakeStore = ({ clock }) => {
      const store = memoryStore({ clock });
      const read = Object.assign((id: string) => store.read(id), { sync: syncOf(store, "read") });
      return { ...store, read };
    };
    const [failure, ...others] = await failures(copying, {}, /names in sync\.of/);
    expect(failure).toContain("read.sync.of must be read itself");
    expect(others).toEqual([]);
  });

  it("finds two instances that share nothing, or differ in what they can do", async () => {
    const apart: MakeStore = ({ clock }) => [memoryStore({ clock }), memoryStore({ clock })];
    const rule = expect.stringMatching(/shows every instance at once/) as string;
    expect(await failures(apart, {}, /shows every instance at once/)).toContainEqual(rule);
    const unlike: MakeStore = ({ clock }) => {
      const memory = memoryStore({ clock });
      return [memory, { ...memory, idsOfUser: undefined } as unknown as SessionStore];
    };
    const options = { capabilities: ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] } as const;
    expect(await failures(unlike, options, /has the capabilities it declares/)).toHaveLength(1);
  });

  it.each(Object.entries(HONEST))("passes an honest store %s away from its engine", async (_, hop) => {
    const pair: MakeStore = ({ clock }) => {
      const engine = asyncEngine(clock, hop);
      return [asyncStore(engine), asyncStore(engine)];
    };
    expect(await failures(pair)).toEqual([]);
  });

  it("lets time pass for an engine with its own clock", async () => {
    let time = 1_800_000_000_000;
    const options: StoreContractOptions = {
      clock: "own",
      now: () => time,
      advance: async (milliseconds) => void (time += milliseconds),
    };
    expect(await failures(() => memoryStore({ clock: () => time }), options)).toEqual([]);
  });

  it("gives every case another name", () => {
    const names = storeContract(() => memoryStore()).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("closes the store after each case", async () => {
    let open = 0;
    await failures(({ clock }) => {
      const store = memoryStore({ clock });
      open += 1;
      let closed = false;
      return {
        ...store,
        close: () => {
          if (!closed) open -= 1;
          closed = true;
          return store.close();
        },
      };
    });
    expect(open).toBe(0);
  });

  it("refuses options it doesn't know, and those that would do nothing", () => {
    expect(() => storeContract(() => memoryStore(), { clocks: "own" } as StoreContractOptions)).toThrow(/"clocks"/);
    expect(() => storeContract(() => memoryStore(), { now: Date.now })).toThrow(/clock: "own"/);
  });
});
