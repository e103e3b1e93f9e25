import { kindOf, type Dictionary } from "./codec.ts";
import { isObject, isWritable } from "./containers.ts";

/** Objects that are told by their identity. */
export interface ObjectSet {
  has(object: object): boolean;
}

/**
 * Removes objects from a value, at any depth: what one user has left must not come to another in something that was
 * assigned anew.
 *
 * @returns the value, or `undefined` where nothing of it may stay.
 */
export function without(value: unknown, hidden: ObjectSet, visited = new Map<object, boolean>()): unknown {
  return isHidden(value, hidden, visited) ? undefined : value;
}

/** Whether a value has to go: it is one of the hidden objects, or holds one and can't be changed. */
function isHidden(value: unknown, hidden: ObjectSet, visited: Map<object, boolean>): boolean {
  if (!isObject(value)) return false;
  if (hidden.has(value)) return true;
  const known = visited.get(value);
  if (known !== undefined) return known;
  visited.set(value, false);
  const isGone = removeFrom(value, hidden, visited);
  visited.set(value, isGone);
  return isGone;
}

function removeFrom(value: object, hidden: ObjectSet, visited: Map<object, boolean>): boolean {
  const goes = (child: unknown) => isHidden(child, hidden, visited);
  if (value instanceof Map) {
    for (const [key, child] of value) if (goes(key) || goes(child)) value.delete(key);
  } else if (value instanceof Set) {
    for (const member of value) if (goes(member)) value.delete(member);
  } else if (Array.isArray(value)) {
    const kept = Array.from<unknown>(value).filter((item) => !goes(item));
    if (kept.length === value.length) return false;
    if (!isWritable(value)) return true;
    value.splice(0, value.length);
    for (const item of kept) value.push(item);
  } else if (kindOf(value) === "object") {
    const names = Object.keys(value).filter((name) => goes((value as Dictionary)[name]));
    if (names.length > 0 && !isWritable(value)) return true;
    for (const name of names) delete (value as Dictionary)[name];
  }
  return false;
}
