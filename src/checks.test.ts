import { describe, expect, it } from "vitest";
import { checkClock, checkOptions, checkPositiveInteger, unknownOption } from "./checks.ts";

interface Options {
  size?: number;
  name?: string;
}

describe("checkOptions", () => {
  const check = (options: unknown) => () =>
    checkOptions<Options>("maker", options as Options, { size: true, name: true });

  it("takes the options that exist, and none", () => {
    expect(check({ size: 1, name: "a" })).not.toThrow();
    expect(check({})).not.toThrow();
  });

  it("refuses an unknown option, also one named like a member of every object, and names those that exist", () => {
    expect(check({ sise: 1 })).toThrow(
      new TypeError('maker has no option "sise": did you mean "size"? Otherwise use any of size, name, or remove it'),
    );
    expect(check({ toString: 1 })).toThrow('maker has no option "toString"');
  });

  it.each([null, undefined, 5, "size"])("refuses %s, which holds no options", (options) => {
    expect(check(options)).toThrow(
      new TypeError(`maker takes an object with any of size, name, not ${String(options)}`),
    );
  });

  it("does not compile with a name that is missing, or with one too many", () => {
    const options: Options = { size: 1 };
    // @ts-expect-error -- name is missing
    expect(() => checkOptions("maker", options, { size: true })).not.toThrow();
    // @ts-expect-error -- there is no colour
    expect(() => checkOptions("maker", options, { size: true, name: true, colour: true })).not.toThrow();
  });
});

describe("unknownOption", () => {
  it("says so where there are no options at all", () => {
    expect(unknownOption("A file: URL", "table", []).message).toBe('A file: URL has no option "table": remove it');
  });
});

describe("checkPositiveInteger", () => {
  it("takes whole numbers from 1 to the largest", () => {
    for (const value of [1, 5, 10]) expect(() => checkPositiveInteger("size", value, 10)).not.toThrow();
    expect(() => checkPositiveInteger("size", Number.MAX_SAFE_INTEGER)).not.toThrow();
  });

  it.each([0, -1, 1.5, 11, Number.NaN, Infinity, "5", 5n, null, undefined])("refuses %s", (value) => {
    expect(() => checkPositiveInteger("size", value, 10)).toThrow(
      new TypeError(`size must be a whole number from 1 to 10, not ${String(value)}`),
    );
  });

  it("refuses a number that is too large to be exact", () => {
    expect(() => checkPositiveInteger("size", 2 ** 53)).toThrow("size must be a positive whole number");
  });
});

describe("checkClock", () => {
  it("takes a function, and nothing", () => {
    expect(() => checkClock("clock", Date.now)).not.toThrow();
    expect(() => checkClock("clock", undefined)).not.toThrow();
  });

  it.each([5, null, "now", {}])("refuses %s, and names a clock of the kind", (clock) => {
    expect(() => checkClock("clock", clock)).toThrow(
      new TypeError("clock must be a function that returns epoch milliseconds, such as Date.now"),
    );
    expect(() => checkClock("elapsed", clock, "performance.now")).toThrow("such as performance.now");
  });
});
