import type { Dictionary } from "./codec.ts";
import { textOf } from "./containers.ts";

/** Each key's text; the value itself where it has none, because it can't be kept. */
export type Values = ReadonlyMap<string, unknown>;

export function valuesOf(data: Dictionary): Values {
  const values = new Map<string, unknown>();
  for (const key of Object.keys(data)) {
    try {
      values.set(key, textOf(data[key]));
    } catch {
      values.set(key, data[key]);
    }
  }
  return values;
}

/** Whether one of the values is a text, or says that there is none: the others can't be compared. */
export const isText = (value: unknown): value is string | undefined => value === undefined || typeof value === "string";

export const areSameValues = (a: Values, b: Values): boolean =>
  a.size === b.size && [...a].every(([key, value]) => b.has(key) && b.get(key) === value);
