/** The number of slots of a Redis Cluster. */
export const SLOT_COUNT = 16_384;

const POLYNOMIAL = 0x1021;

/** The slot of a Redis Cluster that a key belongs to: CRC16 (XMODEM) of the key, or of its hash tag in braces. */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open === -1 ? -1 : key.indexOf("}", open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of new TextEncoder().encode(hashed)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = ((crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0)) & 0xffff;
  }
  return crc % SLOT_COUNT;
}

// In a cluster, SPUBLISH sends a message only to the nodes of the shard that has the channel's slot. A script can send
// it in the same step as it deletes, if its node has that slot. A channel for each slot would need 16 384
// subscriptions. Neighbouring slots are mostly on the same shard, so there is one channel for each group of neighbours.

const GROUP_COUNT = 256;

let cachedTags: readonly string[] | undefined;

/**
 * A hash tag for each group: the smallest number that hashes into it, so that every process computes the same. The first
 * call takes about a millisecond.
 */
export function slotGroupTags(): readonly string[] {
  if (cachedTags) return cachedTags;
  const tags: string[] = [];
  for (let number = 0, missing = GROUP_COUNT; missing > 0; number += 1) {
    const group = slotGroupOf(`${number}`);
    if (tags[group] !== undefined) continue;
    tags[group] = `${number}`;
    missing -= 1;
  }
  return (cachedTags = tags);
}

/** The group of a key's slot. */
export function slotGroupOf(key: string): number {
  return Math.floor((slotOf(key) * GROUP_COUNT) / SLOT_COUNT);
}
