import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { START } from "../test/support/stores.ts";
import { createCollector } from "./collector.ts";
import { createEmitter } from "./events.ts";
import { memoryStore } from "./stores/memory.ts";

const MINUTE = 60_000;

/** A collector over a store that forgets as many as it is told to, one answer after the other. */
function setup(answers: (number | Error | Promise<number>)[]) {
  const time = { now: START };
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
  emitter.on("fault", (event) => faults.push(event));
  return { time, limits, faults, collector: createCollector(store, emitter, () => time.now) };
}

describe("createCollector", () => {
  it("collects in batches until a round is done", async () => {
    const { limits, collector } = setup([500, 500, 499]);
    collector.nudge();
    await collector.stop();
    // stop() ends after the batch under way.
    expect(limits).toEqual([500]);

    const other = setup([500, 500, 499]);
    other.collector.nudge();
    for (let i = 0; i < 10; i++) await nextTurn();
    expect(other.limits).toEqual([500, 500, 500]);
  });

  it("collects once a minute, however often it is nudged", async () => {
    const { time, limits, collector } = setup([]);
    for (let i = 0; i < 5; i++) collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += MINUTE - 1;
    collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += 1;
    collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(2);
  });

  it("does not begin a round while one is under way", async () => {
    let finish!: (count: number) => void;
    const { time, limits, collector } = setup([new Promise<number>((resolve) => (finish = resolve))]);
    collector.nudge();
    time.now += 10 * MINUTE;
    collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(1);
    finish(0);
    await collector.stop();
  });

  it("tells of a failure, and tries again a minute later", async () => {
    const error = new Error("disk on fire");
    const { time, limits, faults, collector } = setup([error]);
    collector.nudge();
    await nextTurn();
    expect(faults).toEqual([{ error }]);
    collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(1);
    time.now += MINUTE;
    collector.nudge();
    await nextTurn();
    expect(limits).toHaveLength(2);
  });

  it("does nothing after stop, and nothing for a store that expires by itself", async () => {
    const { time, limits, collector } = setup([]);
    await collector.stop();
    time.now += MINUTE;
    collector.nudge();
    expect(limits).toEqual([]);

    const { read, create, update, touch, delete: end } = memoryStore();
    const bare = createCollector({ read, create, update, touch, delete: end }, createEmitter(), () => START);
    expect(() => bare.nudge()).not.toThrow();
    await expect(bare.stop()).resolves.toBeUndefined();
  });
});
