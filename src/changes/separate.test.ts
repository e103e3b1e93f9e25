import { describe, expect, it } from "vitest";
import { textOf } from "./containers.ts";
import { Separation } from "./separate.ts";

describe("The same object in several places", () => {
  it("stays in its first place, and each other place gets a copy", () => {
    const one = { n: 1, inner: { m: 1 } };
    const value = { a: one, list: [one, one.inner], map: new Map([["k", one]]), set: new Set([one]) };
    const text = textOf(value);
    expect(new Separation().separated(value)).toBe(value);
    expect(textOf(value)).toBe(text);
    expect(value.a).toBe(one);
    const all = [value.list[0], value.list[1], value.map.get("k"), [...value.set][0]];
    expect(all.filter((other) => other === one || other === one.inner)).toEqual([]);
  });

  it("is copied with the container that can't be changed", () => {
    const one = { n: 1 };
    const frozen = Object.freeze({ one });
    const value = { one, frozen };
    new Separation().separated(value);
    expect(value.frozen).toEqual({ one: { n: 1 } });
    expect(value.frozen.one).not.toBe(one);
  });
});
