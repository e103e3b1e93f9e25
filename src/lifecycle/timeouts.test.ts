import { describe, expect, it } from "vitest";
import { absoluteEnd, extendedEnd, milliseconds, touchIsDue, type Duration } from "./timeouts.ts";

describe("milliseconds", () => {
  it.each<[Duration, number]>([
    [1800, 1_800_000],
    [0.25, 250],
    ["250ms", 250],
    ["1s", 1000],
    ["30m", 1_800_000],
    ["12h", 43_200_000],
    ["7d", 604_800_000],
    ["1.5h", 5_400_000],
  ])("takes %s for %d", (duration, expected) => {
    expect(milliseconds(duration, "idleTimeout")).toBe(expected);
  });

  it.each([
    "",
    "30",
    "30 m",
    " 30m",
    "30m ",
    "30M",
    "m",
    "-1s",
    "1e3s",
    ".5h",
    "1.h",
    "30min",
    "0s",
    "0",
    "Infinitys",
    "１s",
    "1m\n",
    "30m;",
    0,
    -1,
    Number.NaN,
    Infinity,
    1e306,
  ])("refuses %j, and names the option", (duration) => {
    expect(() => milliseconds(duration as Duration, "idleTimeout")).toThrow(
      `idleTimeout: ${String(duration)} is not a duration`,
    );
  });

  it.each([null, {}, [], true, 5n])("refuses %s, which is no duration at all", (duration) => {
    expect(() => milliseconds(duration as unknown as Duration, "idleTimeout")).toThrow(TypeError);
  });

  it("refuses what rounds to nothing", () => {
    expect(() => milliseconds("0.4ms", "idleTimeout")).toThrow(TypeError);
  });
});

const timeouts = { idle: 100, absolute: 1000, touchInterval: 20 };
const visitor = { createdAt: 0, signedInAt: undefined };

describe("absoluteEnd", () => {
  it("is counted from the beginning, or from signing in", () => {
    expect(absoluteEnd(visitor, timeouts)).toBe(1000);
    expect(absoluteEnd({ createdAt: 0, signedInAt: 700 }, timeouts)).toBe(1700);
    expect(absoluteEnd({ createdAt: 500, signedInAt: 0 }, timeouts)).toBe(1000);
  });
});

describe("extendedEnd", () => {
  it("is the idle end, but never later than the absolute one", () => {
    expect(extendedEnd(50, visitor, timeouts)).toBe(150);
    expect(extendedEnd(900, visitor, timeouts)).toBe(1000);
    expect(extendedEnd(950, visitor, timeouts)).toBe(1000);
    expect(extendedEnd(5000, visitor, timeouts)).toBe(1000);
  });
});

describe("touchIsDue", () => {
  it("waits until a whole interval is to be gained", () => {
    expect(touchIsDue(0, 100, visitor, timeouts)).toBe(false);
    expect(touchIsDue(19, 100, visitor, timeouts)).toBe(false);
    expect(touchIsDue(20, 100, visitor, timeouts)).toBe(true);
    expect(touchIsDue(99, 100, visitor, timeouts)).toBe(true);
  });

  it("takes the last stretch before the absolute end once, and then never again", () => {
    expect(touchIsDue(895, 990, visitor, timeouts)).toBe(false);
    expect(touchIsDue(900, 990, visitor, timeouts)).toBe(true);
    expect(touchIsDue(950, 1000, visitor, timeouts)).toBe(false);
    expect(touchIsDue(999, 1000, visitor, timeouts)).toBe(false);
  });

  it("never shortens, where the clock went back or the store's end is later", () => {
    expect(touchIsDue(-500, 100, visitor, timeouts)).toBe(false);
    expect(touchIsDue(500, 1500, visitor, timeouts)).toBe(false);
  });

  it("touches a busy session at most once an interval, and has it live to its absolute end", () => {
    let expiresAt = 100;
    let touches = 0;
    for (let now = 0; now < 1000; now++) {
      expect(now).toBeLessThan(expiresAt);
      if (!touchIsDue(now, expiresAt, visitor, timeouts)) continue;
      expiresAt = extendedEnd(now, visitor, timeouts);
      touches++;
    }
    expect(expiresAt).toBe(1000);
    expect(touches).toBe(45);
  });
});
