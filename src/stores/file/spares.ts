import { LEFTOVER_AGE_MS } from "./files.ts";

/** A session's content file. */
export interface ContentFile {
  readonly key: string;
  readonly fileId: string;
  /** The size in bytes and the time of the last write, if this process has written the file. Else they are not known. */
  readonly written?: { readonly size: number; readonly at: number };
}

// Enough for the sessions that are in use at one moment: the spare of another session has to be renamed to another directory.
// Each process leaves so many files behind when it is killed.
const MAX_SPARES = 1024;
// Another process deletes unused files that are older than LEFTOVER_AGE_MS, and must not do so while this one writes.
const MAX_AGE_MS = LEFTOVER_AGE_MS / 2;

/**
 * The content files that this process can write again, because it has replaced their pointers. So no other process has the
 * same spare. Making a file and removing another for each write would be slow:
 * ext4 does not reuse an inode for a minute, and searches longer and longer for a free one.
 */
export function createSpares(maxSpares = MAX_SPARES) {
  // One for each session, the oldest first.
  const spares = new Map<string, ContentFile>();

  function remove(spare: ContentFile | undefined): ContentFile | undefined {
    if (spare !== undefined) spares.delete(spare.key);
    return spare;
  }

  return {
    /** Returns the session's spare, or else the oldest one. It returns `undefined` until there are enough of them. */
    take(key: string): ContentFile | undefined {
      const own = remove(spares.get(key));
      if (own !== undefined || spares.size < maxSpares) return own;
      const [oldest] = spares.values();
      return remove(oldest);
    },

    /** Keeps a spare. Returns one that has no place: its file is to be removed. */
    keep(spare: ContentFile): ContentFile | undefined {
      const replaced = remove(spares.get(spare.key));
      spares.set(spare.key, spare);
      if (spares.size <= maxSpares) return replaced;
      const [oldest] = spares.values();
      return remove(oldest);
    },

    /** Forgets the spare of a session that has ended, and returns it. */
    forget: (key: string): ContentFile | undefined => remove(spares.get(key)),
  };
}

/**
 * Returns whether the spare may be overwritten without a new name. Nobody else may do anything with the file meanwhile: it
 * must be this session's, and too young to be deleted by another process.
 */
export function canOverwriteInPlace({ key, written }: ContentFile, keyOfWrite: string): boolean {
  if (key !== keyOfWrite || written === undefined) return false;
  const age = Date.now() - written.at;
  return age >= 0 && age < MAX_AGE_MS;
}
