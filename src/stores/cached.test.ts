import { describe, expect, it } from "vitest";
import { createSessions } from "../sessions.ts";
import type { SessionStore, StoreListener, StoredSession } from "../store.ts";
import { storeContract } from "../testing/index.ts";
import { faulty } from "../testing/faulty.ts";
import { instanceOf } from "../../test/support/instances.ts";
import { seededRandom } from "../../test/support/random.ts";
import { Browser, gated, KEYS, START } from "../../test/support/stores.ts";
import { cached, type CachedOptions } from "./cached.ts";
import { memoryStore } from "./memory.ts";

const ALL = ["readLatest", "idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

/** A store that processes share. The test delivers each process's notifications, or loses them. */
function engine(clock: () => number) {
  const memory = memoryStore({ clock });
  return {
    memory,
    process(options: CachedOptions = {}) {
      const notifications: (() => void)[] = [];
      const state: { listener: StoreListener | undefined; subscriptions: number } = {
        listener: undefined,
        subscriptions: 0,
      };
      const wired: SessionStore = {
        ...memory,
        subscribe(listener) {
          state.listener = listener;
          state.subscriptions += 1;
          const end = memory.subscribe({
            ended: (id) => notifications.push(() => listener.ended?.(id)),
            changed: (id) => notifications.push(() => listener.changed?.(id)),
          });
          listener.listening?.(true);
          return () => {
            end();
            state.subscriptions -= 1;
          };
        },
      };
      const gate = gated(wired);
      const counted = faulty(gate);
      const store = cached(counted, { clock, ...options });
      return {
        store,
        gate,
        state,
        reads: () => counted.calls.read,
        deliver(): void {
          for (const notify of notifications.splice(0)) notify();
        },
        lose: () => void notifications.splice(0),
      };
    },
  };
}

const TIME = () => START;
const session = (version: number, extra: Partial<StoredSession> = {}): StoredSession => ({
  payload: new TextEncoder().encode(`version ${version}`),
  version,
  expiresAt: START + 60_000,
  ...extra,
});

describe("cached and the store contract, over two caches of one store", () => {
  const cases = storeContract(
    ({ clock }) => {
      const memory = memoryStore({ clock });
      return [cached(instanceOf(memory), { clock }), cached(instanceOf(memory), { clock })];
    },
    { capabilities: ALL },
  );
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe("cached and the store contract, over one cache", () => {
  const cases = storeContract(({ clock }) => cached(memoryStore({ clock }), { clock }), { capabilities: ALL });
  it.each(cases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe("cached", () => {
  it("reads a session once from the store, and then from memory until it is notified of a change", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    for (let reads = 0; reads < 5; reads++) expect((await one.store.read("a"))?.version).toBe(1);
    expect(one.reads()).toBe(1);
    await memory.update("a", session(2), 1);
    one.deliver();
    expect((await one.store.read("a"))?.version).toBe(2);
    await memory.delete("a");
    one.deliver();
    expect(await one.store.read("a")).toBeUndefined();
    expect(one.reads()).toBe(3);
  });

  it("returns a copy of the payload to each reader", async () => {
    const { memory, process } = engine(TIME);
    const { store } = process();
    await memory.create("a", session(1));
    for (let reads = 0; reads < 3; reads++) {
      const found = await store.read("a");
      expect(new TextDecoder().decode(found!.payload)).toBe("version 1");
      found!.payload.fill(0);
    }
  });

  it("reads its own write at once, even if the write was rejected", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("a");
    expect(await one.store.update("a", session(2), 1)).toBe(true);
    expect((await one.store.read("a"))?.version).toBe(2);
    await one.store.touch("a", START + 90_000);
    expect((await one.store.read("a"))?.expiresAt).toBe(START + 90_000);

    const failing = cached(faulty(memory, { update: ["error-after"] }), { clock: TIME });
    await failing.read("a");
    await expect(failing.update("a", session(3), 2)).rejects.toThrow(/took effect/);
    expect((await failing.read("a"))?.version).toBe(3);
  });

  it("reads from the store after a refused write", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("a");
    await memory.update("a", session(2), 1);
    expect(await one.store.update("a", session(2), 1)).toBe(false);
    expect((await one.store.read("a"))?.version).toBe(2);
  });

  it("removes a session that readLatest no longer finds, even without a notification", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("a");
    await memory.delete("a");
    one.lose();
    expect(await one.store.readLatest("a")).toBeUndefined();
    expect(await one.store.read("a")).toBeUndefined();
  });

  it("does not cache a session that changes while it is read", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("other");
    const held = one.gate.hold("read", "after");
    const slow = one.store.read("a");
    await held.arrived;
    await memory.update("a", session(2), 1);
    one.deliver();
    held.letGo();
    expect((await slow)?.version).toBe(1);
    expect((await one.store.read("a"))?.version).toBe(2);
  });

  it("is off while the subscription is lost, and is empty when it is back", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("a");
    one.state.listener?.listening?.(false);
    await memory.update("a", session(2), 1);
    one.lose();
    for (let reads = 0; reads < 3; reads++) expect((await one.store.read("a"))?.version).toBe(2);
    expect(one.reads()).toBe(4);
    one.state.listener?.listening?.(true);
    await one.store.read("a");
    await one.store.read("a");
    expect(one.reads()).toBe(5);
  });

  it("does not cache a session whose read began before the subscription was lost", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    await one.store.read("other");
    const held = one.gate.hold("read", "after");
    const slow = one.store.read("a");
    await held.arrived;
    one.state.listener?.listening?.(false);
    await memory.update("a", session(2), 1);
    one.lose();
    one.state.listener?.listening?.(true);
    held.letGo();
    await slow;
    expect((await one.store.read("a"))?.version).toBe(2);
  });

  it("does not use an entry after maxAge, after its expiry, or after the clock is set back", async () => {
    const time = { now: START };
    const { memory, process } = engine(() => time.now);
    const one = process({ maxAge: "2s" });
    await memory.create("a", session(1, { expiresAt: START + 3000 }));
    await one.store.read("a");
    await memory.update("a", session(2, { expiresAt: START + 3000 }), 1);
    one.lose();
    time.now += 1999;
    expect((await one.store.read("a"))?.version).toBe(1);
    time.now += 1;
    expect((await one.store.read("a"))?.version).toBe(2);
    time.now = START + 3000;
    expect(await one.store.read("a")).toBeUndefined();
    expect(one.reads()).toBe(3);
    await memory.create("b", session(1));
    time.now += 1000;
    await one.store.read("b");
    time.now -= 1;
    await one.store.read("b");
    expect(one.reads()).toBe(5);
  });

  it("does not use an entry after maxAge of elapsed time, even if the clock is set", async () => {
    const time = { now: START, elapsed: 0 };
    const { memory, process } = engine(() => time.now);
    const one = process({ maxAge: "2s", elapsed: () => time.elapsed });
    await memory.create("a", session(1));
    await one.store.read("a");
    await memory.update("a", session(2), 1);
    one.lose();
    // The clock was set back, and shows the same time again.
    time.elapsed += 1999;
    expect((await one.store.read("a"))?.version).toBe(1);
    time.elapsed += 1;
    expect((await one.store.read("a"))?.version).toBe(2);
  });

  it("holds at most maxBytes, and removes the least recently read session first", async () => {
    const { memory, process } = engine(TIME);
    const one = process({ maxBytes: 2 * (512 + 9) });
    for (const id of ["a", "b", "c"]) await memory.create(id, session(1));
    for (const id of ["a", "b", "a", "c"]) await one.store.read(id);
    expect(one.reads()).toBe(3);
    await one.store.read("a");
    await one.store.read("c");
    expect(one.reads()).toBe(3);
    await one.store.read("b");
    expect(one.reads()).toBe(4);
    await memory.create("large", session(1, { payload: new Uint8Array(5000) }));
    await one.store.read("large");
    await one.store.read("large");
    expect(one.reads()).toBe(6);
    await one.store.read("c");
    await one.store.read("b");
    expect(one.reads()).toBe(6);
  });

  it("counts its bytes correctly after any additions and removals", async () => {
    const time = { now: START };
    const { memory, process } = engine(() => time.now);
    const one = process({ maxBytes: 2 * (512 + 9) });
    for (let round = 0; round < 5; round++) {
      for (const id of ["a", "b"]) {
        await memory.create(id, session(1, { expiresAt: time.now + 1000 }));
        await Promise.all([one.store.read(id), one.store.read(id), one.store.read(id)]);
        await one.store.readLatest(id);
      }
      one.state.listener?.listening?.(false);
      one.state.listener?.listening?.(true);
      for (const id of ["a", "b"]) await one.store.read(id);
      const before = one.reads();
      for (const id of ["a", "b"]) await one.store.read(id);
      expect(one.reads()).toBe(before);
      time.now += 1000;
      for (const id of ["a", "b"]) expect(await one.store.read(id)).toBeUndefined();
    }
  });

  it("subscribes at the first read, and unsubscribes when it is closed", async () => {
    const { memory, process } = engine(TIME);
    const one = process();
    await memory.create("a", session(1));
    expect(one.state.subscriptions).toBe(0);
    await one.store.read("a");
    expect(one.state.subscriptions).toBe(1);
    await one.store.close();
    expect(one.state.subscriptions).toBe(0);
    await expect(one.store.read("a")).rejects.toThrow(/closed/);
    expect(one.state.subscriptions).toBe(0);
  });

  it("notifies subscribers of each change of the listening state", async () => {
    const { process } = engine(TIME);
    const one = process();
    const states: boolean[] = [];
    one.store.subscribe({ listening: (is) => void states.push(is) });
    for (const is of [false, true]) one.state.listener?.listening?.(is);
    expect(states).toEqual([true, false, true]);
  });

  it("refuses a store that does not announce its changes, and options it does not know", () => {
    const { announcesChanges: _, ...silent } = memoryStore();
    expect(() => cached(silent)).toThrow(/announceChanges: true/);
    expect(() => cached(memoryStore(), { maxBytes: 0 })).toThrow(/maxBytes/);
    expect(() => cached(memoryStore(), { maxAge: "soon" as "1s" })).toThrow(/maxAge/);
    expect(() => cached(memoryStore(), { ttl: 5 } as CachedOptions)).toThrow(/no option "ttl"/);
  });

  it.each([1, 2, 3, 4, 5])(
    "never returns an older version than it was notified of, in any order of events (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { memory, process } = engine(TIME);
      const caches = [process(), process()];
      /** The newest version that each cache was notified of or has written. */
      const known = caches.map(() => 1);
      let latest = 1;
      await memory.create("a", session(1));
      const underway: Promise<unknown>[] = [];
      const held: { letGo(): void }[] = [];
      for (let step = 0; step < 2000; step++) {
        const index = random() < 0.5 ? 0 : 1;
        const one = caches[index]!;
        const choice = random();
        if (choice < 0.5) {
          const atLeast = known[index]!;
          if (random() < 0.3) held.push(one.gate.hold("read", random() < 0.5 ? "before" : "after"));
          underway.push(one.store.read("a").then((found) => expect(found!.version).toBeGreaterThanOrEqual(atLeast)));
        } else if (choice < 0.65) {
          if (await one.store.update("a", session(latest + 1), latest)) known[index] = latest += 1;
        } else if (choice < 0.85) {
          one.deliver();
          known[index] = latest;
        } else if (choice < 0.9) {
          one.state.listener?.listening?.(false);
          one.lose();
          one.state.listener?.listening?.(true);
          known[index] = latest;
        } else held.splice(Math.floor(random() * held.length), 1)[0]?.letGo();
        await Promise.resolve();
      }
      for (const one of held) one.letGo();
      await Promise.all(underway);
    },
  );
});

describe("sessions over cached stores", () => {
  it("believe a token that is newer than what this process has cached", async () => {
    const { process } = engine(TIME);
    const [here, there] = [process(), process()];
    const at = ({ store }: typeof here) =>
      createSessions<Record<string, unknown>>({ secretKey: KEYS[0], store, clock: TIME });
    const one = new Browser(at(here));
    await one.visit((visited) => (visited.data["cart"] = []));
    const elsewhere = one.copy(at(there));
    expect(await elsewhere.data()).toEqual({ cart: [] });
    await one.visit((visited) => visited.signIn("ada"));
    // The notification is not delivered yet.
    expect(await one.copy(elsewhere.sessions).userId()).toBe("ada");
  });

  it("lose no update of which another process has not been notified yet", async () => {
    const { process } = engine(TIME);
    const [here, there] = [process(), process()];
    const one = new Browser<{ n?: number }>(
      createSessions<{ n?: number }>({ secretKey: KEYS[0], store: here.store, clock: TIME }),
    );
    await one.visit((visited) => visited.update("n", () => 0));
    const other = one.copy(createSessions<{ n?: number }>({ secretKey: KEYS[0], store: there.store, clock: TIME }));
    for (let round = 0; round < 10; round++) {
      await one.data();
      await other.data();
      await one.visit((visited) => visited.update("n", (n = 0) => n + 1));
      await other.visit((visited) => visited.update("n", (n = 0) => n + 1));
    }
    here.deliver();
    expect(await one.data()).toEqual({ n: 20 });
  });
});
