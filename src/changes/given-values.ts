import { kindOf } from "./codec.ts";

/** So many names and values are compared. With more, encoding is as fast. */
const MOST_MEMBERS = 256;

/**
 * Remembers values that a handler was given, and tells whether they are the same still. It looks only at these, where
 * comparing texts encodes all data.
 */
export class GivenValues {
  readonly #keys = new Set<string>();
  /** Of each object and array: itself, the number of its members, their names and values. */
  readonly #members: unknown[] = [];
  /** There is something that is not compared here: a Map or a Date, for example, or too much. */
  #isIncomplete = false;

  /** Remembers a key's value as it is now. The first time counts. */
  add(key: string, value: object): void {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#remember(value);
  }

  #remember(value: object): void {
    const kind = kindOf(value);
    const names = kind === "object" || kind === "array" ? Object.keys(value) : undefined;
    const members = this.#members;
    if (!names || members.length + 2 * names.length > 2 * MOST_MEMBERS) {
      this.#isIncomplete = true;
      return;
    }
    members.push(value, names.length);
    const first = members.length;
    for (const name of names) members.push(name, (value as Members)[name]);
    for (let at = first + 1; at <= first + 2 * names.length; at += 2) {
      const member = members[at];
      if (typeof member === "object" && member !== null) this.#remember(member);
    }
  }

  /** Whether nothing was changed in the values. `false`: it may have been. */
  areSame(): boolean {
    if (this.#isIncomplete) return false;
    const members = this.#members;
    for (let at = 0; at < members.length;) {
      const value = members[at] as Members;
      const names = namesOf(value);
      if (names?.length !== members[at + 1]) return false;
      at += 2;
      for (const name of names!) {
        if (members[at] !== name || !Object.is(members[at + 1], value[name])) return false;
        at += 2;
      }
    }
    return true;
  }
}

type Members = Readonly<Record<string, unknown>>;

/** The names in an object or an array. `undefined` where its form is another one by now, which encoding may refuse. */
function namesOf(value: object): string[] | undefined {
  const kind = kindOf(value);
  if ((kind !== "object" && kind !== "array") || Object.getOwnPropertySymbols(value).length > 0) return undefined;
  const names = Object.keys(value);
  // An array has a hidden property, its length. One with holes has fewer names.
  if (kind === "array" && names.length !== (value as unknown[]).length) return undefined;
  const hidden = kind === "array" ? 1 : 0;
  return Object.getOwnPropertyNames(value).length === names.length + hidden ? names : undefined;
}
