import { describe, expect, it } from "vitest";
import { absoluteEnd, extendedEnd, touchIsDue } from "./timeouts.ts";

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
