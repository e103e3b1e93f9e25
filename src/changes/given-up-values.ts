import type { Dictionary } from "./codec.ts";
import { isObject, objectsIn, textOf } from "./containers.ts";
import type { Tracker } from "./tracker.ts";

/**
 * Values that a handler was given from data that were given up then, by a sign-out or `reload()`. The handler may have kept
 * one, and change it in place: nothing stores that.
 */
export class GivenUpValues {
  /** Each value, and its text as it was. */
  #texts: ReadonlyMap<object, string>;

  constructor({ raw, seen: { all, byKey } }: Tracker) {
    const keys = all ? Object.keys(raw) : [...(byKey?.keys() ?? [])];
    this.#texts = textsOf(keys.map((key) => raw[key]).filter(isObject));
  }

  /** The changes until now are dealt with. */
  restart(): void {
    this.#texts = textsOf([...this.#texts.keys()]);
  }

  /**
   * Whether one was changed since, and is lost with that.
   *
   * @param now - the data of the session. A value that the handler has put into them, in whole or in part, is not lost.
   */
  isChangeLost(now: Dictionary): boolean {
    const changed = [...this.#texts].filter(([value, text]) => textIfAny(value) !== text);
    if (changed.length === 0) return false;
    const kept = new Set(objectsIn(now));
    return changed.some(([value]) => !objectsIn(value).some((object) => kept.has(object)));
  }
}

/** One that has no text could not be stored before either. */
function textsOf(values: readonly object[]): ReadonlyMap<object, string> {
  const texts = new Map<object, string>();
  for (const value of values) {
    const text = textIfAny(value);
    if (text !== undefined) texts.set(value, text);
  }
  return texts;
}

function textIfAny(value: object): string | undefined {
  try {
    return textOf(value);
  } catch {
    return undefined;
  }
}
