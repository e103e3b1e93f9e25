import { kindOf } from "./codec.ts";

/** So many names and values are compared. With more, encoding is as fast. */
const MOST_MEMBERS = 256;

/**
 * Remembers values that a handler was given, and tells whether they are the same still. It looks only at these, where
 * comparing texts encodes all data.
 */
export class GivenValues {
  readonly #keys: string[] = [];
  /** Of each array: itself, the number of its items, and these. Of each object: itself, the number of its members, their names and values. */
  readonly #members: unknown[] = [];
  /** There is something that is not compared here: a Map or a Date, for example, or too much. */
  #isIncomplete = false;

  /** Remembers a key's value as it is now. The first time counts. */
  add(key: string, value: object): void {
    if (this.#isIncomplete || this.#keys.includes(key)) return;
    this.#keys.push(key);
    this.#remember(value);
  }

  #remember(value: object): void {
    if (Array.isArray(value)) return this.#rememberItems(value);
    if (kindOf(value) !== "object") return void (this.#isIncomplete = true);
    const members = this.#members;
    const names = Object.keys(value);
    if (!this.#hasRoomFor(2 * names.length)) return;
    members.push(value, names.length);
    const first = members.length;
    for (const name of names) members.push(name, (value as Members)[name]);
    for (let at = first + 1; at < first + 2 * names.length; at += 2) this.#rememberIn(members[at]);
  }

  #rememberItems(array: readonly unknown[]): void {
    if (kindOf(array) !== "array" || !this.#hasRoomFor(array.length)) return void (this.#isIncomplete = true);
    this.#members.push(array, array.length);
    for (let i = 0; i < array.length; i += 1) this.#members.push(array[i]);
    for (let i = 0; i < array.length; i += 1) this.#rememberIn(array[i]);
  }

  #rememberIn(member: unknown): void {
    if (typeof member === "object" && member !== null) this.#remember(member);
  }

  #hasRoomFor(more: number): boolean {
    if (this.#members.length + more > 2 * MOST_MEMBERS) this.#isIncomplete = true;
    return !this.#isIncomplete;
  }

  /** Whether nothing was changed in the values. `false`: it may have been. */
  areSame(): boolean {
    if (this.#isIncomplete) return false;
    const members = this.#members;
    for (let at = 0; at < members.length;) {
      const value = members[at] as object;
      const count = members[at + 1] as number;
      const isArray = Array.isArray(value);
      if (!(isArray ? areItems(value, members, at + 2, count) : areMembers(value, members, at + 2, count)))
        return false;
      at += 2 + (isArray ? count : 2 * count);
    }
    return true;
  }
}

type Members = Readonly<Record<string, unknown>>;

/** Whether an array has these items and nothing else that encoding would look at. */
function areItems(array: readonly unknown[], items: readonly unknown[], from: number, count: number): boolean {
  if (kindOf(array) !== "array" || array.length !== count) return false;
  for (let i = 0; i < count; i += 1) if (!Object.is(array[i], items[from + i])) return false;
  // It has fewer names with a hole, and another last one with a property of its own.
  const names = Object.keys(array);
  return names.length === count && (count === 0 || names[count - 1] === String(count - 1));
}

/** Whether an object has these members and nothing else, which encoding may refuse. */
function areMembers(object: object, members: readonly unknown[], from: number, count: number): boolean {
  if (kindOf(object) !== "object") return false;
  let at = from;
  // Faster than Object.keys. It has inherited names too, of which there are none.
  for (const name in object) {
    if (at === from + 2 * count || members[at] !== name || !Object.is(members[at + 1], (object as Members)[name]))
      return false;
    at += 2;
  }
  return (
    at === from + 2 * count &&
    Object.getOwnPropertyNames(object).length === count &&
    Object.getOwnPropertySymbols(object).length === 0
  );
}
