import { type Files, isOlderThan } from "./files.ts";
import { keyOfPointerName, parsePointerName, type Pointer, shardOf, userEntryName } from "./names.ts";

export type IndexEntry = Pick<Pointer, "userHash" | "key">;

/**
 * The index of users' sessions: an empty file for each session that has a user.
 *
 * An entry is added before its session becomes visible with that user. It is removed after the session has ended or has
 * got another user. One process may remove an entry while another process gives the session back to that user. Both check
 * after they have acted: the first adds the entry again if it sees the session, and the second adds it if it is missing.
 */
export function fileUserIndex(files: Files) {
  const add = (userHash: string, key: string): void => {
    if (userHash !== "") files.reserve("users", userEntryName(userHash, key));
  };
  return {
    add,

    remove({ userHash, key }: IndexEntry): void {
      if (userHash !== "") files.remove("users", userEntryName(userHash, key));
    },

    /** Adds removed entries again if their sessions are back. All the sessions must be in one shard. */
    restore(removed: readonly IndexEntry[]): void {
      const userHashes = new Map(
        removed.filter(({ userHash }) => userHash !== "").map(({ userHash, key }) => [key, userHash]),
      );
      const [first] = userHashes.keys();
      if (first === undefined) return;
      for (const name of files.list(`pointers/${shardOf(first)}`)) {
        const userHash = userHashes.get(keyOfPointerName(name));
        if (userHash !== undefined && parsePointerName(name)?.userHash === userHash)
          add(userHash, keyOfPointerName(name));
      }
    },

    /** Lists a user's entries. An old entry may be removed if its session is gone. */
    *entriesOf(userHash: string): Generator<{ key: string; isOld: boolean }> {
      for (const name of files.list(`users/${shardOf(userHash)}`)) {
        if (!name.startsWith(`${userHash}.`)) continue;
        yield { key: name.slice(userHash.length + 1), isOld: isOlderThan(files.changedAt("users", name)) };
      }
    },
  };
}
