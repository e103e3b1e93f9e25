import { slotOf } from "./slot.ts";

// In a cluster, a message sent with SPUBLISH stays among the nodes of the shard that has the channel's slot, and a script
// can send it where it deletes, if that is the same node. A channel for each slot would be 16 384 subscriptions, so there
// is one for each group of slots that follow each other: a shard's slots mostly do.

/** As many groups of slots as have a channel each. */
const GROUPS = 256;
const SLOTS = 16_384;

let found: readonly string[] | undefined;

/** For each group the least number that hashes into it: every process finds the same. Takes a millisecond, once. */
export function groupTags(): readonly string[] {
  if (found) return found;
  const tags: string[] = [];
  for (let number = 0, missing = GROUPS; missing > 0; number += 1) {
    const group = groupOf(`${number}`);
    if (tags[group] !== undefined) continue;
    tags[group] = `${number}`;
    missing -= 1;
  }
  return (found = tags);
}

/** The group that a key's slot is in. */
export function groupOf(key: string): number {
  return Math.floor((slotOf(key) * GROUPS) / SLOTS);
}
