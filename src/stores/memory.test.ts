import { describe, expect, it, vi } from "vitest";
import { KEYS } from "../../test/support/stores.ts";
import { OPERATIONS, syncOf } from "../capabilities.ts";
import { createSessions } from "../sessions.ts";
import type { SessionStore, StoredSession } from "../store.ts";
import { storeContract } from "../testing/index.ts";
import { expiryHeap } from "./shared/expiry-heap.ts";
import { cached } from "./cached.ts";
import { memoryStore, type MemoryStoreOptions } from "./memory.ts";

const session = (expiresAt: number, given: Partial<StoredSession> = {}): StoredSession => ({
  payload: new TextEncoder().encode("data"),
  version: 1,
  expiresAt,
  ...given,
});

const make = (options: unknown) => () => memoryStore(options as MemoryStoreOptions);

function storeAt(options: MemoryStoreOptions = {}) {
  const time = { now: 1000 };
  return { time, store: memoryStore({ clock: () => time.now, ...options }) };
}

/** All optional capabilities of a store. */
const ALL = ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

describe("memoryStore and the store contract", () => {
  it.each(storeContract((given) => memoryStore(given), { capabilities: ALL }))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

/** A store whose promised operations are the ones that answer at once. */
function promising(store: SessionStore): SessionStore {
  const promised = OPERATIONS.map((name) => {
    const sync = syncOf(store, name) as unknown as (...args: unknown[]) => unknown;
    return [name, async (...args: unknown[]) => sync.apply(store, args)] as const;
  });
  return { ...store, ...Object.fromEntries(promised) };
}

describe("memoryStore's answers at once and the store contract", () => {
  it.each(storeContract((given) => promising(memoryStore(given)), { capabilities: ALL }))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe("memoryStore", () => {
  it("answers at once only by its own operations, and by none that replaces one", () => {
    const store = memoryStore();
    for (const name of OPERATIONS) expect(syncOf(store, name)).toBeTypeOf("function");
    const wrapped = { ...store, read: async (id: string) => store.read(id) };
    expect(syncOf(wrapped, "read")).toBe(undefined);
    expect(syncOf(cached(store), "read")).toBe(undefined);
  });

  it.each(OPERATIONS)(
    "is called where a test replaces %s by a spy or a Proxy, which may have its properties",
    (name) => {
      const store = memoryStore();
      const proxied = new Proxy(store, {
        get: (target, key: keyof SessionStore) => (key === name ? new Proxy(target[name], {}) : target[key]),
      });
      expect(syncOf(proxied as SessionStore, name)).toBe(undefined);
      vi.spyOn(store, name);
      expect(syncOf(store, name)).toBe(undefined);
    },
  );

  it("fails a save() by an operation that a test has replaced, before and after createSessions", async () => {
    for (const isBefore of [true, false]) {
      const store = memoryStore();
      const replace = () => vi.spyOn(store, "create").mockRejectedValue(new Error("down"));
      if (isBefore) replace();
      const sessions = createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store });
      if (!isBefore) replace();
      const opened = await sessions.open(new Request("http://localhost/"));
      opened.data["n"] = 1;
      await expect(opened.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    }
  });

  it("declares that payloads never leave the process", () => {
    expect(memoryStore().inProcess).toBe(true);
  });

  it("rejects a new session when it is full of live ones, and names the option", async () => {
    const { store } = storeAt({ maxSessions: 2 });
    await store.create("a", session(5000));
    await store.create("b", session(6000));
    await expect(store.create("c", session(7000))).rejects.toThrow(/maxSessions.*whenFull/);
    expect(await store.create("a", session(7000))).toBe(false);
    expect(await store.update("a", session(7000, { version: 2 }), 1)).toBe(true);
    expect(await store.read("b")).toBeDefined();
  });

  it("replaces expired sessions before it counts as full", async () => {
    const { store, time } = storeAt({ maxSessions: 3 });
    await store.create("a", session(2000));
    await store.create("b", session(9000));
    await store.create("c", session(2001));
    time.now = 2001;
    for (const id of ["d", "e"]) expect(await store.create(id, session(9000))).toBe(true);
    await expect(store.create("f", session(9000))).rejects.toThrow("full");
  });

  it("makes room for a new session when it is full, where others were extended before one has expired", async () => {
    const { store, time } = storeAt({ maxSessions: 5 });
    for (const id of ["a", "b", "c", "d"]) await store.create(id, session(2000));
    await store.create("e", session(3000));
    for (const id of ["a", "b", "c", "d"]) await store.touch(id, 9000);
    time.now = 3000;
    expect(await store.create("f", session(9000))).toBe(true);
    await expect(store.create("g", session(9000))).rejects.toThrow("full");
  });

  it("evicts the session that expires first with whenFull `evict`", async () => {
    const { store } = storeAt({ maxSessions: 3, whenFull: "evict" });
    await store.create("a", session(5000));
    await store.create("b", session(4000));
    await store.create("c", session(6000));
    await store.touch("b", 8000);
    await store.update("c", session(3000, { version: 2 }), 1);
    await store.create("d", session(7000));
    await store.create("e", session(7500));
    const ids: string[] = [];
    for await (const id of store.all()) ids.push(id);
    expect(ids.toSorted()).toEqual(["b", "d", "e"]);
  });

  it("removes expired sessions when new ones are created, without deleteExpired", async () => {
    const { store, time } = storeAt({ maxSessions: 100 });
    for (let n = 0; n < 50; n += 1) await store.create(`old${n}`, session(2000));
    time.now = 2000;
    for (let n = 0; n < 25; n += 1) await store.create(`new${n}`, session(9000));
    expect(await store.deleteExpired(1000)).toBe(0);
  });

  it("lets the event loop run while it deletes many sessions", async () => {
    const { store, time } = storeAt({ maxSessions: 200_000 });
    for (let n = 0; n < 100_000; n += 1) await store.create(`s${n}`, session(2000 + (n % 7)));
    time.now = 9000;
    let iterations = 0;
    const count = (): void => {
      iterations += 1;
      if (iterations < 1e6) next = setImmediate(count);
    };
    let next = setImmediate(count);
    expect(await store.deleteExpired(200_000)).toBe(100_000);
    clearImmediate(next);
    expect(iterations).toBeGreaterThan(0);
  });

  it("lists the sessions of each user while sessions are created and deleted", async () => {
    const { store, time } = storeAt();
    await store.create("a", session(2000, { userId: "ada" }));
    await store.create("b", session(9000, { userId: "ada" }));
    await store.create("c", session(9000, { userId: "ada" }));
    expect((await store.idsOfUser("ada")).toSorted()).toEqual(["a", "b", "c"]);
    time.now = 2000;
    expect((await store.idsOfUser("ada")).toSorted()).toEqual(["b", "c"]);
    await store.update("b", session(9000, { version: 2, userId: "grace" }), 1);
    await store.delete("c");
    await store.deleteExpired(10);
    expect(await store.idsOfUser("ada")).toEqual([]);
    expect(await store.idsOfUser("grace")).toEqual(["b"]);
  });

  it("keeps ids and user ids of any length and any characters, each as its own", async () => {
    const { store } = storeAt();
    const texts = ["a", "ÿ", "€", "\ud800"].flatMap((text) =>
      [1, 511, 512, 513, 2000].map((length) => text.repeat(length)),
    );
    for (const text of texts) await store.create(text, session(2000, { userId: text }));
    for (const text of texts) {
      expect(await store.read(text)).toMatchObject({ userId: text });
      expect(await store.idsOfUser(text)).toEqual([text]);
    }
  });

  it("refuses options it doesn't know or can't use", () => {
    expect(make({ max: 5 })).toThrow(
      /no option "max": it is called maxSessions\. Otherwise use any of maxSessions, whenFull, clock/,
    );
    for (const maxSessions of [0, -1, 1.5, Number.NaN, Infinity, "5"]) {
      expect(make({ maxSessions })).toThrow(TypeError);
    }
    expect(make({ whenFull: "drop" })).toThrow(/"error".*"evict"/);
    expect(make({ clock: 5 })).toThrow(TypeError);
    expect(make(null)).toThrow(TypeError);
  });

  it("rejects values that no store can keep", async () => {
    const { store } = storeAt();
    for (const expiresAt of [Number.NaN, Infinity, -1, 1.5, 9e15]) {
      await expect(store.create("x", session(expiresAt))).rejects.toThrow(TypeError);
      await expect(store.touch("x", expiresAt)).rejects.toThrow(TypeError);
    }
    for (const version of [0, -1, 1.5, Number.NaN]) {
      await expect(store.create("x", session(9000, { version }))).rejects.toThrow(TypeError);
    }
    await expect(store.deleteExpired(0)).rejects.toThrow(TypeError);
  });

  it("lets the event loop run between two calls of deleteExpired", async () => {
    let now = 1000;
    const store = memoryStore({ clock: () => now });
    for (let n = 0; n < 100; n += 1) {
      await store.create(`session-${n}`, { payload: new Uint8Array(), version: 1, expiresAt: 2000 });
    }
    now = 3000;
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    for (let deleted = 0; deleted < 100; deleted += 10) expect(await store.deleteExpired(10)).toBe(10);
    clearImmediate(counting);
    expect(turns).toBeGreaterThanOrEqual(9);
    expect(await store.deleteExpired(10)).toBe(0);
  });
});

describe("expiryHeap", () => {
  it("has the same order as sorting, after any additions, moves and removals", () => {
    const random = seeded(42);
    const heap = expiryHeap();
    const model = new Map<number, number>();
    let highest = 0;
    for (let step = 0; step < 20_000; step += 1) {
      const known = [...model.keys()][Math.floor(random() * model.size)];
      const expiresAt = Math.floor(random() * 500);
      const choice = random();
      if (known === undefined || choice < 0.4) {
        const entry = heap.add(expiresAt);
        expect(model.has(entry)).toBe(false);
        model.set(entry, expiresAt);
        highest = Math.max(highest, entry);
      } else if (choice < 0.7) {
        heap.move(known, expiresAt);
        model.set(known, expiresAt);
      } else {
        heap.remove(known);
        model.delete(known);
      }
      const first = heap.first();
      expect(first === undefined ? Infinity : heap.expiryOf(first)).toBe(Math.min(Infinity, ...model.values()));
      expect(heap.size).toBe(model.size);
      if (model.size > 200) {
        heap.clear();
        model.clear();
      }
    }
    expect(highest).toBeLessThanOrEqual(200);
    const order: number[] = [];
    for (let first = heap.first(); first !== undefined; first = heap.first()) {
      order.push(heap.expiryOf(first));
      heap.remove(first);
    }
    expect(order).toEqual([...model.values()].toSorted((a, b) => a - b));
  });

  it("finds what has expired step by step, however many were extended before", () => {
    const heap = expiryHeap();
    const extended = Array.from({ length: 100 }, (_, n) => heap.add(n));
    const last = heap.add(200);
    for (const entry of extended) heap.move(entry, 300 + entry);
    expect(heap.due(50)).toBeTypeOf("number");
    let steps = 0;
    for (let entry = heap.due(250); entry !== undefined; entry = heap.due(250)) {
      steps += 1;
      if (heap.expiryOf(entry) <= 250) heap.remove(entry);
      else heap.settle(entry);
    }
    expect(steps).toBe(101);
    expect(heap.size).toBe(100);
    expect(heap.expiryOf(last)).toBe(200);
    expect(heap.expiryOf(heap.first()!)).toBe(300);
  });
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
