import { describe, expect, it } from "vitest";
import { memoryStore } from "../stores/memory.ts";
import type { StoredSession } from "../store.ts";
import { faulty, type FaultPlan, storeContract } from "./index.ts";

const session = (version = 1): StoredSession => ({
  payload: new Uint8Array([1]),
  version,
  expiresAt: Date.now() + 60_000,
});

/** Whether a promise is still open once everything that is due has run. */
async function pending(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol("open");
  const turns = new Promise((resolve) => setImmediate(resolve, open));
  return (await Promise.race([promise, turns])) === open;
}

describe("faulty", () => {
  it("is the store itself without a plan", async () => {
    for (const { run } of storeContract((given) => faulty(memoryStore(given)))) {
      await expect(run()).resolves.toBeUndefined();
    }
  });

  it("keeps of a delayed call what it was given at its beginning", async () => {
    const store = faulty(memoryStore(), { create: [{ delay: 1 }], update: [{ delay: 1 }] });
    const payload = new Uint8Array(3).fill(1);
    const created = store.create("a", { ...session(), payload });
    payload.fill(2);
    expect(await created).toBe(true);
    expect([...((await store.read("a"))?.payload ?? [])]).toEqual([1, 1, 1]);
    const updated = store.update("a", { ...session(), payload, version: 2 }, 1);
    payload.fill(3);
    expect(await updated).toBe(true);
    expect([...((await store.read("a"))?.payload ?? [])]).toEqual([2, 2, 2]);
  });

  it("counts calls, whatever becomes of them", async () => {
    const store = faulty(memoryStore(), { read: ["error"] });
    expect(store.calls.total).toBe(0);
    await store.read("a").catch(() => undefined);
    await store.read("a");
    await store.create("a", session());
    await store.idsOfUser?.("ada");
    expect(store.calls).toMatchObject({ read: 2, create: 1, idsOfUser: 1, update: 0, total: 4 });
  });

  it("takes faults in order, and is well after the last", async () => {
    const store = faulty(memoryStore(), { read: ["ok", "error", new Error("mine")] });
    expect(await store.read("a")).toBeUndefined();
    await expect(store.read("a")).rejects.toThrow("planned fault: read failed without effect");
    await expect(store.read("a")).rejects.toThrow("mine");
    expect(await store.read("a")).toBeUndefined();
  });

  it("takes faults from a function of the call's number", async () => {
    const store = faulty(memoryStore(), { touch: (call) => (call === 2 ? "error" : "ok") });
    expect(await store.touch("a", 5)).toBe(false);
    await expect(store.touch("a", 5)).rejects.toThrow("planned fault");
    expect(await store.touch("a", 5)).toBe(false);
  });

  it("fails before the effect, or after it", async () => {
    const store = faulty(memoryStore(), { create: ["error", "error-after"] });
    await expect(store.create("a", session())).rejects.toThrow("without effect");
    expect(await store.read("a")).toBeUndefined();
    await expect(store.create("a", session())).rejects.toThrow("took effect");
    expect(await store.read("a")).toBeDefined();
  });

  it("never answers, without the effect or with it", async () => {
    const store = faulty(memoryStore(), { create: ["hang", "lost-reply"] });
    expect(await pending(store.create("a", session()))).toBe(true);
    expect(await store.read("a")).toBeUndefined();
    expect(await pending(store.create("a", session()))).toBe(true);
    expect(await store.read("a")).toBeDefined();
  });

  it("answers late, and then as it is told", async () => {
    const store = faulty(memoryStore(), { read: [{ delay: 100 }, { delay: 1, fault: "error" }] });
    const late = store.read("a");
    expect(await pending(late)).toBe(true);
    // A timer of its own, because the store's keeps nothing alive.
    const alive = setInterval(() => {}, 1);
    expect(await late).toBeUndefined();
    await expect(store.read("a")).rejects.toThrow("planned fault");
    clearInterval(alive);
  });

  it("interferes with lists", async () => {
    const store = faulty(memoryStore(), { all: ["error", "error-after"] });
    await store.create("a", session());
    const seen: string[] = [];
    const list = async () => {
      for await (const id of store.all?.() ?? []) seen.push(id);
    };
    await expect(list()).rejects.toThrow("without effect");
    expect(seen).toEqual([]);
    await expect(list()).rejects.toThrow("took effect");
    expect(seen).toEqual(["a"]);
    await list();
    expect(store.calls.all).toBe(3);
  });

  it("has the capabilities of the store it wraps, and no others", () => {
    const { read, create, update, touch, delete: end } = memoryStore();
    const plain = faulty({ read, create, update, touch, delete: end });
    for (const name of ["idsOfUser", "all", "deleteExpired", "subscribe", "close", "inProcess"])
      expect(name in plain).toBe(false);
    const full = faulty(memoryStore());
    for (const name of ["idsOfUser", "all", "deleteExpired", "subscribe", "close"]) expect(name in full).toBe(true);
    expect(full.inProcess).toBe(true);
  });

  it("refuses a plan for what is no operation", () => {
    expect(() => faulty(memoryStore(), { reed: ["error"] } as FaultPlan)).toThrow(/can't plan "reed": use any of read/);
  });

  it.each<[string, unknown]>([
    ["an unknown word", ["ok", "fail"]],
    ["an unknown word after a delay", [{ delay: 1, fault: "fail" }]],
    ["an object without a delay", [{ fault: "error" }]],
    ["undefined", [undefined]],
    ["a fault that is in no list", "error"],
  ])("refuses a plan with %s, which would silently be no fault", (_, read) => {
    const plan = () => faulty(memoryStore(), { read } as FaultPlan);
    expect(plan).toThrow(TypeError);
    expect(plan).toThrow(
      /^faulty: read (has no fault .*use any of ok, error, error-after, hang, lost-reply|takes a list)/,
    );
  });

  it("fails a call for which the plan's function gives no fault", async () => {
    const store = faulty(memoryStore(), { read: () => "fail" as never });
    await expect((async () => store.read("a"))()).rejects.toThrow('faulty: read has no fault "fail": use any of ok');
  });
});
