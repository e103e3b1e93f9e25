import { beforeEach, describe, expect, it, vi } from "vitest";
import { jumpingClock } from "../test/support/clock.ts";
import { storeError, unhandledDuring } from "../test/support/failures.ts";
import { syncOperation } from "./capabilities.ts";
import type { SessionStore } from "./store.ts";
import { Deadline, withTimeout } from "./deadline.ts";

describe("Deadline.run", () => {
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

describe("Deadline.ask", () => {
  beforeEach(jumpingClock);

  const stored = { payload: new Uint8Array(), version: 1, expiresAt: 1 };
  const storeWith = (read: SessionStore["read"]) => ({ read }) as SessionStore;

  it("gives the answer itself of an operation that answers at once, and sets no timer", () => {
    const timer = vi.spyOn(globalThis, "setTimeout");
    const store = storeWith(syncOperation((id: string) => (id === "id" ? stored : undefined)));
    expect(new Deadline(1000).ask(store, "read", "id")).toBe(stored);
    expect(new Deadline(1000).ask(store, "read", "other")).toBe(undefined);
    expect(timer).not.toHaveBeenCalled();
    timer.mockRestore();
  });

  it("gives a promise of one that does not", async () => {
    const answer = new Deadline(1000).ask(
      storeWith(async () => stored),
      "read",
      "id",
    );
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toBe(stored);
  });

  it("refuses an answer that is no promise of one that does not", async () => {
    const store = storeWith(() => stored as never);
    await expect(new Deadline(1000).ask(store, "read", "id")).rejects.toEqual(storeError());
  });

  it("calls what has taken the place of such an operation: a spy, which has its properties, and a proxy", async () => {
    const down = new Error("down");
    const store = storeWith(syncOperation(() => stored));
    const spy = vi.spyOn(store, "read").mockRejectedValue(down);
    await expect(new Deadline(1000).ask(store, "read", "id")).rejects.toEqual(storeError(down));
    expect(spy).toHaveBeenCalledOnce();
    const proxied = new Proxy(
      syncOperation(() => stored),
      { apply: () => Promise.reject(down) },
    );
    await expect(new Deadline(1000).ask(storeWith(proxied), "read", "id")).rejects.toEqual(storeError(down));
  });

  it("turns what an operation throws at once into ERR_SESSION_STORE with its cause", async () => {
    const cause = new Error("closed");
    const store = storeWith(
      syncOperation((_id: string) => {
        throw cause;
      }),
    );
    await expect(new Deadline(1000).ask(store, "read", "id")).rejects.toEqual(storeError(cause));
  });

  it("asks no more when the time is over", async () => {
    const deadline = new Deadline(10);
    await expect(deadline.run("read", () => new Promise(() => {}))).rejects.toEqual(storeError());
    let isAsked = false;
    const store = storeWith(syncOperation((_id: string) => void (isAsked = true)));
    await expect(deadline.ask(store, "read", "id")).rejects.toEqual(storeError());
    expect(isAsked).toBe(false);
  });
});

describe("withTimeout", () => {
  beforeEach(jumpingClock);
  const never = () => new Promise<never>(() => {});

  it("gives an answer that comes in time, and leaves no timer behind", async () => {
    expect(await withTimeout(async () => 7, 1000)).toBe(7);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("passes on a failure, thrown at once or later, and leaves no timer behind", async () => {
    const failure = new Error("ECONNREFUSED");
    const throws = () => {
      throw failure;
    };
    await expect(withTimeout(throws, 1000)).rejects.toBe(failure);
    await expect(withTimeout(() => Promise.reject(failure), 1000)).rejects.toBe(failure);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects an answer that is late, with an error of the caller's where there is one", async () => {
    await expect(withTimeout(never, 50)).rejects.toThrow(new Error("no answer within 50 ms"));
    const late = new Error("too slow");
    await expect(withTimeout(never, 50, { late: () => late })).rejects.toBe(late);
  });

  it("drops a failure that comes too late", async () => {
    const unhandled = await unhandledDuring(async () => {
      let fail!: (reason: Error) => void;
      await expect(withTimeout(() => new Promise((_, reject) => (fail = reject)), 50)).rejects.toThrow("no answer");
      fail(new Error("too late"));
    });
    expect(unhandled).toEqual([]);
  });

  it("keeps the process alive until it is over, unless it is told not to", () => {
    const timers = vi.spyOn(globalThis, "setTimeout");
    void withTimeout(never, 50).catch(() => {});
    void withTimeout(never, 50, { keepAlive: false }).catch(() => {});
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([true, false]);
  });
});
