import { setImmediate as nextTurn } from "node:timers/promises";
import { contentName, SHARDS, shardAt, parseContentName, parsePointerName, type Pointer } from "./names.ts";
import { createPause, type Files, isOlderThan, LEFTOVER_AGE_MS } from "./files.ts";

/** The parts of the store that the cleanup uses. */
export interface CleanupOptions {
  readonly files: Files;
  readonly clock: () => number;
  /** Throws once the store is closed. */
  readonly assertOpen: () => void;
  /** Removes the files that belonged to a removed pointer. */
  readonly removeFilesOf: (pointer: Pointer) => void;
  /** Follows `removeFilesOf`. Takes all removed pointers of one shard at once, so that the shard is listed only once. */
  readonly restoreUserEntries: (pointers: readonly Pointer[]) => void;
}

/**
 * Returns a function that deletes expired sessions, shard after shard, and leftover files of killed processes.
 *
 * It takes no lock. A pointer's name contains the expiry, and the pointer is removed by that name. If another process has
 * extended or replaced the session in the meantime, the name no longer exists and nothing is removed.
 */
export function createCleanup({
  files,
  clock,
  assertOpen,
  removeFilesOf,
  restoreUserEntries,
}: CleanupOptions): (limit: number) => Promise<number> {
  // The shard where the next call continues. A shard in which the limit was reached is listed again.
  let cursor = 0;
  // Leftovers are rare and the search for them doubles the work, so not every round includes it.
  const leftoversDeletedAt = new Map<string, number>();

  return async (limit) => {
    // Calls follow each other, so each call begins with a pause.
    await nextTurn();
    assertOpen();
    const pause = createPause();
    let deleted = 0;

    const existing = new Set(files.list("pointers"));
    await pause();
    for (const name of files.list("contents")) existing.add(name);
    for (let step = 0; step < SHARDS; step += 1) {
      const shard = shardAt(cursor);
      if (existing.has(shard)) {
        await pause();
        assertOpen();
        deleted += await deleteExpiredIn(shard, limit - deleted, pause);
        // The next call deletes the rest of this shard.
        if (deleted === limit) break;
        await pause();
        if (performance.now() - (leftoversDeletedAt.get(shard) ?? -Infinity) >= LEFTOVER_AGE_MS) {
          await deleteLeftovers(shard, pause);
          leftoversDeletedAt.set(shard, performance.now());
        }
      }
      cursor = (cursor + 1) % SHARDS;
    }
    return deleted;
  };

  async function deleteExpiredIn(
    shard: string,
    limit: number,
    pause: () => Promise<void> | undefined,
  ): Promise<number> {
    let deleted = 0;
    const removed: Pointer[] = [];
    for (const name of files.list(`pointers/${shard}`)) {
      const pointer = parsePointerName(name);
      if (pointer === undefined || pointer.expiresAt > clock()) continue;
      if (!files.remove("pointers", name)) continue;
      deleted += 1;
      removeFilesOf(pointer);
      removed.push(pointer);
      if (deleted === limit) break;
      await pause();
      assertOpen();
    }
    restoreUserEntries(removed);
    return deleted;
  }

  /** Removes contents and reservations without a pointer, if no process can still be working with them. */
  async function deleteLeftovers(shard: string, pause: () => Promise<void> | undefined): Promise<void> {
    // Contents are listed first. A pointer that appears after that is in the second listing.
    const contents = files.list(`contents/${shard}`);
    const used = new Set<string>();
    for (const name of files.list(`pointers/${shard}`)) {
      const pointer = parsePointerName(name);
      if (pointer !== undefined) used.add(contentName(pointer.key, pointer.nonce));
    }
    for (const name of contents) {
      const content = parseContentName(name);
      if (content === undefined || used.has(name) || !isOlderThan(files.changedAt("contents", name))) continue;
      await pause();
      assertOpen();
      // A listing can miss a pointer that is renamed at the same time, so the pointer is looked up again.
      const pointer = files.find(content.key);
      if (pointer === undefined || contentName(pointer.key, pointer.nonce) !== name) files.remove("contents", name);
    }
  }
}
