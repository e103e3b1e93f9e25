import { decode, type Dictionary } from "./codec.ts";
import { objectsIn, textOf } from "./containers.ts";
import type { GivenObjects } from "./given-objects.ts";
import { putInto, type Placed } from "./place.ts";
import { objectsByKey, pathIn, type Content } from "./replay.ts";
import { hasShared, heldNow, homesIn, separate, type Moments } from "./separate.ts";
import { NO_VALUE, replaySteps, WHOLE, type Changes, type Moment, type Step } from "./steps.ts";
import type { Tracker } from "./tracker.ts";
import { isText, valuesOf, type Values } from "./values.ts";

/**
 * Puts what was stored into the objects that the handler holds, and what the handler has changed since `start` on top.
 *
 * @param startData - the data at the start, decoded, where all of them could be encoded.
 * @param read - gives the data at the moment when they were read.
 * @param given - is told of everything that comes from what was stored.
 * @returns the paths of changes that are dropped, because others had removed what they were made in.
 */
export function rebase(
  tracker: Tracker,
  start: Values,
  startData: Dictionary,
  { data: stored, userId }: Content,
  read: () => Moments,
  given: GivenObjects,
): string[] {
  const { raw } = tracker;
  // Those that the handler has not looked at yet take part.
  tracker.seeAll();
  const target = decode(stored);
  given.addValue(target, userId);
  const changes: Changes = new Map(tracker.changes);
  const seen = objectsByKey(tracker.seen, startData);
  const dropped: string[] = [];
  const now = valuesOf(raw);
  const keys = [...now.keys()].filter((key) => typeof now.get(key) === "string");
  if (hasShared(raw, keys)) {
    const began = new Map([...seen].map(([key, objects]) => [key, momentOf(textIn(start, key), objects)]));
    const originals = separate(raw, keys, changes, homesIn(raw, [read(), began]));
    for (const [copy, original] of originals) given.addCopy(copy, original);
    for (const [key, moment] of began) seen.set(key, heldNow(moment, raw[key], originals));
    for (const [key, steps] of changes) {
      const held = (moment: Moment) => heldNow(moment, raw[key], originals);
      if (steps !== WHOLE) changes.set(key, heldSteps(steps, held));
    }
  }

  for (const key of new Set([...start.keys(), ...now.keys(), ...Object.keys(target)])) {
    const steps = changes.get(key);
    const [was, is] = [start.get(key), now.get(key)];
    const to = Object.hasOwn(target, key) ? textOf(target[key]) : undefined;
    if (steps === WHOLE || was === to) continue;
    if (was === is && !steps && areSame(seen.get(key), raw[key])) {
      given.addPlaced(place(raw, key, is, target), userId);
      seen.set(key, objectsIn(raw[key]));
    } else if (isText(was) && isText(is)) {
      const from = momentOf(was, seen.get(key) ?? []);
      const end = momentOf(is, objectsIn(raw[key]));
      const began = objectsIn(target[key]);
      const done = replaySteps(steps ?? [], from, end, target, key, {
        dropped: (path) => dropped.push(pathIn(path)),
        copied: given.copied,
      });
      const placed = place(raw, key, is, target);
      given.addPlaced(placed, userId);
      const held = (objects: readonly object[]) => objects.map((object) => placed.get(object) ?? object);
      seen.set(key, held(began));
      if (steps)
        changes.set(
          key,
          heldSteps(done, ({ objects }) => held(objects)),
        );
    } else {
      // It can't be kept, and can't be merged either.
      changes.set(key, WHOLE);
    }
  }
  order(raw, target);
  tracker.restart({ byKey: seen }, changes);
  return dropped;
}

/** Whether no object of a value was replaced by another one of the same text. */
function areSame(objects: readonly object[] | undefined, value: unknown): boolean {
  return objects === undefined || objectsIn(value).every((object, i) => object === objects[i]);
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

const textIn = (values: Values, key: string): string | undefined => {
  const text = values.get(key);
  return typeof text === "string" ? text : undefined;
};

const heldSteps = (steps: readonly Step[], held: (moment: Moment) => object[]): Step[] =>
  steps.map((step) => {
    const after = { ...step.after, objects: held(step.after) };
    if (step.kind === "create") return { ...step, after };
    return { ...step, before: { ...step.before, objects: held(step.before) }, after };
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
