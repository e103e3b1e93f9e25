import { describe, expect, it } from "vitest";
import type { Dictionary } from "./codec.ts";
import { momentOf, replaySteps } from "./steps.ts";

/** Two requests begin with the same value: what `mine` does in place is done to what `theirs` has left of it. */
function merged<T>(make: () => T, theirs: (value: T) => unknown, mine: (value: T) => unknown) {
  const held: Dictionary = { k: make() };
  const from = momentOf(held, "k");
  mine(held["k"] as T);
  const others = make();
  const result = theirs(others);
  const data: Dictionary = {
    k: typeof result === "object" && result !== null && "put" in result ? result.put : others,
  };
  if (typeof result === "object" && result !== null && "gone" in result) delete data["k"];
  const dropped: string[] = [];
  replaySteps([], from, momentOf(held, "k"), data, "k", {
    dropped: (path) => dropped.push(path.join(".")),
    copied() {},
  });
  return { value: data["k"] as T, dropped };
}

const put = (value: unknown) => ({ put: value });
const gone = { gone: true };

const replaceAll = (items: unknown[], others: unknown[]) => void items.splice(0, items.length, ...others);
const reverse = (items: unknown[]) => replaceAll(items, items.toReversed());
const sort = (items: unknown[]) =>
  replaceAll(
    items,
    items.toSorted((a, b) => Number(a) - Number(b)),
  );

interface Shape {
  a?: number;
  b?: number;
  inner?: { n?: number; m?: number; t?: number } | number[];
  [name: string]: unknown;
}

describe("An object changed in place", () => {
  it.each<[string, (value: Shape) => unknown, (value: Shape) => unknown, Shape]>([
    [
      "keeps members that both have set",
      (o) => (o["t"] = 1),
      (o) => (o["m"] = 2),
      { a: 1, b: 2, inner: { n: 1 }, t: 1, m: 2 },
    ],
    [
      "has the later of two values of a member stand",
      (o) => (o.a = 5),
      (o) => (o.a = 6),
      { a: 6, b: 2, inner: { n: 1 } },
    ],
    ["keeps a member deleted that it deleted", (o) => (o.a = 5), (o) => delete o.a, { b: 2, inner: { n: 1 } }],
    [
      "has a member again that it sets and they deleted",
      (o) => delete o.a,
      (o) => (o.a = 6),
      { a: 6, b: 2, inner: { n: 1 } },
    ],
    ["does not bring back what it left alone", (o) => delete o.a, (o) => (o.b = 6), { b: 6, inner: { n: 1 } }],
    [
      "merges nested objects",
      (o) => ((o.inner as Dictionary)["t"] = 1),
      (o) => ((o.inner as Dictionary)["m"] = 2),
      { a: 1, b: 2, inner: { n: 1, t: 1, m: 2 } },
    ],
    [
      "puts a new nested object as a whole",
      (o) => ((o.inner as Dictionary)["t"] = 1),
      (o) => (o.inner = { m: 2 }),
      { a: 1, b: 2, inner: { m: 2 } },
    ],
    [
      "puts a new nested object that equals the old one",
      (o) => ((o.inner as Dictionary)["t"] = 1),
      (o) => (o.inner = { n: 1 }),
      { a: 1, b: 2, inner: { n: 1 } },
    ],
    [
      "keeps __proto__ an ordinary name",
      () => 0,
      (o) => Object.defineProperty(o, "__proto__", { value: { x: 1 }, enumerable: true }),
      { a: 1, b: 2, inner: { n: 1 }, ["__proto__"]: { x: 1 } },
    ],
  ])("%s", (_, theirs, mine, expected) => {
    const { value, dropped } = merged<Shape>(() => ({ a: 1, b: 2, inner: { n: 1 } }), theirs, mine);
    expect(value).toStrictEqual(expected);
    expect(dropped).toEqual([]);
  });

  it.each<[string, (value: Shape) => unknown, string, unknown]>([
    ["it is gone", () => gone, "k", undefined],
    ["it is an array now", () => put([1]), "k", [1]],
    ["it is a string now", () => put("s"), "k", "s"],
    ["the nested object is gone", (o) => void delete o.inner, "k.inner", { a: 1 }],
    ["the nested object is an array now", (o) => void (o.inner = [1]), "k.inner", { a: 1, inner: [1] }],
  ])("drops the change, and tells where, if %s", (_, theirs, path, expected) => {
    const { value, dropped } = merged<Shape>(
      () => ({ a: 1, inner: { n: 1 } }),
      theirs,
      (o) => ((o.inner as { n: number }).n = 2),
    );
    expect(value).toEqual(expected);
    expect(dropped).toEqual([path]);
  });

  it("drops nothing where it was not changed", () => {
    expect(
      merged<Shape>(
        () => ({ a: 1 }),
        () => gone,
        () => 0,
      ).dropped,
    ).toEqual([]);
  });
});

describe("A Map changed in place", () => {
  const make = () =>
    new Map<unknown, { n: number }>([
      ["a", { n: 1 }],
      [{ x: 1 }, { n: 2 }],
    ]);
  type Its = ReturnType<typeof make>;
  const at = (map: Its, key: unknown) => [...map].find(([other]) => JSON.stringify(other) === JSON.stringify(key))?.[1];
  const keyOf = (map: Its) => [...map.keys()].find((key) => typeof key === "object");

  it("keeps the keys of both, and the values of keys that are equal by their text", () => {
    const { value } = merged(
      make,
      (map) => map.set("t", { n: 5 }).set({ x: 2 }, { n: 6 }),
      (map) => map.set("m", { n: 7 }).set({ x: 2 }, { n: 8 }),
    );
    expect(value).toEqual(
      new Map<unknown, unknown>([
        ["a", { n: 1 }],
        [{ x: 1 }, { n: 2 }],
        ["t", { n: 5 }],
        [{ x: 2 }, { n: 8 }],
        ["m", { n: 7 }],
      ]),
    );
  });

  it("merges values that were changed in place, and takes a new value as a whole", () => {
    const { value } = merged<Map<unknown, Dictionary>>(
      make,
      (map) => [...map.values()].forEach((entry) => (entry["t"] = 1)),
      (map) => {
        map.get("a")!["m"] = 2;
        map.set(keyOf(map as never), { n: 9 });
      },
    );
    expect([...value.values()]).toEqual([{ n: 1, t: 1, m: 2 }, { n: 9 }]);
  });

  it("removes a key that it removed, though they changed its value", () => {
    const { value } = merged(
      make,
      (map) => (at(map, { x: 1 })!.n = 5),
      (map) => map.delete(keyOf(map)),
    );
    expect(value).toEqual(new Map([["a", { n: 1 }]]));
  });

  it("drops the change of a value whose key is gone", () => {
    const { value, dropped } = merged(
      make,
      (map) => map.delete("a"),
      (map) => (map.get("a")!.n = 5),
    );
    expect([...value.values()]).toEqual([{ n: 2 }]);
    expect(dropped).toEqual(["k.a"]);
  });
});

describe("A Set changed in place", () => {
  it("keeps what both added, and removes what either removed", () => {
    const { value } = merged(
      () => new Set<unknown>([1, 2, 3, { a: 1 }]),
      (set) => (set.delete(1), set.add(4).add({ b: 1 })),
      (set) => (set.delete(2), set.add(5).add({ b: 1 })),
    );
    expect(value).toEqual(new Set([3, { a: 1 }, 4, { b: 1 }, 5]));
  });

  it("takes a member that was changed in place for one removed and one added", () => {
    const { value } = merged(
      () => new Set<Dictionary>([{ a: 1 }]),
      (set) => set.add({ t: 1 }),
      (set) => ([...set][0]!["a"] = 2),
    );
    expect(value).toEqual(new Set([{ t: 1 }, { a: 2 }]));
  });
});

describe("An array changed in place", () => {
  it.each<[string, unknown[], (items: unknown[]) => unknown, (items: unknown[]) => unknown, unknown[]]>([
    ["keeps what both appended", [1], (a) => a.push(2), (a) => a.push(3), [1, 2, 3]],
    ["removes what either removed", [1, 2, 3], (a) => a.shift(), (a) => a.pop(), [2]],
    ["removes and appends", [1, 2], (a) => a.push(3), (a) => (a.shift(), a.push(4)), [2, 3, 4]],
    ["appends to what they have sorted", [2, 1], sort, (a) => a.push(3), [1, 2, 3]],
    ["removes one occurrence for each that was removed", [1, 1, 2], (a) => a.push(1), (a) => a.shift(), [1, 2, 1]],
    ["removes two occurrences where each has removed one", [1, 1, 2], (a) => a.shift(), (a) => a.shift(), [2]],
    ["removes nothing twice", [1, 2], (a) => a.shift(), (a) => a.shift(), [2]],
    ["appends what is there already", [1], (a) => a.push(1), (a) => a.push(1), [1, 1, 1]],
    ["is emptied of what it knew", [1, 2], (a) => a.push(3), (a) => (a.length = 0), [3]],
    ["stands as the later one after sort", [3, 1, 2], (a) => a.push(4), sort, [1, 2, 3]],
    ["stands as the later one after reverse", [1, 2, 3], (a) => a.push(4), reverse, [3, 2, 1]],
    ["stands as the later one after unshift", [1, 2], (a) => a.push(4), (a) => a.unshift(0), [0, 1, 2]],
    ["stands as the later one after an assignment by index", [1, 2, 3], (a) => a.push(4), (a) => (a[1] = 9), [1, 9, 3]],
    ["stands as the later one after an insertion", [1, 2], (a) => a.push(4), (a) => a.splice(1, 0, 9), [1, 9, 2]],
    [
      "takes undefined and holes for undefined",
      [undefined],
      (a) => a.push(undefined),
      (a) => a.push(1),
      [undefined, undefined, 1],
    ],
  ])("%s", (_, base, theirs, mine, expected) => {
    expect(merged(() => structuredClone(base), theirs, mine).value).toEqual(expected);
  });

  const rows = (): Dictionary[] => [
    { id: 1, n: 0 },
    { id: 2, n: 0 },
  ];

  it.each<[string, (items: Dictionary[]) => unknown, (items: Dictionary[]) => unknown, Dictionary[]]>([
    [
      "merges items, and appends",
      (a) => ((a[0]!["t"] = 1), a.push({ id: 3 })),
      (a) => ((a[0]!["m"] = 2), (a[1]!["m"] = 2), a.push({ id: 4 })),
      [{ id: 1, n: 0, t: 1, m: 2 }, { id: 2, n: 0, m: 2 }, { id: 3 }, { id: 4 }],
    ],
    [
      "stands if they removed an item",
      (a) => a.shift(),
      (a) => (a[1]!["m"] = 2),
      [
        { id: 1, n: 0 },
        { id: 2, n: 0, m: 2 },
      ],
    ],
    [
      "stands if they removed an item and appended another",
      (a) => (a.shift(), a.push({ id: 3 })),
      (a) => (a[1]!["m"] = 2),
      [
        { id: 1, n: 0 },
        { id: 2, n: 0, m: 2 },
      ],
    ],
    [
      "stands if they moved an item",
      reverse,
      (a) => (a[1]!["m"] = 2),
      [
        { id: 1, n: 0 },
        { id: 2, n: 0, m: 2 },
      ],
    ],
    [
      "stands if it removed another item itself",
      (a) => a.push({ id: 3 }),
      (a) => (a.shift(), (a[0]!["m"] = 2)),
      [{ id: 2, n: 0, m: 2 }],
    ],
    [
      "stands if it moved the items itself",
      (a) => a.push({ id: 3 }),
      (a) => (reverse(a), (a[0]!["m"] = 2)),
      [
        { id: 2, n: 0, m: 2 },
        { id: 1, n: 0 },
      ],
    ],
    [
      "keeps an item that it removed and they changed",
      (a) => (a[0]!["t"] = 1),
      (a) => a.shift(),
      [
        { id: 1, n: 0, t: 1 },
        { id: 2, n: 0 },
      ],
    ],
    [
      "stands if an item was replaced",
      (a) => a.push({ id: 3 }),
      (a) => (a[0] = { id: 9 }),
      [{ id: 9 }, { id: 2, n: 0 }],
    ],
  ])("of objects: %s", (_, theirs, mine, expected) => {
    expect(merged(rows, theirs, mine).value).toEqual(expected);
  });

  it("of a hundred thousand items is merged in a moment", () => {
    const many = Array.from({ length: 100_000 }, (_, i) => i);
    const { value } = merged(
      () => [...many],
      (a) => a.push(-1),
      (a) => (a.splice(500, 50_000), a.push(-2)),
    );
    expect(value).toHaveLength(50_002);
    const reversed = merged(
      () => [...many],
      (a) => a.push(-1),
      reverse,
    );
    expect(reversed.value).toHaveLength(100_000);
  });
});

describe("Dates, URLs and bytes changed in place", () => {
  it.each<[string, () => Date | URL | Uint8Array, (value: never) => unknown, (value: never) => unknown, unknown]>([
    ["a Date", () => new Date(0), (d: Date) => d.setTime(1), (d: Date) => d.setTime(2), new Date(2)],
    [
      "a URL",
      () => new URL("https://a.example/"),
      (u: URL) => (u.hash = "t"),
      (u: URL) => (u.search = "m"),
      new URL("https://a.example/?m"),
    ],
    [
      "bytes",
      () => Uint8Array.of(1, 2),
      (b: Uint8Array) => (b[0] = 9),
      (b: Uint8Array) => (b[1] = 8),
      Uint8Array.of(1, 8),
    ],
  ])("are whole: %s", (_, make, theirs, mine, expected) => {
    expect(merged(make, theirs as never, mine as never).value).toEqual(expected);
    expect(merged(make, theirs as never, () => 0).value).not.toEqual(make());
    expect(merged(make, () => gone, mine as never).dropped).toEqual(["k"]);
  });
});
