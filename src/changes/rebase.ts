import { decode, type Dictionary } from "./codec.ts";
import { objectsIn, textOf, type Copied } from "./containers.ts";
import type { FormerObjects } from "./former-objects.ts";
import { putInto, separated, type Placed } from "./place.ts";
import { objectsByKey, pathIn } from "./replay.ts";
import { NO_VALUE, replaySteps, WHOLE, type Changes, type Moment, type Step } from "./steps.ts";
import type { Tracker } from "./tracker.ts";
import { isText, valuesOf, type Values } from "./values.ts";

/**
 * Puts what was stored into the objects that the handler holds, and what the handler has changed since `start` on top.
 *
 * @param startData - the data at the start, decoded, where all of them could be encoded.
 * @param former - is told of copies that take the place of the handler's objects.
 * @returns the paths of changes that are dropped, because others had removed what they were made in.
 */
export function rebase(
  tracker: Tracker,
  start: Values,
  startData: Dictionary,
  stored: string,
  former: FormerObjects,
): string[] {
  const { raw } = tracker;
  const target = decode(stored);
  const changes: Changes = new Map(tracker.changes);
  const seen = objectsByKey(tracker.seen, startData);
  const dropped: string[] = [];
  const copied: Copied = (copy, original) => former.addCopy(copy, original);
  const now = valuesOf(raw);
  for (const [key, held] of separate(raw, now, changes, copied)) {
    const objects = seen.get(key);
    if (objects) seen.set(key, held(objects));
    const steps = changes.get(key);
    if (steps && steps !== WHOLE) changes.set(key, heldSteps(steps, held));
  }

  for (const key of new Set([...start.keys(), ...now.keys(), ...Object.keys(target)])) {
    const steps = changes.get(key);
    const [was, is] = [start.get(key), now.get(key)];
    const to = Object.hasOwn(target, key) ? textOf(target[key]) : undefined;
    if (steps === WHOLE || was === to) continue;
    if (was === is && !steps) {
      place(raw, key, is, target);
      seen.set(key, objectsIn(raw[key]));
    } else if (isText(was) && isText(is)) {
      const from = momentOf(was, seen.get(key) ?? []);
      const end = momentOf(is, objectsIn(raw[key]));
      const began = objectsIn(target[key]);
      const done = replaySteps(steps ?? [], from, end, target, key, {
        dropped: (path) => dropped.push(pathIn(path)),
        copied,
      });
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

/**
 * Leaves an object that is in several places in the one where it was read, and puts a copy into each other one.
 *
 * @returns for keys with copies, what gives the objects that the handler holds from now on.
 */
function separate(raw: Dictionary, now: Values, changes: Changes, copied: Copied): Map<string, Held> {
  const keys = [...now.keys()].filter((key) => typeof now.get(key) === "string");
  const objects = new Set<object>();
  const separatedKeys = new Map<string, Held>();
  const assigned = new Set(keys.filter((key) => changes.get(key) === WHOLE));
  for (const key of [...keys.filter((one) => !assigned.has(one)), ...assigned]) {
    const copies = new Map<object, object[]>();
    const value = separated(raw[key], objects, (copy, original) => {
      const earlier = copies.get(original);
      if (earlier) earlier.push(copy);
      else copies.set(original, [copy]);
      copied(copy, original);
    });
    if (value !== raw[key]) raw[key] = value;
    if (copies.size > 0) separatedKeys.set(key, (held) => withCopies(held, copies, value));
  }
  return separatedKeys;
}

/** The first place of an object may have kept it. The others have its copies, in their order. */
function withCopies(objects: readonly object[], copies: ReadonlyMap<object, object[]>, value: unknown): object[] {
  const left = new Set(objectsIn(value));
  const next = new Map<object, number>();
  return objects.map((object) => {
    const own = copies.get(object);
    if (!own || left.delete(object)) return object;
    const i = next.get(object) ?? 0;
    next.set(object, i + 1);
    return own[i] ?? object;
  });
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
