import {
  contentName,
  SHARDS,
  shardAt,
  keyIn,
  markerName,
  parseContent,
  parsePointer,
  type Pointer,
  shardOf,
} from "./names.ts";
import { type Files, LEFTOVER_AGE, slices } from "./files.ts";

/** What the collector needs of the store. */
export interface Collected {
  readonly files: Files;
  readonly clock: () => number;
  /** Throws once the store is closed. */
  readonly open: () => void;
  /** Cleans up after a pointer that is gone. */
  readonly cleared: (pointer: Pointer) => void;
  /** Follows `cleared` for pointers of one shard: listing it once does for all. */
  readonly settled: (pointers: readonly Pointer[]) => void;
}

/**
 * Forgets expired sessions, shard after shard, and what dead processes left behind.
 *
 * Nothing is locked. A pointer is removed by the very name that says it has expired: whoever extended or replaced the
 * session meanwhile gave it another, and the removal misses.
 */
export function collector({ files, clock, open, cleared, settled }: Collected): (limit: number) => Promise<number> {
  // Where the next call goes on: a shard that was cut short by the limit is looked at again.
  let cursor = 0;
  // Leftovers are rare, and looking for them doubles the work: not in every round.
  const sweptAt = new Map<string, number>();

  return async (limit) => {
    const pause = slices();
    let forgotten = 0;

    const made = new Set(files.list("pointers"));
    await pause();
    for (const name of files.list("contents")) made.add(name);
    for (let step = 0; step < SHARDS; step += 1) {
      const shard = shardAt(cursor);
      if (made.has(shard)) {
        await pause();
        open();
        forgotten += await forget(shard, limit - forgotten, pause);
        // What is left in this shard is for the next call.
        if (forgotten === limit) break;
        await pause();
        if (performance.now() - (sweptAt.get(shard) ?? -Infinity) >= LEFTOVER_AGE) {
          await sweep(shard, pause);
          sweptAt.set(shard, performance.now());
        }
      }
      cursor = (cursor + 1) % SHARDS;
    }
    return forgotten;
  };

  async function forget(shard: string, limit: number, pause: () => Promise<void> | undefined): Promise<number> {
    let forgotten = 0;
    const gone: Pointer[] = [];
    for (const name of files.list(`pointers/${shard}`)) {
      const pointer = parsePointer(name);
      if (pointer === undefined || pointer.expiresAt > clock()) continue;
      if (!files.remove("pointers", name)) continue;
      forgotten += 1;
      cleared(pointer);
      gone.push(pointer);
      if (forgotten === limit) break;
      await pause();
      open();
    }
    settled(gone);
    return forgotten;
  }

  /** Removes the contents and reservations that nothing points to, if they are old enough to belong to nobody. */
  async function sweep(shard: string, pause: () => Promise<void> | undefined): Promise<void> {
    // The contents first: what is published after that is in the second listing.
    const contents = files.list(`contents/${shard}`);
    const used = new Set<string>();
    for (const name of files.list(`pointers/${shard}`)) {
      const pointer = parsePointer(name);
      if (pointer !== undefined) used.add(contentName(pointer.key, pointer.nonce));
    }
    for (const name of contents) {
      const content = parseContent(name);
      if (content === undefined || used.has(name) || !isOld(files.changedAt("contents", name))) continue;
      await pause();
      open();
      // Asked once more, because a listing may pass by a pointer that is being renamed.
      if (files.find(content.key)?.nonce !== content.nonce) files.remove("contents", name);
    }
  }
}

/** By the system's clock, as the files' times are; an injected one may stand elsewhere. */
export function isOld(changedAt: number | undefined, age = LEFTOVER_AGE): boolean {
  return changedAt !== undefined && Date.now() - changedAt > age;
}

type Marked = Pick<Pointer, "tag" | "key">;

/**
 * The marks by which a user's sessions are found: one empty file for each.
 *
 * A mark is set before a session becomes visible with that user and removed after it has ceased to be. When one
 * process removes it while another brings the session back to that user, either the remover sees the session and sets
 * the mark again, or the other finds its mark missing and does: each looks after it has acted.
 */
export function userMarkers(files: Files) {
  const set = (tag: string, key: string): void => {
    if (tag !== "") files.reserve("users", markerName(tag, key));
  };
  return {
    set,

    remove({ tag, key }: Marked): void {
      if (tag !== "") files.remove("users", markerName(tag, key));
    },

    /** Sets again, of marks removed, all of one shard, those whose session is back. */
    restore(removed: readonly Marked[]): void {
      const tags = new Map(removed.filter(({ tag }) => tag !== "").map(({ tag, key }) => [key, tag]));
      const [first] = tags.keys();
      if (first === undefined) return;
      for (const name of files.list(`pointers/${shardOf(first)}`)) {
        const tag = tags.get(keyIn(name));
        if (tag !== undefined && parsePointer(name)?.tag === tag) set(tag, keyIn(name));
      }
    },

    /** The keys under a user's marks, and whether each mark is old enough to be removed if it turns out stale. */
    *of(tag: string): Generator<{ key: string; old: boolean }> {
      for (const name of files.list(`users/${shardOf(tag)}`)) {
        if (!name.startsWith(`${tag}.`)) continue;
        yield { key: name.slice(tag.length + 1), old: isOld(files.changedAt("users", name)) };
      }
    },
  };
}
