import { describe, expect, it } from "vitest";
import type { SessionStore, StoredSession } from "../../store.ts";
import { faulty } from "../../testing/faulty.ts";
import { storeContract } from "../../testing/index.ts";
import { Browser, gated, KEYS, site, START } from "../../../test/support/stores.ts";
import { instanceOf } from "../../../test/support/instances.ts";
import { simulateMove } from "../../../test/support/moving-model.ts";
import { createSessions } from "../../sessions.ts";
import { copySessions } from "./copy.ts";
import { memoryStore } from "../memory.ts";
import { CONTROL_ID, recordKindOf } from "./migration-records.ts";
import { movingStore } from "./moving.ts";

const HOUR = 3_600_000;
const clock = () => START;
const memory = () => memoryStore({ clock });

const session = (text = "data", more: Partial<StoredSession> = {}): StoredSession => ({
  payload: new TextEncoder().encode(text),
  version: 1,
  expiresAt: START + HOUR,
  ...more,
});
const payloadText = (stored: StoredSession | undefined): string => new TextDecoder().decode(stored?.payload);

function withoutCapabilities({ read, create, update, touch, delete: end, inProcess }: SessionStore): SessionStore {
  return { read, create, update, touch, delete: end, inProcess: inProcess === true };
}

/** Two processes that use the same two stores. */
function twoMovingStores(from: SessionStore, to: SessionStore): [SessionStore, SessionStore] {
  const one = () => movingStore({ from: instanceOf(from), to: instanceOf(to) });
  return [one(), one()];
}

describe("movingStore, before a copy", () => {
  const cases = storeContract((given) => twoMovingStores(memoryStore(given), memoryStore(given)));
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it("writes only to the old store, which other processes may still use alone", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await store.create("a", session("1", { userId: "ada" }));
    expect(payloadText(await from.read("a"))).toBe("1");
    await store.update("a", session("2", { version: 2 }), 1);
    await from.update("a", session("3", { version: 3 }), 2);
    expect(payloadText(await store.read("a"))).toBe("3");
    expect(await from.delete("a")).toBe(true);
    expect(await store.read("a")).toBeUndefined();
    expect(await listIds(to)).toEqual([]);
  });

  it("does not need the new store", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await to.close();
    await store.create("a", session("1", { userId: "ada" }));
    expect(await store.update("a", session("2", { version: 2 }), 7)).toBe(false);
    expect(await store.touch("a", START + 2 * HOUR)).toBe(true);
    expect(await store.read("b")).toBeUndefined();
    expect(await store.touch("b", START + 2 * HOUR)).toBe(false);
    expect(await store.idsOfUser!("ada")).toEqual(["a"]);
    expect(await listIds(store)).toEqual(["a"]);
    expect([await store.delete("a"), await store.delete("b")]).toEqual([true, false]);
  });

  it("makes an additional call for a create, a touch and a delete, and none for a read or an update", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    const countCalls = createCallCounter(from, to);
    expect(await countCalls(() => store.create("a", session()))).toBe("2 + 0");
    expect(await countCalls(() => store.read("a"))).toBe("1 + 0");
    expect(await countCalls(() => store.update("a", session("", { version: 2 }), 1))).toBe("1 + 0");
    expect(await countCalls(() => store.touch("a", START + 2 * HOUR))).toBe("2 + 0");
    expect(await countCalls(() => store.delete("a"))).toBe("3 + 0");
  });
});

describe("movingStore, once a copy has begun", () => {
  const cases = storeContract(async (given) => {
    const [from, to] = [memoryStore(given), memoryStore(given)];
    await copySessions(from, to, given);
    const stores = twoMovingStores(from, to);
    for (const store of stores) await store.touch("anything", given.clock());
    return stores;
  });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  const unawareCases = storeContract(async (given) => {
    const [from, to] = [memoryStore(given), memoryStore(given)];
    await copySessions(from, to, given);
    // The move of a session is notified as a change.
    return twoMovingStores(from, to).map((store) => Object.assign(store, { announcesChanges: false })) as [
      SessionStore,
      SessionStore,
    ];
  });
  it.each(unawareCases)("$name, in a process that does not know yet that a copy has begun", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it("reads and updates a moved session in one call", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    await store.create("a", session());
    await copySessions(from, to);
    await store.read("a");
    const countCalls = createCallCounter(from, to);
    expect(await countCalls(() => store.read("a"))).toBe("0 + 1");
    expect(await countCalls(() => store.update("a", session("", { version: 2 }), 1))).toBe("0 + 1");
    expect(await countCalls(() => store.touch("a", START + 2 * HOUR))).toBe("1 + 2");
    expect(await countCalls(() => store.delete("a"))).toBe("1 + 2");
    expect(await countCalls(() => store.create("b", session()))).toBe("1 + 2");
  });

  it("makes the calls of a move when it first writes to a session that has not been moved", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    for (const id of ["a", "b", "c"]) await store.create(id, session());
    await copySessions({ ...from, all: async function* () {} }, to);
    await store.touch("anything", START + HOUR);
    const countCalls = createCallCounter(from, to);
    expect(await countCalls(() => store.read("a"))).toBe("1 + 1");
    expect(await countCalls(() => store.update("a", session("", { version: 2 }), 1))).toBe("2 + 4");
    expect(await countCalls(() => store.touch("b", START + 2 * HOUR))).toBe("2 + 3");
    expect(await countCalls(() => store.delete("c"))).toBe("2 + 3");
  });

  it("creates sessions in the new store, and moves the sessions that it writes to", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await store.create("old", session("1"));
    await copySessions({ ...from, all: async function* () {} }, to);
    await store.create("new", session("2"));
    await store.touch("old", START + 2 * HOUR);
    expect(payloadText(await to.read("new"))).toBe("2");
    expect(await to.read("old")).toMatchObject({ version: 1, expiresAt: START + 2 * HOUR });
    expect(recordKindOf(await from.read("old"))).toBe("marker");
    expect(await listIds(store)).toEqual(["new", "old"]);
  });

  it("lists a user's sessions in both stores, by their current user", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    for (const id of ["moved", "left", "given"]) await store.create(id, session("", { userId: "ada" }));
    await copySessions({ ...from, all: async function* () {} }, to);
    await store.create("new", session("", { userId: "ada" }));
    await store.touch("moved", START + 2 * HOUR);
    await store.update("given", session("", { version: 2, userId: "grace" }), 1);
    expect((await store.idsOfUser!("ada")).toSorted()).toEqual(["left", "moved", "new"]);
    expect(await store.idsOfUser!("grace")).toEqual(["given"]);
  });

  it("reports two sessions with the same id, and changes neither", async () => {
    const [from, to] = [memory(), memory()];
    await from.create("a", session("one"));
    await to.create("a", session("other"));
    await expect(copySessions(from, to)).rejects.toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ message: expect.stringMatching(/both stores/) })] }),
    );
    expect(payloadText(await from.read("a"))).toBe("one");
    expect(payloadText(await to.read("a"))).toBe("other");
  });
});

describe("movingStore, in every order of events", () => {
  it("behaves as one store and keeps every session while copies and applications are killed", async () => {
    let kills = 0;
    for (let seed = 1; seed <= 500; seed += 1) {
      const simulation = await simulateMove(seed);
      expect(simulation.violations, `seed ${seed}\n${simulation.log.join("\n")}`).toEqual([]);
      kills += simulation.kills;
    }
    expect(kills).toBeGreaterThan(500);
  }, 180_000);

  it.each<[string, (given: { from: SessionStore; to: SessionStore }) => SessionStore]>([
    [
      "writes to both and reads the new one first",
      ({ from, to }) => ({
        ...movingStore({ from, to }),
        read: async (id) => (await to.read(id)) ?? from.read(id),
        update: async (id, stored, version) => {
          const updated = await from.update(id, stored, version);
          return (await to.update(id, stored, version)) || updated;
        },
        delete: async (id) => (await from.delete(id)) || to.delete(id),
      }),
    ],
    [
      "copies what it reads",
      ({ from, to }) => ({
        ...movingStore({ from, to }),
        async read(id) {
          const moved = await to.read(id);
          if (moved !== undefined) return moved;
          const found = await from.read(id);
          if (found !== undefined && (await to.create(id, found))) await from.delete(id);
          return found;
        },
      }),
    ],
    [
      "touches the old store without a check for a copy",
      ({ from, to }) => {
        const store = movingStore({ from, to });
        return { ...store, touch: async (id, end) => (await from.touch(id, end)) || store.touch(id, end) };
      },
    ],
  ])("finds the mistake of a store that %s", async (_, makeMoving) => {
    let caught = 0;
    for (let seed = 1; seed <= 60; seed += 1) caught += (await simulateMove(seed, makeMoving)).violations.length;
    expect(caught).toBeGreaterThan(0);
  });
});

describe("movingStore", () => {
  it("keeps tokens valid when sessions are moved, and moved back", async () => {
    const [old, next] = [encryptedStore(), encryptedStore()];
    const before = site<{ n: number }>({ store: old, clock });
    const browsers = Array.from({ length: 20 }, () => before.browser());
    for (const [n, browser] of browsers.entries()) await browser.visit((s) => (s.signIn(`user ${n}`), (s.data.n = n)));
    for (const [from, to] of [
      [old, next],
      [next, old],
    ] as const) {
      const during = createSessions<{ n: number }>({ secretKey: KEYS[0], clock, store: movingStore({ from, to }) });
      await browsers[0]!.copy(during).visit((s) => s.update("n", (n = 0) => n + 100));
      await copySessions(from, to);
      await browsers[1]!.copy(during).visit((s) => s.update("n", (n = 0) => n + 100));
      const after = createSessions<{ n: number }>({ secretKey: KEYS[0], clock, store: to });
      for (const [n, browser] of browsers.entries()) {
        expect(await browser.copy(after).userId()).toBe(`user ${n}`);
        expect((await browser.copy(after).data()).n! % 100).toBe(n);
      }
    }
    expect((await browsers[0]!.copy(before.sessions).data()).n).toBe(200);
    expect((await listIds(old)).length).toBe(20);
  });

  it("rejects with ERR_SESSION_DECODE in a process that uses the old store alone after the copy", async () => {
    const [from, to] = [encryptedStore(), encryptedStore()];
    const { sessions, browser } = site({ store: from, clock });
    const [ada, grace] = [browser(), browser()];
    for (const one of [ada, grace]) await one.visit((s) => s.signIn("somebody"));
    const { session: late, end } = await grace.begin();
    await copySessions(from, to);
    await expect(ada.visit()).rejects.toMatchObject({ code: "ERR_SESSION_DECODE", status: 500 });
    late.data["late"] = true;
    await expect(end()).rejects.toMatchObject({ code: "ERR_SESSION_DECODE" });
    const moved = createSessions({ secretKey: KEYS[0], clock, store: to });
    expect(await new Browser(moved).userId()).toBeUndefined();
    expect(await ada.copy(moved).userId()).toBe("somebody");
    expect(sessions).not.toBe(moved);
  });

  it("keeps the later expiry of a session that was touched after a copy of it was interrupted", async () => {
    const [from, to] = [memory(), memory()];
    await from.create("a", session());
    const interrupted = gated(from);
    const stopped = interrupted.hold("update");
    void copySessions(interrupted, to);
    await stopped.arrived;
    await from.touch("a", START + 2 * HOUR);
    await copySessions(from, to);
    expect(await to.read("a")).toMatchObject({ version: 1, expiresAt: START + 2 * HOUR });
  });

  it("keeps a session whose marker has expired", async () => {
    const time = { now: START };
    const now = () => time.now;
    const [from, to] = [memoryStore({ clock: now }), memoryStore({ clock: now })];
    const store = movingStore({ from, to });
    await store.create("a", session("kept", { userId: "ada" }));
    await copySessions(from, to);
    await store.read("a");
    await store.touch("a", START + 3 * HOUR);
    time.now += 2 * HOUR;
    expect(await from.read("a")).toBeUndefined();
    expect(payloadText(await movingStore({ from, to }).read("a"))).toBe("kept");
    expect(await store.idsOfUser!("ada")).toEqual(["a"]);
    expect(await listIds(store)).toEqual(["a"]);
    expect(await store.deleteExpired!(10)).toBe(1);
    expect(await store.delete("a")).toBe(true);
  });

  it("ends its subscription to one store if the other store refuses one", () => {
    const [from, to] = [memory(), memory()];
    const live = new Set<object>();
    const counted: SessionStore = {
      ...from,
      subscribe(listener) {
        live.add(listener);
        return () => void live.delete(listener);
      },
    };
    const refuses: SessionStore = {
      ...to,
      subscribe() {
        throw new TypeError("the pool has no connection left");
      },
    };
    const store = movingStore({ from: counted, to: refuses });
    expect(() => store.subscribe!({})).toThrow("no connection left");
    expect(live.size).toBe(0);
  });

  it("notifies of ended sessions in both stores, and is listening only while both are", async () => {
    const [from, to] = [memory(), memory()];
    const listeners: ((isListening: boolean) => void)[] = [];
    const slow: SessionStore = {
      ...to,
      subscribe(listener) {
        listeners.push((is) => listener.listening?.(is));
        return to.subscribe({ ...(listener.ended && { ended: listener.ended.bind(listener) }) });
      },
    };
    const store = movingStore({ from, to: slow });
    const notified: unknown[] = [];
    const unsubscribe = store.subscribe!({ ended: (id) => notified.push(id), listening: (is) => notified.push(is) });
    expect(notified).toEqual([false]);
    listeners[0]!(true);
    listeners[0]!(false);
    expect(notified.splice(0)).toEqual([false, true, false]);
    for (const id of ["old", "new"]) await store.create(id, session());
    await store.delete("old");
    await copySessions(from, to);
    await store.touch("new", START + 2 * HOUR);
    await store.delete("new");
    expect(notified).toEqual(["old", "new"]);
    unsubscribe();
    unsubscribe();
  });

  it("has the capabilities that both stores have, and deletes expired sessions in both", async () => {
    const both = movingStore({ from: memory(), to: memory() });
    expect(Object.keys(both)).toEqual(
      expect.arrayContaining(["idsOfUser", "all", "subscribe", "deleteExpired", "close"]),
    );
    const { deleteExpired } = memory();
    const one = movingStore({ from: { ...withoutCapabilities(memory()), deleteExpired }, to: memory() });
    expect(Object.keys(one)).not.toEqual(expect.arrayContaining(["idsOfUser"]));
    expect([one.idsOfUser, one.all, one.subscribe]).toEqual([undefined, undefined, undefined]);
    expect(await one.deleteExpired!(5)).toBe(0);
    expect(
      movingStore({ from: withoutCapabilities(memory()), to: withoutCapabilities(memory()) }).deleteExpired,
    ).toBeUndefined();
    expect(both.announcesChanges).toBe(true);
    expect(
      movingStore({ from: withoutCapabilities(memory()), to: withoutCapabilities(memory()) }).announcesChanges,
    ).toBeUndefined();
    expect(both.inProcess).toBe(true);
  });

  it("reads past a near cache", async () => {
    const [from, to] = [memory(), memory()];
    const stale: SessionStore = { ...from, read: async () => session("stale"), readLatest: (id) => from.read(id) };
    await from.create("a", session("latest"));
    const store = movingStore({ from: stale, to });
    expect(payloadText(await store.read("a"))).toBe("latest");
    await copySessions(stale, to);
    expect(payloadText(await to.read("a"))).toBe("latest");
  });

  it("refuses stores between which sessions can't be moved", () => {
    const [from, to] = [memory(), memory()];
    expect(() => movingStore({ from, to: from })).toThrow(/the same store/);
    expect(() => movingStore({ from, to: encryptedStore() })).toThrow(/unencrypted/);
    expect(() => movingStore({ from } as never)).toThrow(/to must be a store/);
    expect(() => movingStore({ from, to, direction: "back" } as never)).toThrow(/no option "direction"/);
    expect(CONTROL_ID).not.toMatch(/^[\w-]*$/);
  });
});

/** A store whose records are encrypted, as those of a store outside of this process are. */
function encryptedStore(): SessionStore {
  return { ...memory(), inProcess: false };
}

async function listIds(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all!()) ids.push(id);
  return ids.toSorted();
}

/** Returns a function that counts the calls of each store during an operation. */
function createCallCounter(from: { calls: { total: number } }, to: { calls: { total: number } }) {
  return async (act: () => Promise<unknown>): Promise<string> => {
    const before = [from.calls.total, to.calls.total] as const;
    await act();
    return `${from.calls.total - before[0]} + ${to.calls.total - before[1]}`;
  };
}
