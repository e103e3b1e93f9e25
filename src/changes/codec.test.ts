import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { failureOf } from "../../test/support/failures.ts";
import { seededRandom } from "../../test/support/random.ts";
import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary } from "./codec.ts";

const limits = { bytes: 262_144, depth: 32 };
const decodeError = expect.objectContaining({ name: "SessionError", code: "ERR_SESSION_DECODE" });

/** Equal in every respect that a session keeps: stricter than toEqual on -0, prototypes, kinds and hidden keys. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const kind = (value: object) => Object.prototype.toString.call(value);
  if (kind(a) !== kind(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof URL) return a.href === (b as URL).href;
  if (a instanceof Uint8Array) return Buffer.from(a).equals(Buffer.from(b as Uint8Array));
  if (a instanceof Map || a instanceof Set) return same(Array.from(a), Array.from(b as Set<unknown>));
  const keys = Object.keys(a);
  const others = Object.keys(b);
  return (
    keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && same((a as Dictionary)[key], (b as Dictionary)[key]))
  );
}

const STRINGS = ["", "tea", '{"$date":0}', '{"$', "\ud800", "a\udfffb", "\u2028\u2029", "\0", "😀", "__proto__", '"\\'];
const KEYS = [
  "a",
  "b",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "$",
  "$$",
  "$date",
  "$map",
  "$undefined",
];
KEYS.push("$unknown", "0", "10", "", "\ud800", "then", "length", "prototype", "a b");
const NUMBERS = [0, -0, 1, -1.5, Number.NaN, Infinity, -Infinity, Number.MAX_VALUE, 5e-324, 2 ** 53 + 2, 1e21];

/** Seeded values of every kept type, nested in each other. */
function generator(seed: number) {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const many = <T>(make: () => T): T[] => Array.from({ length: below(4) }, make);

  function dictionary(depth: number, prototype: object | null): Dictionary {
    const object = Object.create(prototype) as Dictionary;
    for (const key of many(() => oneOf(KEYS))) {
      Object.defineProperty(object, key, { value: value(depth), enumerable: true, writable: true, configurable: true });
    }
    return object;
  }

  function value(depth: number): unknown {
    switch (below(depth > 0 ? 16 : 10)) {
      case 0:
        return oneOf(STRINGS);
      case 1:
        return oneOf(NUMBERS);
      case 2:
        return random() < 0.5;
      case 3:
        return null;
      case 4:
        return undefined;
      case 5:
        return BigInt(below(1000) - 500) * 10n ** BigInt(below(40));
      case 6:
        return new Date(oneOf([0, -1, 8.64e15, Number.NaN, below(1e9)]));
      case 7:
        return Uint8Array.from(many(() => below(256)));
      case 8:
        return new URL(oneOf(["https://a.example/?q=%20#x", "data:,x", "file:///tmp/ü"]));
      case 9:
        return below(1e6) / 1000;
      case 10:
      case 11:
        return many(() => value(depth - 1));
      case 12:
        return new Map(many(() => [value(depth - 1), value(depth - 1)]));
      case 13:
        return new Set(many(() => value(depth - 1)));
      case 14:
        return dictionary(depth - 1, null);
      default:
        return dictionary(depth - 1, Object.prototype);
    }
  }
  return { value, dictionary };
}

describe("encode and decode", () => {
  it("give back 5,000 random nests of every kept type, and the same text again", () => {
    const { dictionary } = generator(1);
    const failed: string[] = [];
    for (let i = 0; i < 5000; i++) {
      const data = dictionary(5, null);
      const text = encode(data, limits);
      const back = decode(text);
      if (!same(data, back) || encode(back, limits) !== text) failed.push(text);
    }
    expect(failed).toEqual([]);
  });

  it("leave Object.prototype and every other prototype as they were", () => {
    const names = () =>
      [Object, Array, Map, Set, Date, URL, Uint8Array].map((one) => Reflect.ownKeys(one.prototype).length);
    const before = names();
    for (const payload of [
      '{"__proto__":{"polluted":1}}',
      '{"a":{"__proto__":{"polluted":1}}}',
      '{"a":{"$":{"__proto__":{"polluted":{"$date":0}}}}}',
      '{"a":{"constructor":{"prototype":{"polluted":{"$date":0}}}}}',
      '{"a":[{"__proto__":{"$date":0},"polluted":1}]}',
      '{"a":{"$map":[["__proto__",{"__proto__":{"polluted":{"$set":[]}}}]]}}',
    ]) {
      const data = decode(payload);
      expect((data as { polluted?: unknown }).polluted).toBeUndefined();
      const nested = data["a"];
      if (nested && !Array.isArray(nested)) expect((nested as { polluted?: unknown }).polluted).toBeUndefined();
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
      expect(encode(decode(encode(data, limits)), limits)).toBe(encode(data, limits));
    }
    expect(names()).toEqual(before);
  });

  it("make a dictionary in which no key means more than itself", () => {
    const data = decode("{}");
    expect(Object.getPrototypeOf(data)).toBeNull();
    expect("toString" in data || "__proto__" in data || "constructor" in data).toBe(false);
    data["__proto__"] = { admin: true };
    expect((data as { admin?: unknown }).admin).toBeUndefined();
    const back = decode(encode(data, limits));
    expect(Object.keys(back)).toEqual(["__proto__"]);
    expect(back["__proto__"]).toEqual({ admin: true });
  });

  it("keep an application's own objects that look like tags", () => {
    for (const mine of [
      { $date: 0 },
      { $: 1 },
      { $: { $: { $date: 0 } } },
      { $date: new Date(5) },
      { $undefined: undefined },
      { $map: new Map([[{ $set: 1 }, { $: undefined }]]) },
      { $date: 0, more: 1 },
      { $date: 0, $set: 1 },
      { $nonsense: [{ $bigint: 5n }] },
    ]) {
      expect(decodeValue(encodeValue(mine, "x", limits))).toStrictEqual(mine);
      expect(same(decode(encode(mine, limits)), mine)).toBe(true);
    }
  });

  it("never take text for a tag", () => {
    for (const text of ['{"$date":0}', '{"$', '\\{"$bigint":"1"}', '"},{"$date":0}']) {
      expect(decode(encode({ text, [text]: text }, limits))).toEqual(decode(JSON.stringify({ text, [text]: text })));
      expect(decode(encode({ text, when: new Date(7) }, limits))["text"]).toBe(text);
    }
  });

  it("share nothing with what they were given", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const nested = { bytes, list: [1] };
    const text = encode({ nested }, limits);
    bytes[0] = 9;
    nested.list.push(2);
    const back = decode(text)["nested"] as typeof nested;
    expect(Array.from(back.bytes)).toEqual([1, 2, 3]);
    expect(back.list).toEqual([1]);
    expect(Object.getPrototypeOf(back.bytes)).toBe(Uint8Array.prototype);
  });

  it("keep a part of a larger buffer as that part", () => {
    const part = new Uint8Array(Uint8Array.of(0, 1, 2, 3, 4).buffer, 1, 3);
    expect(decode(encode({ part }, limits))["part"]).toEqual(Uint8Array.of(1, 2, 3));
  });

  it("fill the holes of an array with undefined", () => {
    // oxlint-disable-next-line no-sparse-arrays -- a hole is the point
    const holes = [1, , 3];
    const back = decode(encode({ holes }, limits))["holes"] as unknown[];
    expect(back).toStrictEqual([1, undefined, 3]);
    expect(Object.keys(back)).toEqual(["0", "1", "2"]);
  });

  it("keep the same object in two places as two", () => {
    const shared = { n: 1 };
    const back = decode(encode({ a: shared, b: [shared, shared] }, limits)) as { a: object; b: object[] };
    expect(back).toEqual({ a: { n: 1 }, b: [{ n: 1 }, { n: 1 }] });
    expect(back.a).not.toBe(back.b[0]);
  });
});

describe("encode refuses what can't be kept, and names its path", () => {
  class Cart {
    items = [];
  }
  class MyDate extends Date {}
  class MyMap extends Map {}
  class MyArray extends Array {}
  const cycle: Dictionary = { list: [new Map()] };
  ((cycle["list"] as unknown[])[0] as Map<string, unknown>).set("back", cycle);
  const arrayCycle: unknown[] = [];
  arrayCycle.push([arrayCycle]);
  const setCycle = new Set<unknown>();
  setCycle.add({ inner: setCycle });
  const mapKeyCycle = new Map<unknown, unknown>();
  mapKeyCycle.set(mapKeyCycle, 1);

  it.each<[string, Dictionary, string]>([
    ["a function", { a: () => 1 }, "session.data.a can't be kept in a session: it is a function"],
    ["a symbol", { a: [Symbol("s")] }, "session.data.a[0] can't be kept in a session: it is a symbol"],
    ["a nested function", { a: { b: [0, { "c-d": () => 1 }] } }, 'session.data.a.b[1]["c-d"] can\'t'],
    ["an awkward key", { "": { "a.b": { 1: Symbol("s") } } }, 'session.data[""]["a.b"]["1"] can\'t'],
    [
      "a symbol for a key",
      { a: { [Symbol("s")]: 1 } },
      "session.data.a can't be kept in a session: it is an object with a symbol for a key",
    ],
    ["a class instance", { a: new Cart() }, "session.data.a can't be kept in a session: it is an instance of Cart"],
    [
      "a nameless class",
      {
        a: new (class {
          items = [];
        })(),
      },
      "session.data.a can't be kept in a session: it is an instance of a class",
    ],
    ["a subclass of Date", { a: new MyDate() }, "an instance of MyDate"],
    [
      "a subclass of Map",
      { a: { b: new MyMap() } },
      "session.data.a.b can't be kept in a session: it is an instance of MyMap",
    ],
    ["a subclass of Array", { a: new MyArray() }, "an instance of MyArray"],
    [
      "a Buffer",
      { a: Buffer.of(1) },
      "session.data.a can't be kept in a session: it is a Buffer, which would come back as bytes: give new Uint8Array(buffer)",
    ],
    [
      "a name on an array",
      { a: { rows: Object.assign([1, 2], { total: 7 }) } },
      'session.data.a.rows can\'t be kept in a session: it is an Array that carries a property, "total"',
    ],
    [
      "a name on an array with a hole",
      { a: Object.assign(Array(2), { 1: 1, x: 1 }) },
      'an Array that carries a property, "x"',
    ],
    ["a name on an empty array", { a: Object.assign([], { "": 1 }) }, 'an Array that carries a property, ""'],
    ["a negative index", { a: Object.assign([1], { "-1": 1 }) }, 'an Array that carries a property, "-1"'],
    ["an index with a zero", { a: Object.assign([1], { "01": 1 }) }, 'an Array that carries a property, "01"'],
    ["the index beyond the last", { a: Object.assign([1], { 4294967295: 1 }) }, 'a property, "4294967295"'],
    ["what a match of an expression carries", { a: /(b)/.exec("abc") }, 'an Array that carries a property, "index"'],
    [
      "a name on a long array of objects",
      {
        a: Object.assign(
          Array.from({ length: 500 }, () => ({})),
          { total: 7 },
        ),
      },
      'an Array that carries a property, "total"',
    ],
    ["toJSON on an array", { a: Object.assign([1], { toJSON: () => "mine" }) }, 'a property, "toJSON"'],
    [
      "a name on a Map",
      { a: [Object.assign(new Map(), { userId: 1 })] },
      'session.data.a[0] can\'t be kept in a session: it is a Map that carries a property, "userId"',
    ],
    ["a name on a Set", { a: Object.assign(new Set(), { userId: 1 }) }, 'a Set that carries a property, "userId"'],
    ["a name on a Date", { a: Object.assign(new Date(0), { zone: "UTC" }) }, 'a Date that carries a property, "zone"'],
    ["a name on a URL", { a: Object.assign(new URL("data:,x"), { zone: 1 }) }, 'a URL that carries a property, "zone"'],
    [
      "a property that is not enumerable",
      { a: { b: Object.defineProperty({ c: 1 }, "d", { value: 2 }) } },
      'session.data.a.b can\'t be kept in a session: it is an object with "d", which is not enumerable',
    ],
    [
      "a getter that is not enumerable",
      { a: Object.defineProperty({ c: 1 }, "d", { get: () => 2 }) },
      'an object with "d", which is not enumerable',
    ],
    ["an array that pretends to be an object", { a: Object.setPrototypeOf([1], null) as unknown }, '"length", which'],
    ["an array of holes", { a: Object.assign([], { 4294967294: 1 }) }, "an array with more holes than elements"],
    ["another typed array", { a: new Uint16Array(1) }, "an instance of Uint16Array"],
    ["an ArrayBuffer", { a: new ArrayBuffer(1) }, "an instance of ArrayBuffer"],
    ["a regular expression", { a: /x/ }, "an instance of RegExp"],
    ["an error", { a: new Error("x") }, "an instance of Error"],
    ["a promise", { a: Promise.resolve() }, "it is a promise, which has to be awaited"],
    ["a boxed string", { a: Object("x") as unknown }, "an instance of String"],
    ["a boxed symbol", { a: Object(Symbol("s")) as unknown }, "an instance of Symbol"],
    ["an heir of a plain object", { a: Object.create({ b: 1 }) as unknown }, "session.data.a can't be kept"],
    [
      "an heir of nothing much",
      { a: Object.create(Object.create(null) as object) as unknown },
      "an instance of a class",
    ],
    [
      "a toJSON method",
      { a: { toJSON: () => 1 } },
      "session.data.a.toJSON can't be kept in a session: it is a function",
    ],
    ["a cycle", cycle, "session.data.list[0][0][1] can't be kept in a session: it is a cycle"],
    ["a cycle through an array", { a: arrayCycle }, "session.data.a[0][0] can't be kept in a session: it is a cycle"],
    ["a cycle through a set", { a: setCycle }, "session.data.a[0].inner can't be kept in a session: it is a cycle"],
    [
      "a cycle through a map's key",
      { a: mapKeyCycle },
      "session.data.a[0][0] can't be kept in a session: it is a cycle",
    ],
    [
      "a value in a map",
      { m: new Map([["k", () => 1]]) },
      "session.data.m[0][1] can't be kept in a session: it is a function",
    ],
    [
      "a key of a map",
      { m: new Map([[() => 1, 1]]) },
      "session.data.m[0][0] can't be kept in a session: it is a function",
    ],
    [
      "a member of a set",
      { s: new Set([1, Symbol("s")]) },
      "session.data.s[1] can't be kept in a session: it is a symbol",
    ],
  ])("%s", (_, data, message) => {
    const error = failureOf(() => encode(data, limits));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).toMatch(/keep plain objects, arrays/);
  });

  it("a pretender with Date's, URL's or Map's prototype", () => {
    for (const prototype of [Date.prototype, URL.prototype, Map.prototype, Set.prototype]) {
      expect(failureOf(() => encode({ a: Object.create(prototype) as unknown }, limits))).toBeInstanceOf(TypeError);
    }
  });

  it("an object of another realm", () => {
    expect(failureOf(() => encode({ a: runInNewContext("({})") as unknown }, limits))).toBeInstanceOf(TypeError);
  });

  it("symbols at the top", () => {
    expect(() => encode({ [Symbol("s")]: 1 }, limits)).toThrow(/^session\.data can't be kept.*symbol for a key/);
  });
});

describe("encode keeps", () => {
  it("what a getter of a plain object gives, as a value", () => {
    const { a } = decode(
      encode(
        {
          a: {
            get now() {
              return 5;
            },
          },
        },
        limits,
      ),
    ) as { a: object };
    expect(Object.getOwnPropertyDescriptor(a, "now")).toMatchObject({ value: 5 });
  });

  it("what is frozen, sealed or not extensible", () => {
    const data = { a: Object.freeze({ b: Object.freeze([1]) }), c: Object.seal({}), d: Object.preventExtensions([2]) };
    expect(decode(encode(data, limits))).toEqual(data);
  });

  it("arrays of any length and depth, without a name on them", () => {
    for (const length of [0, 1, 2, 64, 65, 1000, 120_000]) {
      for (const make of [() => 1, () => ({}), () => null]) {
        const a = Array.from({ length }, make);
        expect(decode(encode({ a }, BOUNDLESS))["a"]).toEqual(a);
      }
    }
  });
});

describe("encode and the limits", () => {
  const nest = (levels: number): unknown => (levels === 0 ? 1 : { d: nest(levels - 1) });
  const nestedArrays = (levels: number): unknown => (levels === 0 ? 1 : [nestedArrays(levels - 1)]);

  it("take as many levels as the limit says and not one more", () => {
    for (const depth of [1, 2, 32]) {
      const just = { bytes: Infinity, depth };
      expect(failureOf(() => encode({ a: nest(depth) }, just))).toBe("nothing was thrown");
      expect(() => encode({ a: nest(depth + 1) }, just)).toThrow(`nested deeper than limits.depth (${depth})`);
      expect(() => encode({ a: nestedArrays(depth + 1) }, just)).toThrow(/^session\.data\.a(\[0\])+ is nested/);
    }
  });

  it("survive an object nested 100,000 levels deep", () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = i % 2 ? [deep] : { d: deep };
    expect(() => encode({ deep }, limits)).toThrow("nested deeper than limits.depth (32)");
  });

  it("count bytes, not characters", () => {
    const data = { text: "ü".repeat(100) };
    const size = Buffer.byteLength(JSON.stringify(data));
    expect(encode(data, { bytes: size, depth: 32 })).toBe(JSON.stringify(data));
    expect(() => encode(data, { bytes: size - 1, depth: 32 })).toThrow(`limits.bytes (${size - 1})`);
  });

  it("name the largest key of a session that is too large, and its size", () => {
    const data = { small: "x", "the big one": "y".repeat(5000), other: "z".repeat(4000) };
    expect(() => encode(data, { bytes: 6000, depth: 32 })).toThrow(
      'session.data is larger than limits.bytes (6000); the largest part is session.data["the big one"] with 5002 bytes',
    );
  });

  it("shows the beginning of a key that a client may have chosen", () => {
    const key = "k".repeat(4000);
    const error = failureOf(() => encode({ [key]: "x".repeat(3000) }, { bytes: 6000, depth: 32 })) as Error;
    expect(error.message).toContain(`session.data["${key.slice(0, 100)}…"]`);
    expect(error.message.length).toBeLessThan(300);
  });
});

describe("decode", () => {
  it.each([
    ["", "nothing"],
    ["{", "half an object"],
    ['{"a":1}x', "something behind it"],
    ["undefined", "no JSON"],
    ['{"a":{"$nonsense":1}}', "an unknown tag"],
    ['{"a":{"$Date":1}}', "a tag in the wrong case"],
    ['{"a":{"$__proto__":1}}', "a tag of a prototype's"],
    ['{"a":{"$toString":1}}', "a tag that every object has"],
    ['{"a":{"$map":5}}', "a map of a number"],
    ['{"a":{"$map":"ab"}}', "a map of text"],
    ['{"a":{"$map":[1]}}', "a map without pairs"],
    ['{"a":{"$map":[null]}}', "a map of null"],
    ['{"a":{"$map":{}}}', "a map of an object"],
    ['{"a":{"$set":5}}', "a set of a number"],
    ['{"a":{"$set":{}}}', "a set of an object"],
    ['{"a":{"$bigint":"1.5"}}', "half a bigint"],
    ['{"a":{"$bigint":null}}', "no bigint"],
    ['{"a":{"$bigint":{}}}', "an object for a bigint"],
    ['{"a":{"$url":"nowhere"}}', "no address"],
    ['{"a":{"$url":5}}', "a number for an address"],
    ['{"a":{"$bytes":5}}', "a number for bytes"],
    ['{"a":{"$bytes":null}}', "null for bytes"],
    ['{"a":{"$bytes":{}}}', "an object for bytes"],
    ['{"a":{"$":null}}', "null where an object is wrapped"],
  ])("refuses %s (%s) with ERR_SESSION_DECODE", (text) => {
    expect(failureOf(() => decode(text))).toEqual(decodeError);
  });

  describe("refuses what encode never writes", () => {
    it.each([
      "null",
      "1",
      '"text"',
      "[1]",
      '{"$date":0}',
      '{"$undefined":0}',
      '{"$map":[]}',
      '{"$":5}',
      '{"a":{"$set":"abc"}}',
      '{"a":{"$set":null}}',
      '{"a":{"$map":[{"0":1,"1":2}]}}',
      '{"a":{"$bytes":[1,2]}}',
      '{"a":{"$bytes":{"length":1000}}}',
      '{"a":{"$bytes":"@@@"}}',
      '{"a":{"$date":"2020"}}',
      '{"a":{"$bigint":true}}',
      '{"a":{"$number":{}}}',
      '{"a":{"$":5}}',
    ])("%s", (text) => {
      expect(failureOf(() => decode(text))).toEqual(decodeError);
    });
  });

  it("never crashes on text that nests 100,000 levels deep", () => {
    const levels = 100_000;
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
      ['{"$":{"a":', "}}"],
      ['{"$map":[[1,', "]]}"],
      ['{"$set":[', "]}"],
    ] as const) {
      const text = `{"x":${open.repeat(levels)}1${close.repeat(levels)}}`;
      const found = failureOf(() => decode(text));
      if (found !== "nothing was thrown") expect(found).toEqual(decodeError);
      // What could be read is refused when it is to be written.
      else expect(failureOf(() => encode(decode(text), limits))).toMatchObject({ code: "ERR_SESSION_TOO_LARGE" });
    }
  });

  it("makes data or ERR_SESSION_DECODE of 20,000 damaged texts, and never anything else", () => {
    const { dictionary } = generator(3);
    const random = seededRandom(4);
    const pieces = [
      '{"$date":',
      '{"$":',
      '{"$map":[[',
      '"$set"',
      "null",
      "}",
      "]",
      "{",
      '"',
      "\\u0000",
      "1e999",
      "$",
      ",",
    ];
    const others: unknown[] = [];
    for (let i = 0; i < 20_000; i++) {
      const text = encode({ x: dictionary(3, null) }, limits);
      const at = Math.floor(random() * text.length);
      const piece = pieces[Math.floor(random() * pieces.length)]!;
      const damaged = text.slice(0, at) + piece + text.slice(at + Math.floor(random() * 6));
      try {
        const data = decode(damaged);
        if (Object.getPrototypeOf(data) !== null) others.push(damaged);
      } catch (error) {
        if ((error as { code?: unknown }).code !== "ERR_SESSION_DECODE") others.push(damaged);
      }
    }
    expect(others).toEqual([]);
  });

  it("reads a large session in good time", () => {
    const data = { list: Array.from({ length: 20_000 }, (_, i) => ({ i, at: new Date(i) })) };
    expect(same(decode(encode(data, BOUNDLESS)), data)).toBe(true);
  });

  it.each(["", " 7 ", "0x10 ", "0b1", "1_0", "--1", "+1", "1e3", "0X1", "9".repeat(400)])(
    "takes the text %j for no BigInt",
    (text) => {
      expect(() => decodeValue(JSON.stringify({ $bigint: text }))).toThrow(/data are malformed/);
    },
  );

  it("writes a BigInt of many digits in hexadecimal, whose work grows with their number only", () => {
    expect(encodeValue(-(2n ** 1024n), "value", BOUNDLESS)).toBe(`{"$bigint":"-0x1${"0".repeat(256)}"}`);
    expect(encodeValue(2n ** 1024n - 1n, "value", BOUNDLESS)).toMatch(/^\{"\$bigint":"\d{309}"\}$/);
  });
});
