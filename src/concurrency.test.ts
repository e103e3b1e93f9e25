import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { unhandledDuring } from "../test/support/failures.ts";
import { forEach } from "./concurrency.ts";

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

  it("lets other work run between calls that are answered at once", async () => {
    const called: number[] = [];
    const running = forEach(Array(2000).keys(), async (item) => void called.push(item));
    let turns = 0;
    while (called.length < 2000) {
      await nextTurn();
      turns++;
    }
    await running;
    expect(turns).toBeGreaterThanOrEqual(7);
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
