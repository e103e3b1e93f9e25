import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary } from "../../../src/changes/codec.ts";
import { SessionError } from "../../../src/errors.ts";
import { growth } from "../growth.ts";
import { INHERITED, mutated } from "../mutations.ts";
import { target, thrownBy } from "../target.ts";
import { hostileRecipes, made, recipes, within } from "./recipes.ts";

const LIMITS = { bytes: 400, depth: 4 };
const SAMPLES = [
  '{"a":{"$date":0},"b":[{"$undefined":0},{"$number":"NaN"}],"c":{"$":{"$date":"mine"}}}',
  '{"m":{"$map":[["a",1],["b",{"$set":[1,{"$bigint":"-12"}]}]]},"u":{"$url":"https://example.com/"}}',
  '{"bytes":{"$bytes":"AAECAw=="},"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
  '{"$":{"$":{"$map":[[{"$set":[]},{"$map":[]}]]}}}',
  '{"cart":{"items":["tea",1,true,null,-0.5e-7]},"":"\\ud800"}',
];
const TAGS = ["$", "$date", "$map", "$set", "$bigint", "$number", "$bytes", "$url", "$undefined", "$other"];
const PIECES = [
  ...TAGS.flatMap((tag) => [`"${tag}"`, `{"${tag}":`]),
  ...INHERITED.map((name) => `"${name}":`),
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "null",
  "1e999",
  "-0",
  '""',
  "[]",
  "{}",
  " ",
  "9".repeat(40),
  '"0x10"',
  '" 7 "',
];

export const dataTargets = [
  target({
    name: "data: hostile text",
    runs: 2000,
    inputs: fc.oneof(
      { weight: 4, arbitrary: mutated(fc.constantFrom(...SAMPLES), PIECES) },
      fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => pieces.join("")),
    ),
    check(text) {
      let data: Dictionary | undefined;
      const error = thrownBy(() => {
        data = decode(text);
      });
      let value: unknown;
      const valueError = thrownBy(() => {
        value = decodeValue(text);
      });
      for (const each of [error, valueError]) {
        assert.ok(
          each === undefined || (each instanceof SessionError && each.code === "ERR_SESSION_DECODE"),
          String(each),
        );
      }
      if (valueError === undefined) {
        isData(value);
        const again = encodeValue(value, "value", BOUNDLESS);
        assert.ok(same(value, decodeValue(again)));
        assert.equal(encodeValue(decodeValue(again), "value", BOUNDLESS), again);
      }
      if (data !== undefined) assert.equal(Object.getPrototypeOf(data), null);
    },
  }),
  target({
    name: "data: written and read",
    runs: 1500,
    inputs: recipes,
    check(recipe) {
      const value = made(recipe);
      const text = encodeValue(value, "value", BOUNDLESS);
      const back = decodeValue(text);
      isData(back);
      assert.ok(same(value, back), `came back otherwise: ${text}`);
      assert.equal(encodeValue(back, "value", BOUNDLESS), text);
    },
  }),
  target({
    name: "data: hostile values",
    runs: 1500,
    inputs: fc.record({ outer: recipes, hostile: hostileRecipes, at: fc.nat(255) }),
    check({ outer, hostile, at }) {
      const error = thrownBy(() =>
        encodeValue({ it: made(within(outer, hostile, at)) }, "session.data", { bytes: 400, depth: 16 }),
      );
      assert.ok(error instanceof TypeError, `was kept, or failed otherwise: ${String(error)}`);
      assert.match(error.message, /^session\.data\.it\b.* can't be kept in a session: it is /s);
    },
  }),
  target({
    name: "data: limits",
    inputs: recipes,
    check(recipe) {
      const data = { it: made(recipe) };
      let text: string | undefined;
      const error = thrownBy(() => {
        text = encode(data, LIMITS);
      });
      if (text !== undefined) assert.ok(Buffer.byteLength(text) <= LIMITS.bytes);
      else assert.ok(error instanceof TypeError || error instanceof SessionError, String(error));
    },
  }),
  growth(
    "data: decoding",
    ['{"$date":0}', "[", "]", "{", "}", ",", '"', "1", '{"$map":[', '["a",', "\\", "="],
    (text) => decodeValue(text),
  ),
  growth(
    "data: decoding a list",
    ['{"$date":0},', "1,", '"a",', '{"$map":[[1,2]]},', '{"$":{"$":1}},', '{"__proto__":1},', "[[[]]],"],
    (text) => decodeValue(text),
    (text) => `[${text}{"$set":[]}]`,
  ),
  growth(
    "data: decoding one value",
    ["A", "==", "1", "a", "%", "/", "@", "."],
    (text) => decodeValue(text),
    (text) => `[{"$bytes":${JSON.stringify(text)}},{"$url":${JSON.stringify(`x:${text}`)}}]`,
  ),
  growth("data: encoding", ["[", "a", '"', "\\", "\ud800", "{", "\u0000"], (text) =>
    encodeValue(
      { [text]: text, list: Array.from(text), dates: Array.from(text, () => new Date(0)) },
      "value",
      BOUNDLESS,
    ),
  ),
  growth(
    "data: one large number",
    ["1", "9", "0"],
    (text) => decodeValue(encodeValue([BigInt(`0x${text}`), -BigInt(`0x${text}`)], "value", BOUNDLESS)),
    (text) => `1${text}`,
  ),
  target({
    name: "data: one value many times",
    runs: 50,
    inputs: fc.record({
      levels: fc.integer({ min: 1, max: 60 }),
      width: fc.integer({ min: 2, max: 4 }),
      isMap: fc.boolean(),
      innermost: fc.constantFrom("text" as const, "bytes" as const, "URL" as const),
    }),
    check({ levels, width, isMap, innermost }) {
      const text = "tea".repeat(1000);
      const innermosts = { text, bytes: new TextEncoder().encode(text), URL: new URL(`x:${text}`) };
      let value: unknown = innermosts[innermost];
      for (let i = 0; i < levels; i += 1) {
        const children = Array.from({ length: width }, () => value);
        value = isMap ? new Map(children.map((child, key) => [key, child])) : children;
      }
      // As a text it is as large as all its copies.
      const error = thrownBy(() => encode({ value }, { bytes: 10_000, depth: 100 }));
      if (width ** levels > 3) assert.ok(error instanceof SessionError && error.code === "ERR_SESSION_TOO_LARGE");
    },
  }),
  growth("data: larger than the limit", ["a", '"', "\ud800"], (text) => {
    const others = Object.fromEntries(Array.from({ length: text.length / 16 }, (_, i) => [`key${i}`, i]));
    return encode({ largest: text, ...others }, { bytes: 1000, depth: 4 });
  }),
];

const isPlain = (value: object): boolean =>
  Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null;

/** Whether two values are the same data; an object may have a prototype or none. */
function same(one: unknown, other: unknown): boolean {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null)
    return Object.is(one, other);
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && Array.from(one).every((item, i) => same(item, other[i]));
  }
  if (one instanceof Map && other instanceof Map) return same([...one], [...other]);
  if (one instanceof Set && other instanceof Set) return same([...one], [...other]);
  if (one instanceof Date && other instanceof Date) return Object.is(one.getTime(), other.getTime());
  if (one instanceof URL && other instanceof URL) return one.href === other.href;
  if (one instanceof Uint8Array && other instanceof Uint8Array) return isDeepStrictEqual(one, other);
  if (!isPlain(one) || !isPlain(other)) return false;
  const names = Object.keys(one);
  return (
    isDeepStrictEqual(names, Object.keys(other)) &&
    names.every((name) =>
      same(Object.getOwnPropertyDescriptor(one, name)!.value, Object.getOwnPropertyDescriptor(other, name)!.value),
    )
  );
}

/** Decoding makes values of these kinds, without anything on them that was not in the text. */
function isData(value: unknown): void {
  if (typeof value !== "object" || value === null) {
    assert.ok(typeof value !== "function" && typeof value !== "symbol");
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  const kinds: unknown[] = [Object, Array, Map, Set, Date, URL, Uint8Array].map((kind) => kind.prototype);
  assert.ok(kinds.includes(prototype), "of another kind");
  if (value instanceof Map || value instanceof Set) for (const item of value) isData(item);
  if (Array.isArray(value) || prototype === Object.prototype) {
    for (const [name, { value: child }] of Object.entries(Object.getOwnPropertyDescriptors(value)))
      if (!(Array.isArray(value) && name === "length")) isData(child);
  }
}
