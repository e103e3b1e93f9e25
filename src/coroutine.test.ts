import { describe, expect, it } from "vitest";
import { rejecting, run, wait, type Answer, type Coroutine } from "./coroutine.ts";

function* sum(...answers: Answer<number>[]): Coroutine<number> {
  let total = 0;
  for (const answer of answers) total += yield* wait(answer);
  return total;
}

describe("run", () => {
  it("returns the result itself of a coroutine that meets no promise", () => {
    expect(run(sum(1, 2, 3))).toBe(6);
  });

  it("returns a promise of a coroutine that meets one, wherever it comes", async () => {
    for (const answers of [
      [Promise.resolve(1), 2, 3],
      [1, 2, Promise.resolve(3)],
      [Promise.resolve(1), Promise.resolve(2), Promise.resolve(3)],
    ]) {
      const result = run(sum(...answers));
      expect(result).toBeInstanceOf(Promise);
      expect(await result).toBe(6);
    }
  });

  it("waits for promises of other libraries", async () => {
    // oxlint-disable-next-line unicorn/no-thenable -- that is what they are.
    const other = { then: (fulfil: (value: number) => void) => fulfil(5) } as unknown as Promise<number>;
    expect(await run(sum(1, other))).toBe(6);
  });

  it("throws a rejection where the coroutine waits for it, so that it can deal with it", async () => {
    function* careful(): Coroutine<string> {
      try {
        yield* wait(Promise.reject(new Error("down")));
      } catch (error) {
        return `${(error as Error).message}, ${yield* wait(Promise.resolve("and up again"))}`;
      }
      return "never";
    }
    expect(await run(careful())).toBe("down, and up again");
    await expect(run(sum(1, Promise.reject(new Error("down"))))).rejects.toThrow("down");
  });

  it("throws at once what a coroutine throws before its first promise", () => {
    function* failing(fails = true): Coroutine<number> {
      if (fails) throw new Error("at once");
      return yield* wait(1);
    }
    expect(() => run(failing())).toThrow("at once");
  });
});

describe("rejecting", () => {
  it("gives the answer as it is, and a rejected promise where the function throws", async () => {
    expect(rejecting(() => 1)).toBe(1);
    const failed = rejecting(() => {
      throw new Error("thrown");
    });
    await expect(failed).rejects.toThrow("thrown");
  });
});
