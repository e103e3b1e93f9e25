import type { Dictionary } from "./codec.ts";
import { momentOf, NO_VALUE, replaySteps, WHOLE, type KeyChanges, type Step } from "./steps.ts";
import { without, type ObjectSet } from "./strip.ts";

/** What hides data of before from a handler. */
export interface Restriction {
  /** The keys that may stay. */
  readonly keep: readonly string[];
  /** The objects of the other keys: they may not stay in anything that was assigned. */
  readonly hidden: ObjectSet;
}

/**
 * Leaves of a key what the handler may see: all of it, if the key may stay, or what this request has assigned or
 * updated.
 *
 * @returns whether the key is this request's own.
 */
export function restrictKey(
  raw: Dictionary,
  key: string,
  changes: KeyChanges | undefined,
  { keep, hidden }: Restriction,
): boolean {
  const mayStay = keep.includes(key);
  const isOwn = changes !== undefined && !mayStay;
  if (!mayStay && !isOwn) delete raw[key];
  else if (!isOwn || changes === WHOLE || changes[0]?.kind === "create") put(raw, key, raw[key], hidden);
  else put(raw, key, anew(changes, raw, key, hidden), hidden);
  return isOwn;
}

/** The value that the updates of a key give where there was nothing before. */
function anew(steps: readonly Step[], raw: Dictionary, key: string, hidden: ObjectSet): unknown {
  const data = Object.create(null) as Dictionary;
  // Objects of other keys must not come along as copies, which a merge would make of them.
  const [first] = steps;
  const own = new Set(first === undefined || first.kind === "create" ? [] : first.before.objects);
  const others = { has: (object: object) => !own.has(object) && hidden.has(object) };
  const shown = Object.create(null) as Dictionary;
  if (Object.hasOwn(raw, key)) shown[key] = without(raw[key], others);
  const ownSteps = steps.map((step): Step => {
    if (step.kind === "create") return step;
    return { ...step, apply: step.apply.map((apply) => (value) => without(apply(value), hidden)) };
  });
  replaySteps(ownSteps, NO_VALUE, momentOf(shown, key), data, key, { dropped() {} });
  return data[key];
}

function put(raw: Dictionary, key: string, value: unknown, hidden: ObjectSet): void {
  if (!Object.hasOwn(raw, key) && value === undefined) return;
  const shown = without(value, hidden);
  if (shown === undefined && value !== undefined) delete raw[key];
  else raw[key] = shown;
}
