import { BOUNDLESS, decode, encode, pathOf, type Dictionary, type Limits } from "./codec.ts";
import { objectsIn, textOf } from "./containers.ts";
import { mergeFlashes } from "./flashes.ts";
import type { GivenObjects } from "./given-objects.ts";
import type { StoredFlash } from "../record/record.ts";
import { NO_VALUE, replaySteps, WHOLE, type KeyChanges, type Moment } from "./steps.ts";

/** The content of a session that its handler sees: the encoded data and the flashes. */
export interface Content {
  readonly data: string;
  readonly flashes: readonly StoredFlash[];
  /** The paths of changes that a merge has dropped: others had removed what they were made in. */
  readonly dropped?: readonly string[];
  /** The user whose session it is. */
  readonly userId?: string | undefined;
}

/** Objects that a handler holds, each list in the order of the text. */
export interface SeenObjects {
  /** Those of the whole dictionary. */
  readonly all?: readonly object[];
  /** Those of one key's value, once the handler has asked for it. */
  readonly byKey?: Map<string, readonly object[]>;
}

/** The objects by key; `data` are decoded from the text of that moment. */
export function objectsByKey({ all, byKey }: SeenObjects, data: Dictionary): Map<string, readonly object[]> {
  if (!all) return byKey ?? new Map();
  const found = new Map<string, readonly object[]>();
  // The first is the dictionary itself.
  let from = 1;
  for (const key of Object.keys(data)) {
    const { length } = objectsIn(data[key]);
    found.set(key, all.slice(from, from + length));
    from += length;
  }
  return found;
}

/** The changes of a request at one moment, in a form that can be applied to another content than its first one. */
export interface Snapshot {
  readonly base: Content;
  readonly content: Content;
  readonly changes: ReadonlyMap<string, KeyChanges>;
  /** Those that the tracker told: without the ones that a sign-in has made assignments of. */
  readonly tracked: ReadonlyMap<string, KeyChanges>;
  /** The objects at the beginning of the changes, and at their end. */
  readonly from: SeenObjects;
  readonly end: SeenObjects;
  readonly given: GivenObjects;
}

export const EMPTY: Content = { data: "{}", flashes: [] };

/** Applies the changes of a snapshot to another content than the one that the request began with. */
export function replay(
  { base, content, changes, from, end, given }: Snapshot,
  newest: Content,
  limits: Limits,
): Content {
  const before = decode(base.data);
  const mine = decode(content.data);
  const merged = decode(newest.data);
  // The function of an update is called with them.
  given.addValue(merged, newest.userId);
  const [seen, seenLast] = [objectsByKey(from, before), objectsByKey(end, mine)];
  const dropped: string[] = [];
  for (const key of new Set([...seen.keys(), ...changes.keys()])) {
    const steps = changes.get(key) ?? [];
    if (steps !== WHOLE) {
      const [began, ended] = [momentIn(before, key, seen), momentIn(mine, key, seenLast)];
      const replaying = { dropped: (path: Path) => dropped.push(pathIn(path)), copied: given.copied };
      replaySteps(steps, began, ended, merged, key, replaying);
    } else if (Object.hasOwn(mine, key)) merged[key] = mine[key];
    else delete merged[key];
  }
  const data = encode(merged, limits);
  const merging = { data, flashes: mergeFlashes(base.flashes, content.flashes, newest.flashes) };
  return dropped.length > 0 ? { ...merging, dropped } : merging;
}

/** A content with the keys of `keep` and no others. Flashes are no data, and never kept. */
export function only(content: Content, keep: readonly string[]): Content {
  if (keep.length === 0) return EMPTY;
  const data = decode(content.data);
  for (const key of Object.keys(data)) if (!keep.includes(key)) delete data[key];
  return { data: encode(data, BOUNDLESS), flashes: [], userId: content.userId };
}

function momentIn(data: Dictionary, key: string, seen: ReadonlyMap<string, readonly object[]>): Moment {
  if (!Object.hasOwn(data, key)) return NO_VALUE;
  return { text: textOf(data[key]), objects: seen.get(key) ?? [] };
}

type Path = readonly (string | number)[];

export const pathIn = (path: Path): string => pathOf("session.data", path);
