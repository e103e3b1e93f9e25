import { objectsIn } from "./containers.ts";
import type { GivenObjects } from "./given-objects.ts";
import { createRandomPart } from "../random.ts";
import type { StoredFlash } from "../record/record.ts";
import { without, type ObjectSet } from "./strip.ts";

/** Flashes that nobody has come to see are forgotten, the oldest first, beyond this many. */
export const MAX_FLASHES = 100;

/** Adds to `newest` the flashes that `mine` has added to `base`, and removes those that it has taken. */
export function mergeFlashes(
  base: readonly StoredFlash[],
  mine: readonly StoredFlash[],
  newest: readonly StoredFlash[],
): readonly StoredFlash[] {
  if (mine === base) return newest;
  const before = new Set(base.map(({ key }) => key));
  const kept = new Set(mine.map(({ key }) => key));
  return newest
    .filter(({ key }) => !before.has(key) || kept.has(key))
    .concat(mine.filter(({ key }) => !before.has(key)))
    .slice(-MAX_FLASHES);
}

/** Removes hidden objects from a flash, and the flash where nothing else is in it. */
export function withoutHidden(flash: StoredFlash, given: GivenObjects, hidden: ObjectSet): StoredFlash[] {
  if (!objectsIn(flash.message).some((object) => hidden.has(object))) return [flash];
  const message = without(given.copyOf(flash.message), hidden);
  // A key of its own: by its key a flash counts as unchanged.
  return message === undefined ? [] : [{ ...flash, message, key: createRandomPart() }];
}

export const areSameFlashes = (a: readonly StoredFlash[], b: readonly StoredFlash[]): boolean =>
  a.length === b.length && a.every(({ key }, i) => key === b[i]!.key);
