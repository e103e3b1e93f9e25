import { decodeValue, encodeValue, BOUNDLESS, kindOf, type Dictionary } from "./codec.ts";

/** The deepest nesting that counts as empty: more is a mistake, such as a cycle, which the codec explains. */
const EMPTY_DEPTH = 16;

export const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/**
 * All objects in a value, in the order of its text, as the codec gives them too. Two values of the same text give lists
 * that correspond, which is how an object of one is found in the other.
 */
export function objectsIn(value: unknown, found: object[] = []): object[] {
  if (isObject(value)) collect(value, found);
  return found;
}

const { hasOwnProperty } = Object.prototype;

function collect(value: object, found: object[]): void {
  found.push(value);
  switch (kindOf(value)) {
    case "array": {
      const array = value as unknown[];
      for (let i = 0; i < array.length; i += 1) {
        const child = array[i];
        if (typeof child === "object" && child !== null) collect(child, found);
      }
      return;
    }
    case "object":
      // Faster than Object.keys and Object.hasOwn for objects that JSON.parse has just made.
      for (const name in value) {
        const child = (value as Dictionary)[name];
        if (typeof child === "object" && child !== null && hasOwnProperty.call(value, name)) collect(child, found);
      }
      return;
    case "collection":
      for (const child of value as Iterable<unknown>) objectsIn(child, found);
      return;
    case "leaf":
    case undefined:
  }
}

/** Whether two values are objects of one kind, such as two Maps. A dictionary has no prototype and is a plain object. */
export function isSameKind<T extends object>(a: unknown, b: T): a is T {
  if (!isObject(a)) return false;
  const kind = kindOf(a);
  if (kind !== kindOf(b)) return false;
  return kind === "object" || Object.getPrototypeOf(a) === Object.getPrototypeOf(b);
}

/** Whether a value consists of empty containers only: `[]`, `new Map()`, `{ items: [] }`. */
export function isEmptyContainer(value: unknown, depth = EMPTY_DEPTH): boolean {
  if (!isObject(value) || depth < 0) return false;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Map || value instanceof Set) return value.size === 0;
  if (kindOf(value) !== "object") return false;
  return Object.keys(value).every((key) => isEmptyContainer((value as Dictionary)[key], depth - 1));
}

/** Whether an object's members can be replaced. Of frozen objects and of those with getters they can't. */
export function isWritable(object: object): boolean {
  if (object instanceof Map || object instanceof Set || kindOf(object) === "leaf") return true;
  if (!Object.isExtensible(object)) return false;
  const isArray = Array.isArray(object);
  return Object.entries(Object.getOwnPropertyDescriptors(object)).every(
    ([name, { writable, configurable }]) => writable === true && (configurable || (isArray && name === "length")),
  );
}

/** Sets a member of a plain object. `__proto__` is a name like any other. */
export function setMember(object: object, name: string, value: unknown): void {
  if (name !== "__proto__") (object as Dictionary)[name] = value;
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

/** The text of a value that has been within its limits before. */
export const textOf = (value: unknown): string => encodeValue(value, "session.data", BOUNDLESS);

/** Called for each object of a value that is copied. */
export type Copied = (copy: object, original: object) => void;

export function copyOf(value: unknown, copied?: Copied): unknown {
  const copy = decodeValue(textOf(value));
  if (copied) {
    const originals = objectsIn(value);
    for (const [i, object] of objectsIn(copy).entries()) copied(object, originals[i]!);
  }
  return copy;
}
