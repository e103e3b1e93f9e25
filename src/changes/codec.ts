import { createDecodeError, SessionError } from "../errors.ts";
import { printable } from "../printable.ts";

/**
 * Encodes data as JSON. A value that JSON lacks becomes an object with a single key that begins with `$`:
 * `{"$date":0}`. An object of the application that has this form is wrapped once more: `{"$":{"$date":"mine"}}`.
 * Decoding creates data only: it never takes a class, a function or a prototype from the text.
 */

/** The limits of one session's data. */
export interface Limits {
  /** Maximum size of the encoded data in bytes. Default 262144. */
  readonly bytes: number;
  /** Maximum levels of nesting. Default 32. */
  readonly depth: number;
}

/** The limits, and which values are kept. */
export interface DataRules extends Limits {
  /** Values are kept as `JSON.stringify` writes them: what JSON lacks is converted, and no value is refused. Default `false`. */
  readonly asJson?: boolean;
}

/** No limits: for data that were checked before. */
export const BOUNDLESS: Limits = { bytes: Infinity, depth: Infinity };

export type Dictionary = Record<string, unknown>;

/**
 * Encodes a dictionary.
 *
 * @param objects - receives every object in it, in the order of the text.
 * @throws TypeError naming the path of a value that can't be kept: a function, a symbol, a class instance, a cycle.
 * SessionError ERR_SESSION_TOO_LARGE for data larger or deeper than the limits: a user's input may have caused it.
 */
export function encode(data: Dictionary, limits: Limits, objects?: object[]): string {
  const text = written(data, "session.data", limits, objects);
  // A UTF-16 unit takes at most three bytes, so the bytes of most sessions need not be counted.
  if (text === undefined || (text.length * 3 > limits.bytes && Buffer.byteLength(text) > limits.bytes))
    throw tooLarge(data, limits);
  return text;
}

/** Encodes one value. `name` is the beginning of the path in an error. */
export function encodeValue(value: unknown, name: string, limits: Limits, objects?: object[]): string {
  const text = written(value, name, limits, objects);
  if (text === undefined)
    throw new SessionError("ERR_SESSION_TOO_LARGE", `${name} is larger than limits.bytes (${limits.bytes})`);
  return text;
}

/** `undefined` where the text would be far too large. */
function written(value: unknown, name: string, limits: Limits, objects?: object[]): string | undefined {
  room = limits.bytes;
  switch (scan(value, limits.depth, objects)) {
    case Scan.json:
      return JSON.stringify(value);
    case Scan.tagged:
      return JSON.stringify(tagged(value));
    case Scan.tooLarge:
      return undefined;
    default:
      throw explained(value, { name, path: [], ancestors: [], depth: limits.depth });
  }
}

/** Whether JSON keeps a value as it is. */
export function isJson(value: unknown, limits: Limits): boolean {
  room = limits.bytes;
  const found = scan(value, limits.depth);
  // One that is too large is refused by its size, before anybody converts it.
  return found === Scan.json || found === Scan.tooLarge;
}

/** A dictionary without a prototype, so that every key is ordinary data. */
export function decode(text: string): Dictionary {
  // Every new session begins with it. `Object.create(null)` would be slow to fill.
  const data = text === "{}" ? {} : decodeValue(text);
  if (typeof data !== "object" || data === null || kindOf(data) !== "object")
    throw createDecodeError("its data are no dictionary");
  return Object.setPrototypeOf(data, null) as Dictionary;
}

export function decodeValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return text.includes('{"$') ? revived(value) : value;
  } catch (cause) {
    throw createDecodeError("its data are malformed", cause);
  }
}

function tooLarge(data: Dictionary, limits: Limits): SessionError {
  let [largest, most] = ["", -1];
  for (const [key, value] of Object.entries(data)) {
    const size = Buffer.byteLength(encodeValue(value, pathOf("session.data", [key]), limits));
    if (size > most) [largest, most] = [key, size];
  }
  return new SessionError(
    "ERR_SESSION_TOO_LARGE",
    `session.data is larger than limits.bytes (${limits.bytes}); the largest part is ${pathOf("session.data", [largest])} with ${most} bytes`,
  );
}

/** How a value has to be encoded. */
const Scan = { json: 0, tagged: 1, refused: 2, tooLarge: 3 } as const;
type Scan = (typeof Scan)[keyof typeof Scan];

/**
 * The number of bytes that are left, where each value takes at least one. A value may be in others many times: two times on
 * each of 32 levels, its text has gigabytes, and the scan would not end.
 */
let room = Infinity;

/**
 * Scans a value once. It is fast, because every request does it. `depth` is the number of levels that are still
 * allowed.
 */
function scan(value: unknown, depth: number, objects?: object[]): Scan {
  switch (typeof value) {
    case "string":
      return (room -= value.length) < 0 ? Scan.tooLarge : Scan.json;
    case "boolean":
      return Scan.json;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0) ? Scan.json : Scan.tagged;
    case "bigint":
    case "undefined":
      return Scan.tagged;
    case "object":
      return value === null ? Scan.json : scanObject(value, depth, objects);
    default:
      return Scan.refused;
  }
}

function scanObject(value: object, depth: number, objects?: object[]): Scan {
  objects?.push(value);
  const kind = kindOf(value);
  if (kind === undefined) return Scan.refused;
  if (kind === "leaf") {
    room -= value instanceof Uint8Array ? value.length : value instanceof URL ? value.href.length : 0;
    if (room < 0) return Scan.tooLarge;
    return hasNames(value) ? Scan.refused : Scan.tagged;
  }
  if (depth < 0) return Scan.refused;
  let worst: Scan = Scan.json;
  if (kind === "object") {
    const keys = Object.keys(value);
    if (Object.getOwnPropertySymbols(value).length > 0 || hasHidden(value, keys)) return Scan.refused;
    if ((room -= keys.length) < 0) return Scan.tooLarge;
    if (looksTagged(keys)) worst = Scan.tagged;
    for (let i = 0; i < keys.length; i += 1) {
      const found = scan((value as Dictionary)[keys[i]!], depth - 1, objects);
      if (found > Scan.tagged) return found;
      if (found > worst) worst = found;
    }
  } else if (kind === "array") {
    const array = value as unknown[];
    if (isMostlyEmpty(array)) return Scan.refused;
    if ((room -= array.length) < 0) return Scan.tooLarge;
    let isShort = array.length <= LONG_ARRAY;
    for (let i = 0; i < array.length; i += 1) {
      const child = array[i];
      // An array that contains an object is slow to encode anyway, so checking its own names costs little.
      if (typeof child === "object") isShort = true;
      const found = scan(child, depth - 1, objects);
      if (found > Scan.tagged) return found;
      if (found > worst) worst = found;
    }
    if (isShort && namesOn(array) !== undefined) return Scan.refused;
  } else {
    if (hasNames(value)) return Scan.refused;
    worst = Scan.tagged;
    if ((room -= (value as Map<unknown, unknown> | Set<unknown>).size) < 0) return Scan.tooLarge;
    for (const child of value as Iterable<unknown>) {
      const found = scan(child, depth - 1, objects);
      if (found > Scan.tagged) return found;
    }
  }
  return worst;
}

/** A longer array of primitive values is not checked for named properties, because that would double the time. */
const LONG_ARRAY = 64;
/** A longer array must not be mostly holes: they are stored as undefined, which would take too long. */
const HUGE_ARRAY = 100_000;

/** Whether an object has a property that would be left out silently. */
const hasHidden = (object: object, keys: readonly string[]): boolean =>
  Object.getOwnPropertyNames(object).length !== keys.length;

/** Finds the first enumerable name of an array that is not an index. Such names come after the indices. */
function namesOn(array: readonly unknown[]): string | undefined {
  const keys = Object.keys(array);
  if (keys.length === array.length && (keys.length === 0 || keys.at(-1) === String(keys.length - 1))) return undefined;
  return keys.find((key) => !isIndex(key));
}

// 4294967294 is the largest index of an array.
const isIndex = (key: string): boolean => String(Number(key) >>> 0) === key && Number(key) < 2 ** 32 - 1;

/** Whether a Map, a Set, a Date or a URL has properties of its own. Bytes are left out: each one has a name. */
const hasNames = (value: object): boolean => !(value instanceof Uint8Array) && Object.keys(value).length > 0;

const isMostlyEmpty = (array: readonly unknown[]): boolean =>
  array.length > HUGE_ARRAY && Object.keys(array).length * 2 < array.length;

interface Walk {
  readonly name: string;
  readonly path: (string | number)[];
  readonly ancestors: object[];
  readonly depth: number;
}

/** Creates the error for a value that `scan` has refused. It walks through the value again and records the path. */
function explained(value: unknown, walk: Walk): TypeError | SessionError | undefined {
  if (typeof value === "function" || typeof value === "symbol") return refused(`a ${typeof value}`, walk);
  if (typeof value !== "object" || value === null) return undefined;
  const kind = kindOf(value);
  if (kind === undefined) {
    if (Buffer.isBuffer(value))
      return refused("a Buffer, which would come back as bytes: give new Uint8Array(buffer)", walk);
    if (value instanceof Promise) return refused("a promise, which has to be awaited", walk);
    return refused(`an instance of ${value.constructor?.name || "a class"}`, walk);
  }
  if (kind !== "array" && kind !== "object" && hasNames(value))
    return refused(carrying(value, Object.keys(value)[0]!), walk);
  if (kind === "leaf") return undefined;
  if (walk.ancestors.includes(value)) return refused("a cycle", walk);
  if (walk.ancestors.length > walk.depth) {
    const path = pathOf(walk.name, walk.path);
    return new SessionError("ERR_SESSION_TOO_LARGE", `${path} is nested deeper than limits.depth (${walk.depth})`);
  }
  if (Object.getOwnPropertySymbols(value).length > 0) return refused("an object with a symbol for a key", walk);
  if (kind === "array") {
    if (isMostlyEmpty(value as unknown[])) return refused("an array with more holes than elements", walk);
    const name = namesOn(value as unknown[]);
    if (name !== undefined) return refused(carrying(value, name), walk);
  }
  if (kind === "object") {
    const hidden = Object.getOwnPropertyNames(value).find(
      (name) => !Object.prototype.propertyIsEnumerable.call(value, name),
    );
    if (hidden !== undefined) return refused(`an object with ${quoted(hidden)}, which is not enumerable`, walk);
  }
  const children: [string | number, unknown][] =
    kind === "object" ? Object.entries(value) : Array.from(value as Iterable<unknown>, (child, i) => [i, child]);
  walk.ancestors.push(value);
  for (const [key, child] of children) {
    walk.path.push(key);
    const error = explained(child, walk);
    if (error) return error;
    walk.path.pop();
  }
  walk.ancestors.pop();
  return undefined;
}

export function kindOf(value: object): "array" | "object" | "collection" | "leaf" | undefined {
  switch (Object.getPrototypeOf(value)) {
    case Object.prototype:
    case null:
      return "object";
    case Array.prototype:
      return "array";
    case Map.prototype:
    case Set.prototype:
      return "collection";
    case Date.prototype:
    case Uint8Array.prototype:
    case URL.prototype:
      return "leaf";
    default:
      return undefined;
  }
}

function looksTagged(keys: string[]): boolean {
  return keys.length === 1 && keys[0]!.startsWith("$");
}

/** Replaces each value that JSON lacks with a tagged object. It is called only after `scan` has accepted the value. */
function tagged(value: unknown): unknown {
  if (value === undefined) return { $undefined: 0 };
  if (typeof value === "bigint") return { $bigint: bigintText(value) };
  if (typeof value === "number") {
    if (Object.is(value, -0)) return { $number: "-0" };
    return Number.isFinite(value) ? value : { $number: String(value) };
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return Array.from(value, tagged);
  if (value instanceof Date) return { $date: value.getTime() };
  if (value instanceof Map) return { $map: Array.from(value, tagged) };
  if (value instanceof Set) return { $set: Array.from(value, tagged) };
  if (value instanceof URL) return { $url: value.href };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  const copy = Object.create(null) as Dictionary;
  const keys = Object.keys(value);
  for (const key of keys) copy[key] = tagged((value as Dictionary)[key]);
  return looksTagged(keys) ? { $: copy } : copy;
}

/** The work of writing decimal digits, and of reading them, grows faster than their number: many are hexadecimal. */
function bigintText(value: bigint): string {
  return value > -MANY && value < MANY ? String(value) : value.toString(16).replace(/^-?/, "$&0x");
}

const MANY = 2n ** 1024n;
const BIGINT = /^-?(?:\d{1,309}|0x[\da-f]+)$/;

function revived(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const keys = Object.keys(value);
  if (!Array.isArray(value) && looksTagged(keys)) return untagged(keys[0]!, (value as Dictionary)[keys[0]!]);
  // JSON.parse creates every key as an own property, "__proto__" too, so assigning to it can't change a prototype.
  for (const key of keys) (value as Dictionary)[key] = revived((value as Dictionary)[key]);
  return value;
}

function untagged(tag: string, content: unknown): unknown {
  switch (tag) {
    case "$": {
      const object = content as Dictionary;
      must(typeof object === "object" && object !== null && !Array.isArray(object));
      for (const key of Object.keys(object)) object[key] = revived(object[key]);
      return object;
    }
    case "$undefined":
      return undefined;
    case "$bigint":
      must(typeof content === "string" && BIGINT.test(content));
      // A sign before hexadecimal digits is none that BigInt reads.
      return (content as string).startsWith("-") ? -BigInt((content as string).slice(1)) : BigInt(content as string);
    case "$number":
      must(["NaN", "Infinity", "-Infinity", "-0"].includes(content as string));
      return Number(content);
    case "$date":
      must(content === null || typeof content === "number");
      return new Date((content as number | null) ?? Number.NaN);
    case "$map": {
      const entries = revived(content) as [unknown, unknown][];
      must(Array.isArray(entries) && entries.every((entry) => Array.isArray(entry) && entry.length === 2));
      return new Map(entries);
    }
    case "$set":
      must(Array.isArray(content));
      return new Set(revived(content) as unknown[]);
    case "$url":
      must(typeof content === "string");
      return new URL(content as string);
    case "$bytes":
      must(typeof content === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(content));
      return new Uint8Array(Buffer.from(content as string, "base64"));
    default:
      throw new TypeError(`unknown tag ${printable(tag)}`);
  }
}

/** Checks a condition of the encoded form: decoding never guesses. */
function must(holds: boolean): void {
  if (!holds) throw new TypeError("a tag holds what it can't hold");
}

function refused(what: string, walk: Walk): TypeError {
  return new TypeError(
    `${pathOf(walk.name, walk.path)} can't be kept in a session: it is ${what}; ` +
      "keep plain objects, arrays, strings, numbers, booleans, null, undefined, Date, Map, Set, BigInt, Uint8Array or URL",
  );
}

function carrying(value: object, name: string): string {
  const kind = Object.prototype.toString.call(value).slice("[object ".length, -1);
  return `${kind === "Array" ? "an" : "a"} ${kind} that carries a property, ${quoted(name)}`;
}

export function pathOf(name: string, path: readonly (string | number)[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const shown = key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY)}…` : key;
    return /^[A-Za-z_$][\w$]*$/.test(shown) ? `${text}.${shown}` : `${text}[${quoted(shown)}]`;
  }, name);
}

/** A client may have chosen the key, and the message goes into a log. */
const LONGEST_KEY = 100;

const quoted = (key: string): string => printable(JSON.stringify(key));
