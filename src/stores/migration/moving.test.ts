import { describe, expect, it } from "vitest";
import type { SessionStore, StoredSession } from "../../store.ts";
import { faulty } from "../../testing/faulty.ts";
import { storeContract } from "../../testing/index.ts";
import { Browser, gated, KEYS, site, START } from "../../../test/support/stores.ts";
import { instanceOf } from "../../../test/support/instances.ts";
import { runMove } from "../../../test/support/moving-model.ts";
import { createSessions } from "../../sessions.ts";
import { copySessions } from "./copy.ts";
import { memoryStore } from "../memory.ts";
import { CONTROL_ID, formOf } from "./forms.ts";
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
const textOf = (stored: StoredSession | undefined): string => new TextDecoder().decode(stored?.payload);

function five({ read, create, update, touch, delete: end, inProcess }: SessionStore): SessionStore {
  return { read, create, update, touch, delete: end, inProcess: inProcess === true };
}

/** Two processes that move the same sessions. */
function twoMovers(from: SessionStore, to: SessionStore): [SessionStore, SessionStore] {
  const one = () => movingStore({ from: instanceOf(from), to: instanceOf(to) });
  return [one(), one()];
}

describe("movingStore, before a copy", () => {
  const cases = storeContract((given) => twoMovers(memoryStore(given), memoryStore(given)));
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it("keeps everything in the old store, where others may still use that alone", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await store.create("a", session("1", { userId: "ada" }));
    expect(textOf(await from.read("a"))).toBe("1");
    await store.update("a", session("2", { version: 2 }), 1);
    await from.update("a", session("3", { version: 3 }), 2);
    expect(textOf(await store.read("a"))).toBe("3");
    expect(await from.delete("a")).toBe(true);
    expect(await store.read("a")).toBeUndefined();
    expect(await idsIn(to)).toEqual([]);
  });

  it("does without the new store", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await to.close();
    await store.create("a", session("1", { userId: "ada" }));
    expect(await store.update("a", session("2", { version: 2 }), 7)).toBe(false);
    expect(await store.touch("a", START + 2 * HOUR)).toBe(true);
    expect(await store.read("b")).toBeUndefined();
    expect(await store.touch("b", START + 2 * HOUR)).toBe(false);
    expect(await store.idsOfUser!("ada")).toEqual(["a"]);
    expect(await idsIn(store)).toEqual(["a"]);
    expect([await store.delete("a"), await store.delete("b")]).toEqual([true, false]);
  });

  it("costs a call more where a session begins, is extended or ends, and none where it is read or updated", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    const cost = costs(from, to);
    expect(await cost(() => store.create("a", session()))).toBe("2 + 0");
    expect(await cost(() => store.read("a"))).toBe("1 + 0");
    expect(await cost(() => store.update("a", session("", { version: 2 }), 1))).toBe("1 + 0");
    expect(await cost(() => store.touch("a", START + 2 * HOUR))).toBe("2 + 0");
    expect(await cost(() => store.delete("a"))).toBe("3 + 0");
  });
});

describe("movingStore, once a copy has begun", () => {
  const cases = storeContract(async (given) => {
    const [from, to] = [memoryStore(given), memoryStore(given)];
    await copySessions(from, to, given);
    const stores = twoMovers(from, to);
    for (const store of stores) await store.touch("anything", given.clock());
    return stores;
  });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  const unawares = storeContract(async (given) => {
    const [from, to] = [memoryStore(given), memoryStore(given)];
    await copySessions(from, to, given);
    // A handover is told as a change.
    return twoMovers(from, to).map((store) => Object.assign(store, { announcesChanges: false })) as [
      SessionStore,
      SessionStore,
    ];
  });
  it.each(unawares)("$name, though this process is still to find that out", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it("costs one call for reading and updating what has moved", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    await store.create("a", session());
    await copySessions(from, to);
    await store.read("a");
    const cost = costs(from, to);
    expect(await cost(() => store.read("a"))).toBe("0 + 1");
    expect(await cost(() => store.update("a", session("", { version: 2 }), 1))).toBe("0 + 1");
    expect(await cost(() => store.touch("a", START + 2 * HOUR))).toBe("1 + 2");
    expect(await cost(() => store.delete("a"))).toBe("1 + 2");
    expect(await cost(() => store.create("b", session()))).toBe("1 + 2");
  });

  it("costs what moving costs, once, for writing to what has not moved", async () => {
    const [from, to] = [faulty(memory()), faulty(memory())];
    const store = movingStore({ from, to });
    for (const id of ["a", "b", "c"]) await store.create(id, session());
    await copySessions({ ...from, all: async function* () {} }, to);
    await store.touch("anything", START + HOUR);
    const cost = costs(from, to);
    expect(await cost(() => store.read("a"))).toBe("1 + 1");
    expect(await cost(() => store.update("a", session("", { version: 2 }), 1))).toBe("2 + 4");
    expect(await cost(() => store.touch("b", START + 2 * HOUR))).toBe("2 + 3");
    expect(await cost(() => store.delete("c"))).toBe("2 + 3");
  });

  it("begins sessions in the new store, and moves what it writes to", async () => {
    const [from, to] = [memory(), memory()];
    const store = movingStore({ from, to });
    await store.create("old", session("1"));
    await copySessions({ ...from, all: async function* () {} }, to);
    await store.create("new", session("2"));
    await store.touch("old", START + 2 * HOUR);
    expect(textOf(await to.read("new"))).toBe("2");
    expect(await to.read("old")).toMatchObject({ version: 1, expiresAt: START + 2 * HOUR });
    expect(formOf(await from.read("old"))).toBe("marker");
    expect(await idsIn(store)).toEqual(["new", "old"]);
  });

  it("finds a user's sessions wherever they are, and whoever they belong to by now", async () => {
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

  it("says that one id stands for two sessions, rather than choose", async () => {
    const [from, to] = [memory(), memory()];
    await from.create("a", session("one"));
    await to.create("a", session("other"));
    await expect(copySessions(from, to)).rejects.toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ message: expect.stringMatching(/both stores/) })] }),
    );
    expect(textOf(await from.read("a"))).toBe("one");
    expect(textOf(await to.read("a"))).toBe("other");
  });
});

describe("movingStore, in every order of events", () => {
  it("behaves as one store, and keeps every session, although copiers and applications are killed", async () => {
    let kills = 0;
    for (let seed = 1; seed <= 500; seed += 1) {
      const run = await runMove(seed);
      expect(run.violations, `seed ${seed}\n${run.log.join("\n")}`).toEqual([]);
      kills += run.kills;
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
      "extends without looking whether it was overtaken",
      ({ from, to }) => {
        const store = movingStore({ from, to });
        return { ...store, touch: async (id, end) => (await from.touch(id, end)) || store.touch(id, end) };
      },
    ],
  ])("would show of a store that %s", async (_, makeMoving) => {
    let caught = 0;
    for (let seed = 1; seed <= 60; seed += 1) caught += (await runMove(seed, makeMoving)).violations.length;
    expect(caught).toBeGreaterThan(0);
  });
});

describe("movingStore", () => {
  it("keeps tokens valid over a move, and back again", async () => {
    const [old, next] = [sealing(), sealing()];
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
    expect((await idsIn(old)).length).toBe(20);
  });

  it("fails loudly in a process that uses the old store alone when it should not any more", async () => {
    const [from, to] = [sealing(), sealing()];
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

  it("keeps the later end of a session that was extended after a copier had died over it", async () => {
    const [from, to] = [memory(), memory()];
    await from.create("a", session());
    const stuck = gated(from);
    const held = stuck.hold("update");
    void copySessions(stuck, to);
    await held.arrived;
    await from.touch("a", START + 2 * HOUR);
    await copySessions(from, to);
    expect(await to.read("a")).toMatchObject({ version: 1, expiresAt: START + 2 * HOUR });
  });

  it("lets a session outlive its marker", async () => {
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
    expect(textOf(await movingStore({ from, to }).read("a"))).toBe("kept");
    expect(await store.idsOfUser!("ada")).toEqual(["a"]);
    expect(await idsIn(store)).toEqual(["a"]);
    expect(await store.deleteExpired!(10)).toBe(1);
    expect(await store.delete("a")).toBe(true);
  });

  it("leaves no subscription behind where the other store refuses one", () => {
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

  it("tells of the ends in both stores, and listens once both do", async () => {
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
    const heard: unknown[] = [];
    const end = store.subscribe!({ ended: (id) => heard.push(id), listening: (is) => heard.push(is) });
    expect(heard).toEqual([false]);
    listeners[0]!(true);
    listeners[0]!(false);
    expect(heard.splice(0)).toEqual([false, true, false]);
    for (const id of ["old", "new"]) await store.create(id, session());
    await store.delete("old");
    await copySessions(from, to);
    await store.touch("new", START + 2 * HOUR);
    await store.delete("new");
    expect(heard).toEqual(["old", "new"]);
    end();
    end();
  });

  it("can do what both stores can, and forgets what has expired in either", async () => {
    const both = movingStore({ from: memory(), to: memory() });
    expect(Object.keys(both)).toEqual(
      expect.arrayContaining(["idsOfUser", "all", "subscribe", "deleteExpired", "close"]),
    );
    const { deleteExpired } = memory();
    const one = movingStore({ from: { ...five(memory()), deleteExpired }, to: memory() });
    expect(Object.keys(one)).not.toEqual(expect.arrayContaining(["idsOfUser"]));
    expect([one.idsOfUser, one.all, one.subscribe]).toEqual([undefined, undefined, undefined]);
    expect(await one.deleteExpired!(5)).toBe(0);
    expect(movingStore({ from: five(memory()), to: five(memory()) }).deleteExpired).toBeUndefined();
    expect(both.announcesChanges).toBe(true);
    expect(movingStore({ from: five(memory()), to: five(memory()) }).announcesChanges).toBeUndefined();
    expect(both.inProcess).toBe(true);
  });

  it("reads past a near cache", async () => {
    const [from, to] = [memory(), memory()];
    const stale: SessionStore = { ...from, read: async () => session("stale"), readLatest: (id) => from.read(id) };
    await from.create("a", session("latest"));
    const store = movingStore({ from: stale, to });
    expect(textOf(await store.read("a"))).toBe("latest");
    await copySessions(stale, to);
    expect(textOf(await to.read("a"))).toBe("latest");
  });

  it("refuses stores between which nothing can be moved", () => {
    const [from, to] = [memory(), memory()];
    expect(() => movingStore({ from, to: from })).toThrow(/the same store/);
    expect(() => movingStore({ from, to: sealing() })).toThrow(/unencrypted/);
    expect(() => movingStore({ from } as never)).toThrow(/to must be a store/);
    expect(() => movingStore({ from, to, direction: "back" } as never)).toThrow(/no option "direction"/);
    expect(CONTROL_ID).not.toMatch(/^[\w-]*$/);
  });
});

/** A store whose records are sealed, as outside of this process. */
function sealing(): SessionStore {
  return { ...memory(), inProcess: false };
}

async function idsIn(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all!()) ids.push(id);
  return ids.toSorted();
}

/** Counts the calls of each store that something takes. */
function costs(from: { calls: { total: number } }, to: { calls: { total: number } }) {
  return async (act: () => Promise<unknown>): Promise<string> => {
    const before = [from.calls.total, to.calls.total] as const;
    await act();
    return `${from.calls.total - before[0]} + ${to.calls.total - before[1]}`;
  };
}
