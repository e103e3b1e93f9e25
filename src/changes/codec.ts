import { createDecodeError, SessionError } from "../errors.ts";

/**
 * How data is written: JSON, and where a value is not JSON's, an object with a single key that begins with `$`:
 * `{"$date":0}`. An object of the application's own that looks like that is wrapped once more: `{"$":{"$date":"mine"}}`.
 * Decoding makes data and nothing else: no class, no function, no prototype is ever taken from the text.
 */

/** The bounds of one session's data. */
export interface Limits {
  /** Bytes of the encoded session. */
  readonly bytes: number;
  /** Levels of nesting. */
  readonly depth: number;
}

/** For what has been within bounds before. */
export const BOUNDLESS: Limits = { bytes: Infinity, depth: Infinity };

export type Dictionary = Record<string, unknown>;

/**
 * The text of a dictionary.
 *
 * @throws TypeError naming the path of a value that can't be kept: a function, a symbol, a class instance, a cycle.
 * SessionError ERR_SESSION_TOO_LARGE for data larger or deeper than the limits: a user's input may have caused it.
 */
export function encode(data: Dictionary, limits: Limits): string {
  const text = written(data, "session.data", limits);
  // A UTF-16 unit is at most three bytes: most sessions need no counting.
  if (text === undefined || (text.length * 3 > limits.bytes && Buffer.byteLength(text) > limits.bytes))
    throw tooLarge(data, limits);
  return text;
}

/** The text of one value; `name` begins the path in an error. */
export function encodeValue(value: unknown, name: string, limits: Limits): string {
  const text = written(value, name, limits);
  if (text === undefined)
    throw new SessionError("ERR_SESSION_TOO_LARGE", `${name} is larger than limits.bytes (${limits.bytes})`);
  return text;
}

/** `undefined` where the text would be far too large. */
function written(value: unknown, name: string, limits: Limits): string | undefined {
  room = limits.bytes;
  switch (scan(value, limits.depth)) {
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

/** A dictionary without a prototype, so that no key means more than itself. */
export function decode(text: string): Dictionary {
  const data = decodeValue(text);
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

/** What a value needs to be written. */
const Scan = { json: 0, tagged: 1, refused: 2, tooLarge: 3 } as const;
type Scan = (typeof Scan)[keyof typeof Scan];

/**
 * How many more bytes there may be, where each value takes one at least. A value that is in others again and again, two
 * times at each of 32 levels, has a text of gigabytes: no scan would get to its end.
 */
let room = Infinity;

/** Looks through a value once, as fast as can be, since every request does; `depth` levels are left. */
function scan(value: unknown, depth: number): Scan {
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
      return value === null ? Scan.json : scanObject(value, depth);
    default:
      return Scan.refused;
  }
}

function scanObject(value: object, depth: number): Scan {
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
      const found = scan((value as Dictionary)[keys[i]!], depth - 1);
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
      // Beside an object, the look at the array's own names costs little.
      if (typeof child === "object") isShort = true;
      const found = scan(child, depth - 1);
      if (found > Scan.tagged) return found;
      if (found > worst) worst = found;
    }
    if (isShort && namesOn(array) !== undefined) return Scan.refused;
  } else {
    if (hasNames(value)) return Scan.refused;
    worst = Scan.tagged;
    if ((room -= (value as Map<unknown, unknown> | Set<unknown>).size) < 0) return Scan.tooLarge;
    for (const child of value as Iterable<unknown>) {
      const found = scan(child, depth - 1);
      if (found > Scan.tagged) return found;
    }
  }
  return worst;
}

/** Longer arrays of nothing but strings, numbers and the like are not looked through for names: it would take as long again. */
const LONG_ARRAY = 64;
/** Holes are kept as undefined, unless they would take for ever. */
const HUGE_ARRAY = 100_000;

/** A property that is there, and would be left out without a word. */
const hasHidden = (object: object, keys: readonly string[]): boolean =>
  Object.getOwnPropertyNames(object).length !== keys.length;

/** The first name that is no index, of those that an array can list. They come after the indices. */
function namesOn(array: readonly unknown[]): string | undefined {
  const keys = Object.keys(array);
  if (keys.length === array.length && (keys.length === 0 || keys.at(-1) === String(keys.length - 1))) return undefined;
  return keys.find((key) => !isIndex(key));
}

// 4294967294 is the last that an array takes for one.
const isIndex = (key: string): boolean => String(Number(key) >>> 0) === key && Number(key) < 2 ** 32 - 1;

/** Whether a Map, a Set, a Date or a URL carries something beside what it holds. Of bytes, each would be a name. */
const hasNames = (value: object): boolean => !(value instanceof Uint8Array) && Object.keys(value).length > 0;

const isMostlyEmpty = (array: readonly unknown[]): boolean =>
  array.length > HUGE_ARRAY && Object.keys(array).length * 2 < array.length;

interface Walk {
  readonly name: string;
  readonly path: (string | number)[];
  readonly ancestors: object[];
  readonly depth: number;
}

/** The error for a value that scan has refused: it goes the same way again and keeps the path. */
function explained(value: unknown, walk: Walk): TypeError | SessionError | undefined {
  if (typeof value === "function" || typeof value === "symbol") return refused(`a ${typeof value}`, walk);
  if (typeof value !== "object" || value === null) return undefined;
  const kind = kindOf(value);
  if (kind === undefined) {
    if (Buffer.isBuffer(value))
      return refused("a Buffer, which would come back as bytes: give new Uint8Array(buffer)", walk);
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
    if (hidden !== undefined) return refused(`an object with ${JSON.stringify(hidden)}, which is not enumerable`, walk);
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

function kindOf(value: object): "array" | "object" | "collection" | "leaf" | undefined {
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

/** The value with everything that JSON can't say in tags; only ever called after isJson has accepted its parts. */
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
  // JSON.parse gave every key as the object's own, "__proto__" too: assigning to it can't reach a prototype.
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
      throw new TypeError(`unknown tag ${tag}`);
  }
}

/** Decoding guesses at nothing. */
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
  return `${kind === "Array" ? "an" : "a"} ${kind} that carries a property, ${JSON.stringify(name)}`;
}

function pathOf(name: string, path: readonly (string | number)[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? `${text}.${key}` : `${text}[${JSON.stringify(key)}]`;
  }, name);
}
