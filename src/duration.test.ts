import { describe, expect, it } from "vitest";
import { milliseconds, type Duration } from "./duration.ts";

describe("milliseconds", () => {
  it.each<[Duration, number]>([
    ["1800s", 1_800_000],
    ["0.25s", 250],
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
    -Infinity,
  ])("refuses %j, and names the option", (duration) => {
    expect(() => milliseconds(duration as Duration, "idleTimeout")).toThrow(
      `idleTimeout: ${String(duration)} is not a duration`,
    );
  });

  it("refuses a number without a unit, and shows both readings", () => {
    expect(() => milliseconds(1_800_000 as never, "idleTimeout")).toThrow(
      'idleTimeout: 1800000 has no unit; write "1800000s" for seconds (20.8 days), or "1800000ms" for milliseconds (30 minutes)',
    );
  });

  it("says a single unit in the singular", () => {
    expect(() => milliseconds(3600 as never, "idleTimeout")).toThrow('"3600s" for seconds (1 hour), or "3600ms"');
    expect(() => milliseconds(1 as never, "idleTimeout")).toThrow(
      '(1 second), or "1ms" for milliseconds (1 millisecond)',
    );
  });

  it.each([null, {}, [], true, 5n])("refuses %s, which is no duration at all", (duration) => {
    expect(() => milliseconds(duration as unknown as Duration, "idleTimeout")).toThrow(TypeError);
  });

  it("refuses what rounds to nothing", () => {
    expect(() => milliseconds("0.4ms", "idleTimeout")).toThrow(TypeError);
  });
});
