import { describe, expect, it } from "vitest";
import type { Dictionary } from "./codec.ts";
import { putInto } from "./place.ts";
import { textOf } from "./containers.ts";

describe("putInto", () => {
  const put = (live: unknown, target: unknown) => putInto(live, target, new Map());

  it.each<[string, () => unknown, unknown]>([
    ["an object", () => ({ a: 1, b: { n: 1 }, c: 1 }), { c: 2, b: { n: 2, m: 1 }, d: [1] }],
    ["an array", () => [1, { id: 1 }, 3], [3, { id: 1 }, { id: 2 }, 4]],
    [
      "a Map",
      () =>
        new Map<unknown, unknown>([
          ["a", { n: 1 }],
          ["b", 1],
        ]),
      new Map<unknown, unknown>([
        ["c", 1],
        ["a", { n: 2 }],
      ]),
    ],
    ["a Set", () => new Set([1, 2]), new Set([3, 1])],
    ["a Date", () => new Date(0), new Date(5)],
    ["a URL", () => new URL("https://a.example/"), new URL("https://b.example/x?y#z")],
    ["bytes", () => Uint8Array.of(1, 2), Uint8Array.of(3, 4)],
  ])("puts a value into %s that is there, in the order of its text", (_, make, target) => {
    const live = make();
    expect(put(live, target)).toBe(live);
    expect(live).toEqual(target);
    expect(textOf(live)).toBe(textOf(target));
  });

  it("keeps objects inside of it that are the same, or have changed in their place", () => {
    const [a, b, c] = [{ id: 1 }, { id: 2 }, { id: 3, n: 0 }];
    const live = { rows: [a, b, c], by: new Map([["a", a]]) };
    put(live, { rows: [{ id: 1 }, { id: 2 }, { id: 3, n: 1 }, { id: 4 }], by: new Map([["a", { id: 1 }]]) });
    expect([live.rows[0] === a, live.rows[1] === b, live.rows[2] === c, live.by.get("a") === a]).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(c).toEqual({ id: 3, n: 1 });
  });

  it("keeps an object with the item that it was, where others were removed or moved", () => {
    const [a, b, c] = [{ id: 1 }, { id: 2 }, { id: 3 }];
    const rows = [a, b, c];
    put(rows, [{ id: 3 }, { id: 2 }]);
    expect([rows[0] === c, rows[1] === b, a]).toEqual([true, true, { id: 1 }]);
    put(rows, [{ id: 9 }]);
    expect([c, b]).toEqual([{ id: 3 }, { id: 2 }]);
  });

  it("gives another value where the one that is there can't be changed", () => {
    const frozen = Object.freeze({ a: 1 });
    const computed = {
      get a() {
        return 1;
      },
    };
    for (const live of [frozen, computed, Object.freeze([1]), Object.seal({ b: 1 }), new Map(), "s", undefined]) {
      const target = { a: 2 };
      expect(put(live, target)).toBe(target);
    }
    const bytes = Uint8Array.of(1, 2, 3);
    expect(put(Uint8Array.of(1), bytes)).toBe(bytes);
  });

  it("puts __proto__ as a name like any other", () => {
    const live: Dictionary = {};
    put(live, JSON.parse('{"__proto__":{"admin":true}}'));
    expect(Object.keys(live)).toEqual(["__proto__"]);
    expect(live["admin"]).toBe(undefined);
  });
});
