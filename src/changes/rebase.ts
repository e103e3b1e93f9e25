import { decode, type Dictionary } from "./codec.ts";
import { objectsIn, textOf } from "./containers.ts";
import { putInto, separated, type Placed } from "./place.ts";
import { objectsByKey, pathIn } from "./replay.ts";
import { NO_VALUE, replaySteps, WHOLE, type Changes, type Moment, type Step } from "./steps.ts";
import type { Tracker } from "./tracker.ts";
import { isText, valuesOf, type Values } from "./values.ts";

/**
 * Puts what was stored into the objects that the handler holds, and what the handler has changed since `start` on top.
 *
 * @param startData - the data at the start, decoded, where all of them could be encoded.
 * @param isHidden - whether the handler may not see what is stored of a key.
 * @returns the paths of changes that are dropped, because others had removed what they were made in.
 */
export function rebase(
  tracker: Tracker,
  start: Values,
  startData: Dictionary,
  stored: string,
  isHidden: (key: string) => boolean,
): string[] {
  const { raw } = tracker;
  const target = decode(stored);
  const changes: Changes = new Map(tracker.changes);
  const seen = objectsByKey(tracker.seen, startData);
  const dropped: string[] = [];
  const now = valuesOf(raw);
  separate(raw, now, changes);

  for (const key of new Set([...start.keys(), ...now.keys(), ...Object.keys(target)])) {
    const steps = changes.get(key);
    const [was, is] = [start.get(key), now.get(key)];
    const to = Object.hasOwn(target, key) ? textOf(target[key]) : undefined;
    if (steps === WHOLE || isHidden(key) || was === to) continue;
    if (was === is && !steps) {
      place(raw, key, is, target);
      seen.set(key, objectsIn(raw[key]));
    } else if (isText(was) && isText(is)) {
      const from = momentOf(was, seen.get(key) ?? []);
      const end = momentOf(is, objectsIn(raw[key]));
      const began = objectsIn(target[key]);
      const done = replaySteps(steps ?? [], from, end, target, key, (path) => dropped.push(pathIn(path)));
      const placed = place(raw, key, is, target);
      const held = (objects: readonly object[]) => objects.map((object) => placed.get(object) ?? object);
      seen.set(key, held(began));
      if (steps) changes.set(key, heldSteps(done, held));
    } else {
      // It can't be kept, and can't be merged either.
      changes.set(key, WHOLE);
    }
  }
  order(raw, target);
  tracker.restart({ byKey: seen }, changes);
  return dropped;
}

/** An object that is in several places stays in the one where it was read. */
function separate(raw: Dictionary, now: Values, changes: Changes): void {
  const keys = [...now.keys()].filter((key) => typeof now.get(key) === "string");
  const objects = new Set<object>();
  const assigned = new Set(keys.filter((key) => changes.get(key) === WHOLE));
  for (const key of [...keys.filter((one) => !assigned.has(one)), ...assigned]) {
    const value = separated(raw[key], objects);
    if (value !== raw[key]) raw[key] = value;
  }
}

/** Puts a key's value, or that there is none, where the handler sees it. */
function place(raw: Dictionary, key: string, is: unknown, target: Dictionary): Placed {
  const placed: Placed = new Map();
  if (!Object.hasOwn(target, key)) delete raw[key];
  // A value that has no text can't be compared.
  else raw[key] = typeof is === "string" ? putInto(raw[key], target[key], placed) : target[key];
  return placed;
}

const momentOf = (text: string | undefined, objects: readonly object[]): Moment =>
  text === undefined ? NO_VALUE : { text, objects };

type Held = (objects: readonly object[]) => object[];

const heldSteps = (steps: readonly Step[], held: Held): Step[] =>
  steps.map((step) => {
    const after = { ...step.after, objects: held(step.after.objects) };
    if (step.kind === "create") return { ...step, after };
    return { ...step, before: { ...step.before, objects: held(step.before.objects) }, after };
  });

/** Puts keys in the order of what is stored, or the same data would read like another text. */
function order(data: Dictionary, stored: Dictionary): void {
  for (const key of Object.keys(stored)) {
    if (!Object.hasOwn(data, key)) continue;
    const value = data[key];
    delete data[key];
    data[key] = value;
  }
}
