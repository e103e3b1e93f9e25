import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { site, START } from "../test/support/stores.ts";
import { createCleanup } from "./cleanup.ts";
import { createEmitter } from "./events.ts";
import { memoryStore } from "./stores/memory.ts";

const MINUTE = 60_000;

/** Creates a collector. Its store removes as many sessions as the list says, one reply after the other. */
function setup(answers: (number | Error | Promise<number>)[], storeTimeout = 5000) {
  const time = { now: START, elapsed: 0 };
  const limits: number[] = [];
  const faults: unknown[] = [];
  const store = {
    ...memoryStore(),
    deleteExpired: async (limit: number) => {
      limits.push(limit);
      const answer = await (answers.shift() ?? 0);
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const emitter = createEmitter();
  emitter.on("error", (event) => faults.push(event));
  const clocks = { now: () => time.now, elapsed: () => time.elapsed };
  return { time, limits, faults, collector: createCleanup({ store, emitter, storeTimeout, ...clocks }) };
}

const never = () => new Promise<number>(() => {});

describe("createCollector", () => {
  it("collects in batches until a round is done", async () => {
    const { limits, collector } = setup([500, 500, 499]);
    collector.runIfDue();
    await collector.stop();
    // stop() waits for the current batch.
    expect(limits).toEqual([500]);

    const other = setup([500, 500, 499]);
    other.collector.runIfDue();
    for (let i = 0; i < 10; i++) await nextTurn();
    expect(other.limits).toEqual([500, 500, 500]);
  });

  it("lets other work run between the batches of a store that answers at once", async () => {
    const other = setup(Array.from({ length: 50 }, () => 500));
    other.collector.runIfDue();
    let turns = 0;
    while (other.limits.length < 50) {
      await nextTurn();
      turns++;
    }
    expect(turns).toBeGreaterThanOrEqual(49);
  });

  it("collects once a minute, however often runIfDue is called", async () => {
    const { time, limits, collector } = setup([]);
    for (let i = 0; i < 5; i++) collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += MINUTE - 1;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += 1;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(2);
  });

  it("does not begin a round while a batch of another is under way", async () => {
    let finish!: (count: number) => void;
    const { time, limits, collector } = setup([500, new Promise<number>((resolve) => (finish = resolve))]);
    collector.runIfDue();
    await nextTurn();
    time.now += MINUTE - 1;
    time.elapsed += MINUTE - 1;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(2);
    finish(0);
    await collector.stop();
  });

  it("collects again after a call that never ends, and reports it", async () => {
    const { time, limits, faults, collector } = setup([never()]);
    collector.runIfDue();
    await nextTurn();
    time.elapsed += MINUTE;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(2);
    expect(faults).toEqual([{ error: expect.objectContaining({ code: "ERR_SESSION_STORE", status: 503 }) }]);
    time.elapsed += MINUTE;
    collector.runIfDue();
    expect(limits).toHaveLength(3);
  });

  it("calls the store less and less often while no call ends, at last once an hour", async () => {
    const { time, limits, collector } = setup(Array.from({ length: 100 }, never));
    for (let minute = 0; minute < 24 * 60; minute++) {
      collector.runIfDue();
      time.elapsed += MINUTE;
    }
    expect(limits.length).toBeLessThan(6 + 24);
    expect(limits.length).toBeGreaterThan(24);
    await nextTurn();
  });

  it("ignores a reply that comes after the round was abandoned", async () => {
    let finish!: (count: number) => void;
    const { time, limits, faults, collector } = setup([new Promise<number>((resolve) => (finish = resolve)), never()]);
    collector.runIfDue();
    time.elapsed += MINUTE;
    collector.runIfDue();
    expect(limits).toHaveLength(2);
    finish(500);
    await nextTurn();
    expect(limits).toHaveLength(2);
    expect(faults).toHaveLength(1);
  });

  it("waits for a batch as long as storeTimeout, if that is longer than a minute", async () => {
    const { time, limits, collector } = setup([never()], 3 * MINUTE);
    collector.runIfDue();
    time.elapsed += 3 * MINUTE - 1;
    collector.runIfDue();
    expect(limits).toHaveLength(1);
    time.elapsed += 1;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(2);
  });

  it("stops after storeTimeout if a call never ends, and reports it", async () => {
    const { faults, collector } = setup([never()], 10);
    collector.runIfDue();
    await collector.stop();
    expect(faults).toEqual([{ error: expect.objectContaining({ code: "ERR_SESSION_STORE" }) }]);
  });

  it("collects once a minute of real time, although the clock was set back", async () => {
    const { time, limits, collector } = setup([]);
    collector.runIfDue();
    await nextTurn();
    time.now -= 24 * 60 * MINUTE;
    time.elapsed += MINUTE - 1;
    collector.runIfDue();
    expect(limits).toHaveLength(1);
    time.elapsed += 1;
    collector.runIfDue();
    expect(limits).toHaveLength(2);
    await nextTurn();
  });

  it("reports a failure, and tries again a minute later", async () => {
    const error = new Error("disk on fire");
    const { time, limits, faults, collector } = setup([error]);
    collector.runIfDue();
    await nextTurn();
    expect(faults).toEqual([{ error }]);
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += MINUTE;
    collector.runIfDue();
    await nextTurn();
    expect(limits).toHaveLength(2);
  });

  it("does nothing after stop, and nothing for a store that expires by itself", async () => {
    const { time, limits, collector } = setup([]);
    await collector.stop();
    time.now += MINUTE;
    collector.runIfDue();
    expect(limits).toEqual([]);

    const { read, create, update, touch, delete: end } = memoryStore();
    const bare = createCleanup({
      store: { read, create, update, touch, delete: end },
      emitter: createEmitter(),
      storeTimeout: 5000,
      now: () => START,
    });
    expect(() => bare.runIfDue()).not.toThrow();
    await expect(bare.stop()).resolves.toBeUndefined();
  });
});

describe("sessions.close", () => {
  it("returns after storeTimeout if the store never finishes, and closes the store", async () => {
    const store = memoryStore({ clock: () => START });
    const { sessions, browser } = site({ store: { ...store, deleteExpired: never } });
    await browser().visit((session) => (session.data["n"] = 1));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const closing = sessions.close();
      await vi.advanceTimersByTimeAsync(5000);
      await closing;
    } finally {
      vi.useRealTimers();
    }
    await expect(store.read("any")).rejects.toThrow(/closed/);
  });
});
