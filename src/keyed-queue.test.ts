import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { unhandledDuring } from "../test/support/failures.ts";
import { createKeyedQueue } from "./keyed-queue.ts";

describe("createKeyedQueue", () => {
  function task(log: string[], name: string) {
    let finish!: () => void;
    const done = new Promise<void>((resolve) => (finish = resolve));
    const run = async () => {
      log.push(`${name} begins`);
      await done;
      log.push(`${name} ends`);
      return name;
    };
    return { run, finish };
  }

  it("runs tasks of one key one after the other, in order", async () => {
    const commits = createKeyedQueue();
    const log: string[] = [];
    const tasks = ["a", "b", "c"].map((name) => task(log, name));
    const runs = tasks.map(({ run }) => commits.run("key", run));
    for (const { finish } of tasks.toReversed()) finish();
    expect(await Promise.all(runs.map(async (run) => run))).toEqual(["a", "b", "c"]);
    expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  });

  it("gives a task the result of the one that it has waited for, and nothing after one that failed", async () => {
    const commits = createKeyedQueue();
    const seen: (number | undefined)[] = [];
    const add = async (before: number | undefined): Promise<number> => {
      seen.push(before);
      return seen.length;
    };
    const fail = async (): Promise<number> => Promise.reject(new Error("planned"));
    const runs = [add, add, fail, add].map(async (one) => commits.run<number>("key", one));
    await Promise.allSettled(runs);
    await commits.run<number>("key", add);
    expect(seen).toEqual([undefined, 1, undefined, undefined]);
  });

  it("runs tasks of different keys side by side", async () => {
    const commits = createKeyedQueue();
    const log: string[] = [];
    const [a, b] = [task(log, "a"), task(log, "b")];
    const runs = [commits.run("1", a.run), commits.run("2", b.run)];
    await nextTurn();
    expect(log).toEqual(["a begins", "b begins"]);
    a.finish();
    b.finish();
    await Promise.all(runs.map(async (run) => run));
  });

  it("goes on after a task that failed, and tells only the one who asked", async () => {
    const commits = createKeyedQueue();
    const unhandled = await unhandledDuring(async () => {
      const failed = commits.run("key", () => Promise.reject(new Error("mine")));
      const thrown = commits.run("key", () => {
        throw new Error("mine too");
      });
      const after = commits.run("key", async () => "after");
      await expect(failed).rejects.toThrow("mine");
      await expect(thrown).rejects.toThrow("mine too");
      expect(await after).toBe("after");
    });
    expect(unhandled).toEqual([]);
  });

  it("gives the answer itself of a task that is done at once, and keeps nobody waiting", () => {
    const queue = createKeyedQueue();
    expect(queue.run("key", () => 1)).toBe(1);
    expect(queue.run("key", () => 2)).toBe(2);
  });

  it("runs a task that another one starts before it returns after that one, whether that one is done then or not", async () => {
    for (const rest of [undefined, nextTurn(undefined)]) {
      const queue = createKeyedQueue();
      const log: string[] = [];
      let inner: unknown;
      await queue.run("key", () => {
        log.push("outer begins");
        inner = queue.run("key", () => void log.push("inner"));
        log.push("outer returns");
        return rest?.then(() => void log.push("outer ends"));
      });
      await inner;
      const end = rest ? ["outer ends"] : [];
      expect(log).toEqual(["outer begins", "outer returns", ...end, "inner"]);
    }
  });

  it("is free again after a first task that threw at once", async () => {
    const commits = createKeyedQueue();
    const throws = () => {
      throw new Error("at once");
    };
    await expect(commits.run("key", throws)).rejects.toThrow("at once");
    expect(await commits.run("key", async () => 1)).toBe(1);
  });
});
