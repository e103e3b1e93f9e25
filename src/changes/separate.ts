import { decodeValue, kindOf, type Dictionary } from "./codec.ts";
import { copyOf, isObject, isWritable, objectsIn, setMember, textOf, type Copied } from "./containers.ts";
import { WHOLE, type Moment, type ReadonlyChanges } from "./steps.ts";

/**
 * Gives each place of the data an object of its own: the same object in two places can't hold what two places hold from
 * now on. An object stays in the place where it was read, or else in the first one. Each other place gets a copy.
 */

/** A place in the data that the handler holds: a key of a container. */
interface Place {
  readonly parent: object;
  readonly name: unknown;
}

/** The data at an earlier moment. */
export type Moments = ReadonlyMap<string, Moment>;

/** Where objects are that were there before already. */
export type Homes = ReadonlyMap<object, Place>;

/** @param before - the data at earlier moments, the first one first: an object was read in the place where it was first. */
export function homesIn(raw: Dictionary, before: readonly Moments[]): Homes {
  const homes = new Map<object, Place>();
  for (const moments of before)
    for (const [key, { text, objects }] of moments) {
      if (text === undefined || !Object.hasOwn(raw, key)) continue;
      const value = decodeValue(text);
      const held = heldBy(value, objects);
      const isSame = (old: object, live: object) => held.get(old) === live;
      eachSame(value, raw[key], { parent: raw, name: key }, isSame, (_, live, place) => {
        if (!homes.has(live)) homes.set(live, place);
      });
    }
  return homes;
}

/** The objects of a moment, as they are in the data now: a copy may have taken the place of one. */
export function heldNow({ text, objects }: Moment, live: unknown, originals: ReadonlyMap<object, object>): object[] {
  if (text === undefined) return [...objects];
  const value = decodeValue(text);
  const held = heldBy(value, objects);
  const now = new Map<object, object>();
  const isSame = (old: object, one: object) => held.get(old) === (originals.get(one) ?? one);
  eachSame(value, live, undefined, isSame, (old, one) => now.set(old, one));
  return objectsIn(value).map((old, i) => now.get(old) ?? objects[i]!);
}

const heldBy = (value: unknown, objects: readonly object[]): Map<object, object> =>
  new Map(objectsIn(value).map((old, i) => [old, objects[i] ?? old]));

/** Walks through a value of before and the one of now, as far as the same objects are in the same places. */
function eachSame(
  old: unknown,
  live: unknown,
  place: Place | undefined,
  isSame: (old: object, live: object) => boolean,
  found: (old: object, live: object, place: Place) => void,
): void {
  if (!isObject(old) || !isObject(live) || !isSame(old, live)) return;
  found(old, live, place ?? { parent: live, name: undefined });
  const child = (before: unknown, now: unknown, name: unknown) =>
    eachSame(before, now, { parent: live, name }, isSame, found);
  if (old instanceof Map && live instanceof Map) {
    const keys = new Map(Array.from(live.keys(), (key) => [textOf(key), key]));
    for (const [key, value] of old) {
      const name = keys.get(textOf(key));
      child(value, live.get(name), name);
    }
  } else if (Array.isArray(old)) for (const [i, item] of old.entries()) child(item, (live as unknown[])[i], i);
  else if (kindOf(old) === "object")
    for (const [name, value] of Object.entries(old))
      if (Object.hasOwn(live, name)) child(value, (live as Dictionary)[name], name);
}

/** Whether an object is in several places. */
export function hasShared(raw: Dictionary, keys: readonly string[]): boolean {
  const objects = keys.flatMap((key) => objectsIn(raw[key]));
  return new Set(objects).size < objects.length;
}

/**
 * Separates the objects of the given keys. Those of an assigned key were read elsewhere.
 *
 * @returns the originals of the copies that are in the data now.
 */
export function separate(
  raw: Dictionary,
  keys: readonly string[],
  changes: ReadonlyChanges,
  homes: Homes,
): ReadonlyMap<object, object> {
  const originals = new Map<object, object>();
  const separation = new Separation(homes, (copy, original) => {
    originals.set(copy, originals.get(original) ?? original);
  });
  const assigned = keys.filter((key) => changes.get(key) === WHOLE);
  for (const key of [...keys.filter((one) => !assigned.includes(one)), ...assigned]) {
    const value = separation.child(raw[key], raw, key);
    if (value !== raw[key]) raw[key] = value;
  }
  return originals;
}

/** @see separate */
export class Separation {
  readonly #homes: Homes;
  readonly #copied: Copied | undefined;
  readonly #seen = new Set<object>();

  constructor(homes: Homes = new Map(), copied?: Copied) {
    this.#homes = homes;
    this.#copied = copied;
  }

  /** @returns what is to stand in a place. */
  child(value: unknown, parent: object, name?: unknown): unknown {
    if (!isObject(value)) return value;
    const home = this.#homes.get(value);
    const isElsewhere = home !== undefined && (home.parent !== parent || home.name !== name);
    return isElsewhere ? copyOf(value, this.#copied) : this.separated(value);
  }

  separated(value: unknown): unknown {
    if (!isObject(value)) return value;
    if (this.#seen.has(value)) return copyOf(value, this.#copied);
    this.#seen.add(value);
    if (kindOf(value) === "leaf") return value;
    if (value instanceof Map) {
      const entries = Array.from(
        value,
        ([key, child]) => [this.child(key, value), this.child(child, value, key)] as const,
      );
      value.clear();
      for (const [key, child] of entries) value.set(key, child);
      return value;
    }
    if (value instanceof Set) {
      const members = Array.from(value, (member) => this.child(member, value));
      value.clear();
      for (const member of members) value.add(member);
      return value;
    }
    for (const name of Object.keys(value)) {
      const child = (value as Dictionary)[name];
      const own = this.child(child, value, Array.isArray(value) ? Number(name) : name);
      if (own === child) continue;
      if (!isWritable(value)) return copyOf(value, this.#copied);
      setMember(value, name, own);
    }
    return value;
  }
}
