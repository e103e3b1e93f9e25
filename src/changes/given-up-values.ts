import type { Dictionary } from "./codec.ts";
import { isObject, objectsIn, textOf } from "./containers.ts";
import type { Tracker } from "./tracker.ts";

/**
 * Values that a handler was given from data that were given up then, by a sign-out or `reload()`. The handler may have kept
 * one, and change it in place: nothing stores that.
 */
export class GivenUpValues {
  #values: readonly Reference[];
  /** Each value, and its text as it was. */
  #texts: WeakMap<object, string>;
  /** For each object in a value, the value: whoever keeps a part of it can change it. */
  readonly #wholes = new WeakMap<object, object>();

  constructor({ raw, seen: { all, byKey } }: Tracker) {
    const keys = all ? Object.keys(raw) : [...(byKey?.keys() ?? [])];
    const values = keys.map((key) => raw[key]).filter(isObject);
    this.#values = values.map((value) => ({ deref: () => value }));
    this.#texts = textsOf(values);
  }

  /** The changes until now are dealt with. */
  restart(): void {
    this.#texts = textsOf(this.#kept);
  }

  /** From here on, a value is kept for as long only as the handler keeps it, or a part of it. */
  release(): void {
    const values = this.#kept;
    for (const value of values) for (const object of partsOf(value)) this.#wholes.set(object, value);
    this.#values = values.map((value) => new WeakRef(value));
  }

  /**
   * Whether one was changed since, and is lost with that.
   *
   * @param now - the data of the session. A value that the handler has put into them, in whole or in part, is not lost.
   */
  isChangeLost(now: Dictionary): boolean {
    const changed = this.#kept.filter((value) => this.#texts.has(value) && textIfAny(value) !== this.#texts.get(value));
    if (changed.length === 0) return false;
    const kept = new Set(objectsIn(now));
    return changed.some((value) => !objectsIn(value).some((object) => kept.has(object)));
  }

  get #kept(): object[] {
    return this.#values.map((value) => value.deref()).filter(isObject);
  }
}

type Reference = Pick<WeakRef<object>, "deref">;

/** One that has no text could not be stored before either. */
function textsOf(values: readonly object[]): WeakMap<object, string> {
  const texts = new WeakMap<object, string>();
  for (const value of values) {
    const text = textIfAny(value);
    if (text !== undefined) texts.set(value, text);
  }
  return texts;
}

/** Of a cycle it can't be told which objects are in it. */
function partsOf(value: object): readonly object[] {
  try {
    return objectsIn(value);
  } catch {
    return [value];
  }
}

function textIfAny(value: object): string | undefined {
  try {
    return textOf(value);
  } catch {
    return undefined;
  }
}
