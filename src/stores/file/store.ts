import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore, StoredSession, StoreListener } from "../../store.ts";
import { collector, isOld, userMarkers } from "./cleanup.ts";
import { type Content, decodeContent, encodeContent } from "./content.ts";
import { openDirectory } from "./directory.ts";
import { fileSubscription } from "./subscription.ts";
import {
  contentName,
  keyIn,
  keyOf,
  nonces,
  pointer as pointerOf,
  type Pointer,
  reservationName,
  SHARDS,
  shardAt,
  tagOf,
} from "./names.ts";
import { fileHints } from "./hints.ts";
import { filesIn, RESERVATION_AGE, slices } from "./files.ts";
import { quietly } from "../shared/quietly.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime, copyOf } from "../shared/stored.ts";

/** A session whose file could not be believed, and where it was put. */
export interface Quarantined {
  /** The session's id, where it is known. */
  readonly id?: string | undefined;
  /** The file that was moved aside. */
  readonly path: string;
  /** What is wrong with it. */
  readonly reason: string;
}

/** Where {@link fileStore} keeps sessions, and whom it tells. */
export interface FileStoreOptions {
  /**
   * Where sessions are kept; made, for this user alone, where it is missing. Default: a directory in the system's
   * temporary one, `sojourn-<user>-<application>-<hash>`, that belongs to this user and to the application that was
   * started in this working directory. Temporary directories are cleaned: name another where sessions last for weeks.
   */
  directory?: string | undefined;
  /** Told of each session whose file is torn or missing. Default: a process warning, `SOJOURN_QUARANTINED`. */
  onQuarantine?: ((quarantined: Quarantined) => void) | undefined;
  /** Epoch milliseconds. Default `Date.now`; tests pass their own. */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} with all its capabilities, in files. */
export interface FileStore extends SessionStore {
  /** Where the sessions are kept: an absolute path. */
  readonly directory: string;
  /** The file that holds the session's content at this moment; each update writes another. */
  locate(id: string): string | undefined;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

// How long create waits for another process that is creating the same session: that takes it well under 1 ms.
const PATIENCE = 1000;

/**
 * Keeps sessions in files, where several processes of one machine share them and where they outlive a restart.
 *
 * One step, the renaming of an empty file, replaces, extends or ends a session: nothing is ever torn, and a process
 * may be killed at any moment. Its calls into the file system are synchronous, some microseconds each: it is made for
 * a local disk, not for a network's. It does not wait for the disk; after a power cut the last seconds may be missing.
 *
 * @param options where to keep them, or just the directory.
 * @throws {TypeError} at an option it doesn't know or can't use.
 * @throws {Error} where the directory can't be made, or where others than this user could write in it.
 */
export function fileStore(options: FileStoreOptions | string = {}): FileStore {
  const given: FileStoreOptions = typeof options === "string" ? { directory: options } : options;
  checkOptions("fileStore", given, { directory: true, onQuarantine: true, clock: true });
  checkClock("fileStore: clock", given.clock);
  if (given.directory !== undefined && (typeof given.directory !== "string" || given.directory === "")) {
    throw new TypeError("fileStore: directory must be a path; leave it out to use the temporary directory");
  }
  const { clock = () => Date.now(), onQuarantine = warn } = given;
  if (typeof onQuarantine !== "function") throw new TypeError("fileStore: onQuarantine must be a function");

  const directory = openDirectory(given.directory);
  const files = filesIn(directory);
  const marks = userMarkers(files);
  const feed = fileSubscription(directory);
  const nonce = nonces();
  // What they say counts once the file system has confirmed it, by a rename that succeeds or by the pointer being
  // there, and every "no" comes from a listing.
  const hints = fileHints();
  let closed = false;

  function open(): void {
    if (closed) throw new Error("the file store is closed: make a new one with fileStore()");
  }

  function look(key: string): Pointer | undefined {
    const found = files.find(key);
    if (found === undefined) hints.doubt(key);
    else hints.saw(found);
    return found;
  }

  const isLive = (pointer: Pointer): boolean => pointer.expiresAt > clock();

  /** The pointer of a live session: perhaps outdated where there is one, never where there is none. */
  function live(key: string): Pointer | undefined {
    const hint = hints.pointer(key);
    if (hint !== undefined && isLive(hint)) return hint;
    const found = look(key);
    return found !== undefined && isLive(found) ? found : undefined;
  }

  function removeContent(key: string, written: string | undefined): void {
    if (written !== undefined) quietly(() => files.remove("contents", contentName(key, written)));
  }

  /** What a pointer leaves behind. The session has ended: nothing here may fail that. */
  function cleared(pointer: Pointer): void {
    removeContent(pointer.key, pointer.nonce);
    removeContent(pointer.key, hints.drop(pointer.key));
    quietly(() => marks.remove(pointer));
  }

  const settled = (pointers: readonly Pointer[]): void => quietly(() => marks.restore(pointers));

  function ended(pointer: Pointer): void {
    cleared(pointer);
    settled([pointer]);
  }

  /** Keeps a content that is out of use for the session's next update. */
  function retire(key: string, written: string): void {
    if (!hints.giveSpare(key, written)) removeContent(key, written);
  }

  function load(key: string, id?: string): { pointer: Pointer; content: Content } | undefined {
    for (let pointer = live(key); pointer !== undefined; pointer = live(key)) {
      // First the content, then whether its pointer still stands: if it does, it stood all the while, and this is the
      // session's state at this very moment. A content is there before its pointer is, and is not written again until
      // after its pointer has gone.
      const kept = hints.content(pointer);
      const bytes = kept === undefined ? files.read("contents", contentName(key, pointer.nonce)) : undefined;
      if (files.exists("pointers", pointer.name)) {
        const content = kept ?? (bytes === undefined ? "its content is missing" : decodeContent(bytes, pointer.nonce));
        if (typeof content !== "string" && (content.id === id || keyOf(content.id) === key)) {
          if (kept === undefined) hints.keep(key, content);
          return { pointer, content };
        }
        quarantine(pointer, typeof content === "string" ? content : "it holds another session", id);
      }
      hints.doubt(key);
    }
    return undefined;
  }

  function quarantine(pointer: Pointer, reason: string, id: string | undefined): void {
    // Whoever moves the pointer has ended the session, and reports it. Everybody else finds nothing.
    const moved = files.quarantine("pointers", pointer.name);
    if (moved === undefined) return;
    const path = files.quarantine("contents", contentName(pointer.key, pointer.nonce)) ?? moved;
    ended(pointer);
    try {
      onQuarantine({ id, path, reason });
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  /** Waits for its turn to create the session; `false` where somebody else has created it. */
  async function reserve(key: string): Promise<boolean> {
    const name = reservationName(key);
    const began = performance.now();
    while (!files.reserve("contents", name)) {
      const found = look(key);
      if (found !== undefined && isLive(found)) return false;
      if (isOld(files.changedAt("contents", name), RESERVATION_AGE)) files.remove("contents", name);
      else if (performance.now() - began < PATIENCE) await delay(1);
      else throw new Error("another process began to create this session and never finished: take a new id");
      open();
    }
    return true;
  }

  return {
    directory,

    locate(id) {
      open();
      const pointer = look(keyOf(id));
      if (pointer === undefined || !isLive(pointer)) return undefined;
      return files.path("contents", contentName(pointer.key, pointer.nonce));
    },

    async read(id) {
      open();
      const found = load(keyOf(id), id);
      if (found === undefined) return undefined;
      const { pointer, content } = found;
      const payload = Buffer.from(content.payload);
      return { payload, version: pointer.version, expiresAt: pointer.expiresAt, userId: content.userId };
    },

    // The reservation, a name that can be made once only, becomes the pointer: so no two processes create one session.
    async create(id, original) {
      open();
      checkStored(original);
      const stored = copyOf(original);
      const key = keyOf(id);
      if (!(await reserve(key))) return false;
      const next = pointerOf(key, stored.version, nonce(), stored.expiresAt, tagOf(stored.userId));
      let written = false;
      let done = false;
      try {
        for (let old = look(key); old !== undefined; old = look(key)) {
          if (isLive(old)) return false;
          if (files.remove("pointers", old.name)) ended(old);
        }
        writeContent(next, id, stored);
        written = true;
        marks.set(next.tag, key);
        done = files.rename("contents", reservationName(key), "pointers", next.name);
        if (!done) throw new Error("creating the session took so long that its reservation was cleared away");
      } finally {
        if (!done) {
          quietly(() => files.remove("contents", reservationName(key)));
          if (written) ended(next);
        }
      }
      quietly(() => marks.set(next.tag, key));
      hints.saw(next);
      hints.keep(key, { id, nonce: next.nonce, userId: stored.userId, payload: stored.payload });
      return true;
    },

    // Renaming the pointer is the comparison and the change in one: the name holds the version, no name ever comes
    // back, and so it succeeds only where nobody has updated, extended or ended the session since it was seen.
    async update(id, stored, expectedVersion) {
      open();
      checkStored(stored);
      const key = keyOf(id);
      const { extendOnly, expiresAt } = stored;
      let next = pointerOf(key, stored.version, nonce(), expiresAt, tagOf(stored.userId));
      let written = false;
      let marked = false;
      let done = false;
      try {
        while (!done) {
          let old = live(key);
          // Perhaps the hint is behind.
          if (old !== undefined && old.version !== expectedVersion) {
            hints.doubt(key);
            old = live(key);
          }
          if (old === undefined || old.version !== expectedVersion) return false;
          if (extendOnly) {
            const { version, nonce: mine, tag } = next;
            next = pointerOf(key, version, mine, Math.max(expiresAt, old.expiresAt), tag);
          }
          if (!written) {
            writeContent(next, id, stored, hints.takeSpare(key));
            written = true;
          }
          if (next.tag !== old.tag) {
            marks.set(next.tag, key);
            marked = true;
          }
          // Writing took a while: the last look at the clock comes as late as it can.
          if (!isLive(old)) continue;
          done = files.rename("pointers", old.name, "pointers", next.name);
          if (!done) {
            hints.doubt(key);
            continue;
          }
          hints.saw(next);
          hints.keep(key, { id, nonce: next.nonce, userId: stored.userId, payload: stored.payload });
          retire(key, old.nonce);
          if (old.tag !== next.tag) unmark(old);
        }
      } finally {
        if (!done && written) retire(key, next.nonce);
        if (!done && marked) unmark(next);
      }
      if (marked || stored.version % 16 === 0) quietly(() => marks.set(next.tag, key));
      return true;
    },

    async touch(id, expiresAt) {
      open();
      checkTime(expiresAt);
      const key = keyOf(id);
      for (let old = live(key); old !== undefined; old = live(key)) {
        if (expiresAt <= old.expiresAt) {
          if (files.exists("pointers", old.name)) return true;
        } else {
          const next = pointerOf(key, old.version, old.nonce, expiresAt, old.tag);
          if (files.rename("pointers", old.name, "pointers", next.name)) {
            hints.saw(next);
            // A user's mark is a file that nobody else touches: a cleaner of old files may have taken it.
            quietly(() => marks.set(next.tag, key));
            return true;
          }
        }
        hints.doubt(key);
      }
      return false;
    },

    async delete(id) {
      open();
      const key = keyOf(id);
      for (let old = hints.pointer(key) ?? look(key); old !== undefined; old = look(key)) {
        const wasLive = isLive(old);
        if (!files.remove("pointers", old.name)) continue;
        ended(old);
        if (wasLive) feed.tell(id);
        return wasLive;
      }
      return false;
    },

    subscribe(listener) {
      open();
      return feed.subscribe(listener);
    },

    async idsOfUser(userId) {
      open();
      const tag = tagOf(userId);
      const pause = slices();
      const ids: string[] = [];
      for (const { key, old } of marks.of(tag)) {
        const found = load(key);
        if (found?.content.userId === userId) ids.push(found.content.id);
        // A young mark may belong to a session that is just about to appear.
        else if (old) unmark({ tag, key });
        await pause();
        open();
      }
      return ids;
    },

    async *all() {
      open();
      const pause = slices();
      const made = new Set(files.list("pointers"));
      for (let index = 0; index < SHARDS; index += 1) {
        const shard = shardAt(index);
        if (!made.has(shard)) continue;
        // A session that is renamed during the listing may be in it twice.
        for (const key of new Set(files.list(`pointers/${shard}`).map(keyIn))) {
          const found = load(key);
          if (found !== undefined) yield found.content.id;
          await pause();
          open();
        }
        await pause();
        open();
      }
    },

    deleteExpired: collectAll(),

    async close() {
      closed = true;
      feed.close();
      hints.clear();
    },
  };

  function writeContent(next: Pointer, id: string, { userId, payload }: StoredSession, spare?: string): void {
    const bytes = encodeContent({ id, nonce: next.nonce, userId, payload });
    const over = spare === undefined ? undefined : contentName(next.key, spare);
    files.write("contents", contentName(next.key, next.nonce), bytes, over);
  }

  function unmark(marked: Pick<Pointer, "tag" | "key">): void {
    quietly(() => marks.remove(marked));
    quietly(() => marks.restore([marked]));
  }

  function collectAll(): (limit: number) => Promise<number> {
    const collect = collector({ files, clock, open, cleared, settled });
    return async (limit) => {
      open();
      checkPositiveInteger("deleteExpired: limit", limit);
      return collect(limit);
    };
  }
}

function warn({ path, reason }: Quarantined): void {
  process.emitWarning(`A session's file was put aside at ${path}: ${reason}. The session counts as missing.`, {
    code: "SOJOURN_QUARANTINED",
  });
}
