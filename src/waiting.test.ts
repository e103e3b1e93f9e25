import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { storeError } from "../test/support/failures.ts";
import { jumpingClock } from "../test/support/clock.ts";
import { createKeyedQueue, forEach, Deadline } from "./waiting.ts";

/** The rejections that nobody has handled while `act` ran. */
async function unhandledDuring(act: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const listener = (reason: unknown) => seen.push(reason);
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", listener);
  try {
    await act();
    await nextTurn();
    await nextTurn();
  } finally {
    process.off("unhandledRejection", listener);
    for (const other of others) process.on("unhandledRejection", other);
  }
  return seen;
}

describe("Patience.ask", () => {
  beforeEach(jumpingClock);

  it("gives the store's answer", async () => {
    expect(await new Deadline(1000).run("read", async () => 7)).toBe(7);
  });

  it("turns a rejection into ERR_SESSION_STORE with its cause", async () => {
    const cause = new Error("ECONNREFUSED");
    await expect(new Deadline(1000).run("read", () => Promise.reject(cause))).rejects.toEqual(storeError(cause));
    await expect(new Deadline(1000).run("read", () => Promise.reject(cause))).rejects.toThrow(
      "failed to read a session",
    );
  });

  it("turns a synchronous throw, and an answer that is no promise, into ERR_SESSION_STORE", async () => {
    const cause = new Error("not connected");
    const throws = () => {
      throw cause;
    };
    await expect(new Deadline(1000).run("touch", throws)).rejects.toEqual(storeError(cause));
    await expect(new Deadline(1000).run("touch", () => 5 as unknown as Promise<void>)).rejects.toEqual(storeError());
    await expect(new Deadline(1000).run("touch", () => undefined as unknown as Promise<void>)).rejects.toEqual(
      storeError(),
    );
  });

  it("gives up a store that never answers", async () => {
    await expect(new Deadline(10).run("read", () => new Promise(() => {}))).rejects.toEqual(storeError());
    await expect(new Deadline(10).run("read", () => new Promise(() => {}))).rejects.toThrow(
      "did not answer within 10 ms",
    );
  });

  it("waits for all questions together, not for each", async () => {
    const deadline = new Deadline(10);
    await expect(deadline.run("read", () => new Promise(() => {}))).rejects.toEqual(storeError());
    let asked = false;
    await expect(deadline.run("read", async () => (asked = true))).rejects.toEqual(storeError());
    expect(asked).toBe(false);
  });

  it("takes a late failure without a word", async () => {
    const unhandled = await unhandledDuring(async () => {
      let fail!: (reason: Error) => void;
      const question = () => new Promise((_, reject) => (fail = reject));
      await expect(new Deadline(5).run("read", question)).rejects.toEqual(storeError());
      fail(new Error("too late"));
    });
    expect(unhandled).toEqual([]);
  });
});

describe("createLanes", () => {
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
    expect(await Promise.all(runs)).toEqual(["a", "b", "c"]);
    expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
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
    await Promise.all(runs);
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

  it("is free again after a first task that threw at once", async () => {
    const commits = createKeyedQueue();
    const throws = () => {
      throw new Error("at once");
    };
    await expect(commits.run("key", throws)).rejects.toThrow("at once");
    expect(await commits.run("key", async () => 1)).toBe(1);
  });
});

describe("forEach", () => {
  it("asks for many at a time, and for each once", async () => {
    let most = 0;
    let underway = 0;
    const asked: number[] = [];
    await forEach(Array(200).keys(), async (item) => {
      asked.push(item);
      most = Math.max(most, (underway += 1));
      await nextTurn();
      underway -= 1;
    });
    expect(asked).toEqual([...Array(200).keys()]);
    expect(most).toBe(32);
    expect(underway).toBe(0);
  });

  it("asks for the others when one fails, and throws the first failure at the end", async () => {
    const asked: number[] = [];
    const run = forEach(Array(100).keys(), async (item) => {
      asked.push(item);
      if (item === 3 || item === 50) throw new Error(`no ${item}`);
      await nextTurn();
    });
    await expect(run).rejects.toThrow("no 3");
    expect(asked).toHaveLength(100);
  });

  it("stops asking a store that is out of order, and leaves no rejection unhandled", async () => {
    let asked = 0;
    const unhandled = await unhandledDuring(async () => {
      const run = forEach(Array(10_000).keys(), async () => {
        asked += 1;
        await nextTurn();
        throw new Error("refused");
      });
      await expect(run).rejects.toThrow("refused");
    });
    expect(unhandled).toEqual([]);
    expect(asked).toBeLessThan(100);
  });

  it("lets go of an iterator that fails", async () => {
    async function* ids() {
      yield 1;
      throw new Error("the listing broke off");
    }
    const asked: number[] = [];
    const run = forEach(ids(), async (item) => {
      await nextTurn();
      asked.push(item);
    });
    await expect(run).rejects.toThrow("the listing broke off");
    await nextTurn();
    expect(asked).toEqual([1]);
  });
});
