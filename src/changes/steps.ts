import { decodeValue, kindOf, type Dictionary } from "./codec.ts";
import { copyOf, isObject, isSameKind, objectsIn, setMember, textOf, type Copied } from "./containers.ts";
import { ABSENT, mergePlace } from "./merge.ts";

/** Changes one value: called again if another request stores the session first. */
export type Updater = (value: unknown) => unknown;

/** A value at one moment: its text, `undefined` where there is none, and the objects that the handler held for it. */
export interface Moment {
  readonly text: string | undefined;
  readonly objects: readonly object[];
}

/** One step in the changes of a key. Changes in place lie between the steps: they are found by comparing moments. */
export type Step =
  /** There was nothing, and an empty container was assigned: it is created if there is none. */
  | { readonly kind: "create"; readonly empty: string; readonly after: Moment }
  | { readonly kind: "update"; readonly before: Moment; readonly apply: Updater[]; readonly after: Moment }
  /** A save has put changes of other requests into the value: what lies between the two moments is not this request's. */
  | { readonly kind: "others"; readonly before: Moment; readonly after: Moment };

/** The key was assigned or deleted: its last value counts as a whole, or that there is none. */
export const WHOLE = "whole";

/** The changes of one key, in program order. */
export type KeyChanges = typeof WHOLE | readonly Step[];

export type Changes = Map<string, KeyChanges>;
export type ReadonlyChanges = ReadonlyMap<string, KeyChanges>;

export const NO_VALUE: Moment = { text: undefined, objects: [] };

export function momentOf(data: Dictionary, key: string): Moment {
  if (!Object.hasOwn(data, key)) return NO_VALUE;
  const value = data[key];
  return { text: textOf(value), objects: objectsIn(value) };
}

/** The changes of one key, and others that came after them. */
export function followedBy(earlier: KeyChanges | undefined, later: KeyChanges | undefined): KeyChanges | undefined {
  if (earlier === undefined || later === undefined) return earlier ?? later;
  return earlier === WHOLE || later === WHOLE ? WHOLE : [...earlier, ...later];
}

export function joined(earlier: ReadonlyChanges, later: ReadonlyChanges): Changes {
  const all = new Map(earlier);
  for (const [key, changes] of later) all.set(key, followedBy(all.get(key), changes)!);
  return all;
}

/** Callbacks while changes are replayed. */
export interface Replaying {
  /** The change of a place is dropped. */
  dropped(path: readonly (string | number)[]): void;
  /** A copy of an object that the handler holds takes its place. */
  readonly copied: Copied;
  /** There was nothing before: unchanged items of an array that has changed as a whole do not come along. */
  readonly isAnew?: boolean;
}

/**
 * Applies what was done to a key between two moments to another value of it: the one in `data`, which is changed.
 *
 * @returns the same steps, as they have gone this time.
 */
export function replaySteps(
  steps: readonly Step[],
  from: Moment,
  end: Moment,
  data: Dictionary,
  key: string,
  replaying: Replaying,
): Step[] {
  let began = from;
  const done: Step[] = [];
  for (const step of steps) {
    if (step.kind === "create") {
      const empty = decodeValue(step.empty);
      if (Object.hasOwn(data, key)) complete(data[key], empty);
      else data[key] = empty;
      done.push({ ...step, after: momentOf(data, key) });
    } else {
      mergeMoments(began, step.before, data, key, replaying);
      const before = momentOf(data, key);
      if (step.kind === "others") {
        done.push({ ...step, before, after: before });
        began = step.after;
        continue;
      }
      for (const apply of step.apply) applyTo(data, key, apply, replaying);
      done.push({ ...step, before, after: momentOf(data, key) });
    }
    began = step.after;
  }
  mergeMoments(began, end, data, key, replaying);
  return done;
}

function applyTo(data: Dictionary, key: string, apply: Updater, { copied }: Replaying): void {
  const value = apply(Object.hasOwn(data, key) ? data[key] : undefined);
  if (value === undefined) delete data[key];
  // The function may give an object that the handler holds.
  else data[key] = copyOf(value, copied);
}

/** Creates the empty containers that a value lacks. */
function complete(value: unknown, empty: unknown): void {
  if (!isObject(empty) || kindOf(empty) !== "object" || !isSameKind(value, empty)) return;
  for (const [name, child] of Object.entries(empty)) {
    if (Object.hasOwn(value, name)) complete((value as Dictionary)[name], child);
    else setMember(value, name, child);
  }
}

/** Merges what was changed in place between two moments. Whether there is a value, and which, is for the steps. */
function mergeMoments(from: Moment, end: Moment, data: Dictionary, key: string, replaying: Replaying): void {
  if (from.text === undefined || end.text === undefined) return;
  const base = decodeValue(from.text);
  const mine = decodeValue(end.text);
  if (!isObject(base) || !isObject(mine)) return;
  const held = identitiesOf(mine, end);
  const identities = new Map([...identitiesOf(base, from), ...held]);
  for (const [copy, original] of held) replaying.copied(copy, original);
  const theirs = Object.hasOwn(data, key) ? data[key] : ABSENT;
  const identityOf = (object: object) => identities.get(object)!;
  const merging = { identityOf, dropped: replaying.dropped, isAnew: replaying.isAnew === true };
  const merged = mergePlace(base, mine, theirs, merging, [key]);
  if (merged !== theirs) data[key] = merged;
}

const identitiesOf = (value: unknown, { objects }: Moment): (readonly [object, object])[] =>
  objectsIn(value).map((object, i) => [object, objects[i] ?? object]);
