import { beforeEach, describe, expect, it } from "vitest";
import { jumpingClock } from "../test/support/clock.ts";
import { storeError, unhandledDuring } from "../test/support/failures.ts";
import { Deadline } from "./deadline.ts";

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
