import { kindOf, type Dictionary } from "./codec.ts";
import { isObject, isWritable, setMember } from "./containers.ts";

/** Objects that are told by their identity. */
export interface ObjectSet {
  has(object: object): boolean;
}

/**
 * Removes objects from a value, at any depth: what one user has left must not come to another in something that was
 * assigned anew.
 *
 * @param undo - receives functions that put back what was removed.
 * @returns the value, or `undefined` where nothing of it may stay.
 */
export function without(value: unknown, hidden: ObjectSet, undo: (() => void)[] = []): unknown {
  return new Strip(hidden, undo).isHidden(value) ? undefined : value;
}

class Strip {
  readonly #hidden: ObjectSet;
  readonly #undo: (() => void)[];
  readonly #visited = new Map<object, boolean>();

  constructor(hidden: ObjectSet, undo: (() => void)[]) {
    this.#hidden = hidden;
    this.#undo = undo;
  }

  /** Whether a value has to go: it is one of the hidden objects, or holds one and can't be changed. */
  readonly isHidden = (value: unknown): boolean => {
    if (!isObject(value)) return false;
    if (this.#hidden.has(value)) return true;
    const known = this.#visited.get(value);
    if (known !== undefined) return known;
    this.#visited.set(value, false);
    const isGone = this.#removeFrom(value);
    this.#visited.set(value, isGone);
    return isGone;
  };

  #removeFrom(value: object): boolean {
    if (value instanceof Map) {
      const before = [...value];
      const removed = before.filter((entry) => entry.some(this.isHidden));
      for (const [key] of removed) value.delete(key);
      if (removed.length > 0)
        this.#undo.push(() => {
          const entries = withRemoved(before, removed, value);
          value.clear();
          for (const [key, child] of entries) value.set(key, child);
        });
    } else if (value instanceof Set) {
      const before = [...value];
      const removed = before.filter(this.isHidden);
      for (const member of removed) value.delete(member);
      const entriesOf = (members: Iterable<unknown>) => Array.from(members, (member) => [member, member] as const);
      if (removed.length > 0)
        this.#undo.push(() => {
          const members = withRemoved(entriesOf(before), entriesOf(removed), entriesOf(value)).keys();
          value.clear();
          for (const member of members) value.add(member);
        });
    } else if (Array.isArray(value)) return this.#removeItems(value);
    else if (kindOf(value) === "object") return this.#removeMembers(value as Dictionary);
    return false;
  }

  #removeItems(array: unknown[]): boolean {
    const items = Array.from(array);
    const removed = [...items.entries()].filter(([, item]) => this.isHidden(item));
    if (removed.length === 0) return false;
    if (!isWritable(array)) return true;
    for (const [i] of removed.toReversed()) array.splice(i, 1);
    this.#undo.push(() => {
      // The handler may have frozen it.
      if (isWritable(array)) for (const [i, item] of removed) array.splice(i, 0, item);
    });
    return false;
  }

  #removeMembers(object: Dictionary): boolean {
    const before = Object.entries(object);
    const removed = before.filter(([, child]) => this.isHidden(child));
    if (removed.length === 0) return false;
    if (!isWritable(object)) return true;
    for (const [name] of removed) delete object[name];
    this.#undo.push(() => {
      if (!isWritable(object)) return;
      const members = withRemoved(before, removed, Object.entries(object));
      for (const name of Object.keys(object)) delete object[name];
      for (const [name, child] of members) setMember(object, name, child);
    });
    return false;
  }
}

type Entries<Key> = Iterable<readonly [Key, unknown]>;

/** The entries that a container has now and those that were removed, in the order of before. */
function withRemoved<Key>(before: Entries<Key>, removed: Entries<Key>, now: Entries<Key>): Map<Key, unknown> {
  const left = new Map([...removed, ...now]);
  const ordered = new Map([...before].filter(([key]) => left.has(key)));
  for (const [key, child] of left) ordered.set(key, child);
  return ordered;
}
