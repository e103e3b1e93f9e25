import { describe, expect, it } from "vitest";
import { without } from "./strip.ts";

describe("without", () => {
  const old = { secret: 1 };
  const hidden = new Set<object>([old]);

  it.each<[string, unknown, unknown]>([
    ["itself", old, undefined],
    ["a member", { a: old, b: 1 }, { b: 1 }],
    ["an item", [1, old, 2, old], [1, 2]],
    ["a value of a Map", new Map([["a", old]]), new Map()],
    ["a key of a Map", new Map([[old, 1]]), new Map()],
    ["a member of a Set", new Set([old, 1]), new Set([1])],
    [
      "a place deep inside",
      { a: [{ b: new Map([["c", { d: old, e: 1 }]]) }] },
      { a: [{ b: new Map([["c", { e: 1 }]]) }] },
    ],
    ["a member of what can't be changed", { a: Object.freeze({ b: old }), c: 1 }, { c: 1 }],
    ["two places of what can't be changed", ((frozen) => [frozen, 1, frozen])(Object.freeze([old])), [1]],
    ["nowhere", { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
    ["nowhere in a string", "s", "s"],
  ])("removes an object that is %s", (_, value, expected) => {
    expect(without(value, hidden)).toEqual(expected);
  });

  it("comes to an end where a value holds itself", () => {
    const cyclic: Record<string, unknown> = { old };
    cyclic["self"] = cyclic;
    without(cyclic, hidden);
    expect(Object.keys(cyclic)).toEqual(["self"]);
  });
});
