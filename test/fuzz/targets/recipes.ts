import * as fc from "fast-check";
import { anyText, INHERITED } from "../mutations.ts";

/** How a value is made: JSON can say it, so that the corpus can keep values that JSON can't say. */
export type Recipe =
  | { readonly is: "string" | "bigint" | "url" | "bytes"; readonly text: string }
  | { readonly is: "number" | "date"; readonly number: number | "NaN" | "-0" | "Infinity" | "-Infinity" }
  | { readonly is: "true" | "false" | "null" | "undefined" }
  | { readonly is: "array" | "set"; readonly items: readonly Recipe[] }
  | { readonly is: "object" | "bare object" | "map"; readonly entries: readonly (readonly [string, Recipe])[] }
  /** What can't be kept, on its own or on a value that could be. */
  | { readonly is: "hostile"; readonly what: Hostile };

type Hostile = keyof typeof HOSTILE;

const HOSTILE = {
  function: () => () => 1,
  symbol: () => Symbol("s"),
  "class instance": () =>
    new (class Money {
      cents = 100;
    })(),
  "array subclass": () => new (class List extends Array {})(),
  "object with another object's prototype": () => Object.create({ inherited: 1 }) as object,
  "object with a symbol": () => ({ [Symbol("s")]: 1 }),
  "object with toJSON": () => ({ toJSON: () => "other" }),
  "object with a hidden toJSON": () => Object.defineProperty({}, "toJSON", { value: () => "other" }),
  "object with a hidden property": () => Object.defineProperty({ a: 1 }, "b", { value: 2 }),
  "array with a name": () => Object.assign([1, 2], { total: 3 }),
  "array with a name that looks like an index": () => Object.assign([1], { "01": 3 }),
  "empty array with a name": () => Object.assign([], { "-1": 3 }),
  "Map with a name": () => Object.assign(new Map(), { a: 1 }),
  "Date with a name": () => Object.assign(new Date(0), { a: 1 }),
  "Date with toJSON": () => Object.assign(new Date(0), { toJSON: () => "other" }),
  "boxed string": () => Object("text") as object,
  Buffer: () => Buffer.from("bytes"),
  RegExp: () => /x/u,
  Error: () => new Error("e"),
  Promise: () => Promise.resolve(1),
  WeakMap: () => new WeakMap(),
  ArrayBuffer: () => new ArrayBuffer(2),
  DataView: () => new DataView(new ArrayBuffer(2)),
  Float64Array: () => new Float64Array(2),
  cycle: () => {
    const list: unknown[] = [];
    list.push({ list });
    return list;
  },
  "cycle through a Map": () => {
    const map = new Map<string, unknown>();
    return map.set("map", [map]);
  },
  "mostly empty array": () => Object.assign([], { length: 4_000_000_000 }),
} as const satisfies Record<string, () => unknown>;

const key = fc.oneof(
  fc.constantFrom("a", "b", "", "0", "-1", "$", "$date", "$map", "$undefined", "$$", "length", "key", ...INHERITED),
  anyText(),
);
const text = fc.oneof(fc.constantFrom("", "{", '{"$date":0}', '"', "\\", "\u2028", "\ud800"), anyText(12));
const number = fc.oneof(
  fc.constantFrom("NaN" as const, "-0" as const, "Infinity" as const, "-Infinity" as const, 0, 1e21, 5e-324, 2 ** 53),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
);
const bigint = fc
  .oneof(
    fc.bigInt(),
    // About where the way of writing changes.
    fc.tuple(fc.constantFrom(1n, -1n), fc.bigInt({ min: -2n, max: 2n })).map(([sign, by]) => sign * (2n ** 1024n + by)),
  )
  .map(String);
const url = fc.oneof(
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  fc.constantFrom(
    "data:a  b ?q",
    "data:x ",
    "blob:x#f ",
    "file:///C|/x",
    "x:/.//y",
    "https://a:b@h:443/%2e/..//",
    "x://h",
  ),
);
const DIGITS = /^-?\d+$/;

const { recipe } = fc.letrec<{ recipe: Recipe; entries: [string, Recipe][] }>((tie) => ({
  recipe: fc.oneof(
    { maxDepth: 4, depthSize: "small", withCrossShrink: true },
    { weight: 3, arbitrary: fc.record({ is: fc.constant("string" as const), text }) },
    { weight: 3, arbitrary: fc.record({ is: fc.constantFrom("number" as const, "date" as const), number }) },
    {
      weight: 2,
      arbitrary: fc.record({ is: fc.constantFrom("true" as const, "null" as const, "undefined" as const) }),
    },
    fc.record({ is: fc.constant("bigint" as const), text: bigint }),
    fc.record({ is: fc.constant("url" as const), text: url }),
    fc.record({ is: fc.constant("bytes" as const), text: anyText(5) }),
    {
      weight: 3,
      arbitrary: fc.record({
        is: fc.constantFrom("array" as const, "set" as const),
        items: fc.array(tie("recipe"), { maxLength: 4 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        is: fc.constantFrom("object" as const, "object" as const, "bare object" as const, "map" as const),
        entries: tie("entries"),
      }),
    },
  ),
  entries: fc.array(fc.tuple(key, tie("recipe")), { maxLength: 4 }),
}));

export const recipes: fc.Arbitrary<Recipe> = recipe;
export const hostileRecipes: fc.Arbitrary<Recipe> = fc.record({
  is: fc.constant("hostile" as const),
  what: fc.constantFrom(...(Object.keys(HOSTILE) as Hostile[])),
});

/** The value of a recipe. */
export function made(given: Recipe): unknown {
  switch (given.is) {
    case "string":
      return given.text;
    case "bigint":
      return BigInt(DIGITS.test(given.text) ? given.text : 0);
    case "url":
      return new URL(URL.canParse(given.text) ? given.text : "x:y");
    case "bytes":
      return new Uint8Array(Buffer.from(given.text, "utf16le"));
    case "number":
      return Number(given.number);
    case "date":
      return new Date(Number(given.number));
    case "true":
      return true;
    case "false":
      return false;
    case "null":
      return null;
    case "undefined":
      return undefined;
    case "array":
      return given.items.map(made);
    case "set":
      return new Set(given.items.map(made));
    case "map":
      return new Map(given.entries.map(([name, value]) => [name, made(value)]));
    case "object":
      // Unlike an assignment, this makes a property even of __proto__.
      return Object.fromEntries(given.entries.map(([name, value]) => [name, made(value)]));
    case "bare object":
      return Object.setPrototypeOf(Object.fromEntries(given.entries.map(([name, value]) => [name, made(value)])), null);
    case "hostile":
      return HOSTILE[given.what]();
  }
}

/** Puts a value into another, so that only who looks through all of it finds it. */
export function within(outer: Recipe, inner: Recipe, at: number): Recipe {
  switch (outer.is) {
    case "array":
    case "set": {
      if (outer.items.length === 0) return { ...outer, items: [inner] };
      const index = at % outer.items.length;
      return { ...outer, items: outer.items.with(index, within(outer.items[index]!, inner, Math.floor(at / 4))) };
    }
    case "object":
    case "bare object":
    case "map": {
      if (outer.entries.length === 0) return { ...outer, entries: [["only", inner]] };
      // The last of a name counts.
      const index = outer.entries.length - 1;
      const [name, value] = outer.entries[index]!;
      return { ...outer, entries: outer.entries.with(index, [name, within(value, inner, Math.floor(at / 4))]) };
    }
    default:
      return inner;
  }
}
