import { kindOf, type Dictionary } from "./codec.ts";
import { isObject, isSameKind, setMember, textOf } from "./containers.ts";

/**
 * Merging of values that were changed in place: what was done to `base` to make `mine` is done to `theirs`. The rules
 * are in docs/merging.md.
 */

/** A place where there is nothing. */
export const ABSENT = Symbol("absent");

export interface Merging {
  /** The object that the handler holds for one of `base` or `mine`: an object that is the same in both was not replaced. */
  identityOf(object: object): object;
  /** The change of a place is dropped: others have removed the container that was changed, or put another kind there. */
  dropped(path: readonly (string | number)[]): void;
  /** @see Replaying */
  readonly isAnew: boolean;
}

type Path = readonly (string | number)[];

/**
 * Merges one place, and gives what is to stand there. The containers of `theirs` are changed, and parts of `mine` are put
 * into them.
 */
export function mergePlace(base: unknown, mine: unknown, theirs: unknown, merging: Merging, path: Path): unknown {
  if (!isObject(base) || !isObject(mine) || merging.identityOf(base) !== merging.identityOf(mine)) {
    return !isObject(mine) && Object.is(base, mine) ? theirs : mine;
  }
  if (!isSameKind(theirs, base)) {
    if (textOf(base) !== textOf(mine)) merging.dropped(path);
    return theirs;
  }
  if (kindOf(base) === "leaf") return textOf(base) === textOf(mine) ? theirs : mine;
  mergeContainer(base, mine, theirs, merging, path);
  return theirs;
}

/** All three are of one kind. */
function mergeContainer(base: object, mine: object, theirs: object, merging: Merging, path: Path): void {
  if (base instanceof Map)
    mergeMap(base, mine as Map<unknown, unknown>, theirs as Map<unknown, unknown>, merging, path);
  else if (base instanceof Set) mergeSet(base, mine as Set<unknown>, theirs as Set<unknown>);
  else if (Array.isArray(base)) mergeArray(base, mine as unknown[], theirs as unknown[], merging, path);
  else mergeObject(base as Dictionary, mine as Dictionary, theirs as Dictionary, merging, path);
}

function mergeObject(base: Dictionary, mine: Dictionary, theirs: Dictionary, merging: Merging, path: Path): void {
  for (const name of Object.keys(base)) if (!Object.hasOwn(mine, name)) delete theirs[name];
  for (const name of Object.keys(mine)) {
    const value = mine[name];
    if (!Object.hasOwn(base, name)) setMember(theirs, name, value);
    else {
      const there = Object.hasOwn(theirs, name) ? theirs[name] : ABSENT;
      const merged = mergePlace(base[name], value, there, merging, [...path, name]);
      if (merged !== there) setMember(theirs, name, merged);
    }
  }
}

type Entries = Map<unknown, unknown>;

function mergeMap(base: Entries, mine: Entries, theirs: Entries, merging: Merging, path: Path): void {
  const before = keysByText(base);
  const now = keysByText(mine);
  const there = keysByText(theirs);
  for (const text of before.keys()) if (!now.has(text) && there.has(text)) theirs.delete(there.get(text));
  for (const [text, key] of now) {
    const value = mine.get(key);
    const name = typeof key === "string" ? key : text;
    if (!before.has(text)) theirs.set(there.has(text) ? there.get(text) : key, value);
    else {
      const isThere = there.has(text);
      const old = isThere ? theirs.get(there.get(text)) : ABSENT;
      const merged = mergePlace(base.get(before.get(text)), value, old, merging, [...path, name]);
      if (merged !== old) theirs.set(isThere ? there.get(text) : key, merged);
    }
  }
}

const keysByText = (map: Entries): Map<string, unknown> => new Map(Array.from(map.keys(), (key) => [textOf(key), key]));

function mergeSet(base: Set<unknown>, mine: Set<unknown>, theirs: Set<unknown>): void {
  const before = new Set(Array.from(base, textOf));
  const now = new Map(Array.from(mine, (member) => [textOf(member), member]));
  const there = new Set<string>();
  for (const member of theirs) {
    const text = textOf(member);
    if (before.has(text) && !now.has(text)) theirs.delete(member);
    else there.add(text);
  }
  for (const [text, member] of now) if (!before.has(text) && !there.has(text)) theirs.add(member);
}

function mergeArray(base: unknown[], mine: unknown[], theirs: unknown[], merging: Merging, path: Path): void {
  const before = base.map(textOf);
  const now = mine.map(textOf);
  const identityOf = (item: unknown) => (isObject(item) ? merging.identityOf(item) : undefined);
  const isSame = (i: number) => isObject(base[i]) && identityOf(base[i]) === identityOf(mine[i]);
  const isInPlace = now.length >= before.length && before.every((text, i) => text === now[i] || isSame(i));
  const changes = isInPlace ? before.flatMap((text, i) => (text === now[i] ? [] : [i])) : [];
  const appended = mine.slice(before.length);
  if (isInPlace && changes.length === 0) append(theirs, appended);
  else if (isInPlace && isUnmoved(before, theirs) && changes.every((i) => isSameKind(theirs[i], base[i] as object))) {
    for (const i of changes) theirs[i] = mergePlace(base[i], mine[i], theirs[i], merging, [...path, i]);
    append(theirs, appended);
  } else {
    const edit = isInPlace ? undefined : removalsAndAppends(before, now);
    const old = new Set(base.map(identityOf));
    // An object of before that is among the appended was moved.
    const isMoved = edit && mine.slice(edit.kept).some((item) => isObject(item) && old.has(identityOf(item)));
    if (edit && !isMoved) {
      remove(theirs, edit.removed);
      append(theirs, mine.slice(edit.kept));
    } else if (merging.isAnew) {
      const unchanged = new Set(before);
      append(
        theirs,
        mine.filter((_, i) => !unchanged.has(now[i]!)),
      );
    } else {
      theirs.length = 0;
      append(theirs, mine);
    }
  }
}

function append(theirs: unknown[], items: readonly unknown[]): void {
  for (const item of items) theirs.push(item);
}

/** Whether others have left the items where they were. An item of theirs that differs was changed in its place. */
function isUnmoved(before: readonly string[], theirs: readonly unknown[]): boolean {
  if (theirs.length < before.length) return false;
  const there = theirs.map(textOf);
  const others = new Set(there.filter((text, i) => text !== before[i]));
  return before.every((text, i) => text === there[i] || !others.has(text));
}

interface Edit {
  /** How many items of `mine` were there before; the others were appended. */
  readonly kept: number;
  /** How often an item of this text was removed. */
  readonly removed: ReadonlyMap<string, number>;
}

/** How an array comes from `before` by removing items and appending others; `undefined` where it does not. */
function removalsAndAppends(before: readonly string[], now: readonly string[]): Edit | undefined {
  const removed = new Map<string, number>();
  const addRemoved = (text: string) => removed.set(text, (removed.get(text) ?? 0) + 1);
  let kept = 0;
  let from = 0;
  for (; kept < now.length; kept += 1) {
    const at = before.indexOf(now[kept]!, from);
    if (at === -1) break;
    before.slice(from, at).forEach(addRemoved);
    from = at + 1;
  }
  before.slice(from).forEach(addRemoved);
  // An item that was removed and appended was moved.
  return now.slice(kept).some((text) => removed.has(text)) ? undefined : { kept, removed };
}

function remove(theirs: unknown[], removed: ReadonlyMap<string, number>): void {
  const left = new Map(removed);
  let kept = 0;
  for (const item of theirs) {
    const text = textOf(item);
    const count = left.get(text) ?? 0;
    if (count > 0) left.set(text, count - 1);
    else theirs[kept++] = item;
  }
  theirs.length = kept;
}
