import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore, StoreListener } from "../../store.ts";
import { createCleanup } from "./cleanup.ts";
import { openDirectory } from "./directory.ts";
import { warnOfQuarantine } from "./quarantine.ts";
import { createSessionAccess, type WrittenContent } from "./session-access.ts";
import { fileSubscription } from "./subscription.ts";
import {
  contentName,
  createPointer,
  hashId,
  hashUserId,
  keyOfPointerName,
  type Pointer,
  reservationName,
  SHARDS,
  shardAt,
} from "./names.ts";
import { createPause, filesIn, isOlderThan, RESERVATION_AGE_MS } from "./files.ts";
import { quietly } from "../shared/quietly.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime, copyOf } from "../shared/stored.ts";

/** A session whose file was damaged or missing. `fileStore` has moved the file aside, and the session has ended. */
export interface Quarantined {
  /** The session's id. `undefined` if a listing found it, `idsOfUser` or `all`. */
  readonly id?: string | undefined;
  /** The path to which the file was moved. */
  readonly path: string;
  /** The reason in words, such as a wrong checksum. */
  readonly reason: string;
}

/** Options of {@link fileStore}. */
export interface FileStoreOptions {
  /**
   * The directory of the sessions. If it is missing, the store makes it, with access for this user only. Default:
   * `sojourn-<user>-<application>-<hash>` in the system's temporary directory, a directory for this user and this working
   * directory. Operating systems delete old temporary files, so pass a directory if sessions last for weeks.
   */
  directory?: string | undefined;
  /** Called for each session whose file is damaged or missing. Default: emits the process warning `SOJOURN_QUARANTINED`. */
  onQuarantine?: ((quarantined: Quarantined) => void) | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} with all its capabilities, in files. */
export interface FileStore extends SessionStore {
  /** The absolute path of the directory, without symbolic links. */
  readonly directory: string;
  /**
   * Returns the path of the file with the session's content, or `undefined` if there is no live session. Each update writes
   * another file.
   */
  locate(id: string): string | undefined;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

// The longest time that create waits for another process that creates the same session. That usually takes less than 1 ms.
const RESERVATION_TIMEOUT_MS = 1000;

/**
 * Keeps sessions in files. Several processes of one machine can share them, and they survive a restart.
 *
 * Each change is one atomic step, the rename of an empty file. So a process may be killed at any moment and leaves no
 * session half written. File system calls are synchronous and take some microseconds each: use a local disk, not a network
 * file system. The store does not wait for the disk, so a power cut may lose the changes of the last seconds.
 *
 * @param options - the options, or only the directory.
 * @throws TypeError for an option that it does not know or can't use.
 * @throws Error if the directory can't be made, or if another user could write in it.
 *
 * @example
 * ```ts
 * const store = fileStore({ directory: "/var/lib/my-app/sessions" });
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store });
 * ```
 */
export function fileStore(options: FileStoreOptions | string = {}): FileStore {
  const given: FileStoreOptions = typeof options === "string" ? { directory: options } : options;
  checkOptions("fileStore", given, { directory: true, onQuarantine: true, clock: true });
  checkClock("fileStore: clock", given.clock);
  if (given.directory !== undefined && (typeof given.directory !== "string" || given.directory === "")) {
    throw new TypeError("fileStore: directory must be a path; leave it out to use the temporary directory");
  }
  const { clock = () => Date.now(), onQuarantine = warnOfQuarantine } = given;
  if (typeof onQuarantine !== "function") throw new TypeError("fileStore: onQuarantine must be a function");

  const directory = openDirectory(given.directory);
  const files = filesIn(directory);
  const access = createSessionAccess(files, { clock, onQuarantine });
  const { hints, userIndex, isLive, findPointer, findLive, readSession, writeContent, cleanUpAfter } = access;
  const { keepForReuse, keepReplaced, remember, addUserEntry, removeUserEntry } = access;
  const subscription = fileSubscription(directory);
  const collect = createCleanup({ files, clock, assertOpen, ...access });
  let closed = false;

  function assertOpen(): void {
    if (closed) throw new Error("the file store is closed: make a new one with fileStore()");
  }

  /** Reserves the session's key, and waits if another process has reserved it. Returns `false` if that has created the session. */
  async function reserve(key: string): Promise<boolean> {
    const name = reservationName(key);
    const began = performance.now();
    while (!files.reserve("contents", name)) {
      const found = findPointer(key);
      if (found !== undefined && isLive(found)) return false;
      if (isOlderThan(files.changedAt("contents", name), RESERVATION_AGE_MS)) files.remove("contents", name);
      else if (performance.now() - began < RESERVATION_TIMEOUT_MS) await delay(1);
      else throw new Error("another process began to create this session and never finished: take a new id");
      assertOpen();
    }
    return true;
  }

  return {
    directory,

    locate(id) {
      assertOpen();
      const pointer = findPointer(hashId(id));
      if (pointer === undefined || !isLive(pointer)) return undefined;
      return files.path("contents", contentName(pointer.key, pointer.nonce));
    },

    async read(id) {
      assertOpen();
      const found = readSession(hashId(id), id);
      if (found === undefined) return undefined;
      const { pointer, content } = found;
      const payload = Buffer.from(content.payload);
      return { payload, version: pointer.version, expiresAt: pointer.expiresAt, userId: content.userId };
    },

    // Only one process can make the reservation file, and it is renamed to become the pointer. So two processes never create
    // the same session.
    async create(id, original) {
      assertOpen();
      checkStored(original);
      const stored = copyOf(original);
      const key = hashId(id);
      if (!(await reserve(key))) return false;
      let next: Pointer | undefined;
      let done = false;
      try {
        for (let old = findPointer(key); old !== undefined; old = findPointer(key)) {
          if (isLive(old)) return false;
          if (files.remove("pointers", old.name)) cleanUpAfter(old);
        }
        const { nonce, file } = writeContent(key, id, stored);
        next = createPointer(key, stored.version, nonce, stored.expiresAt, hashUserId(stored.userId));
        userIndex.add(next.userHash, key);
        done = files.rename("contents", reservationName(key), "pointers", next.name);
        if (!done) throw new Error("creating the session took so long that its reservation was cleared away");
        addUserEntry(next);
        remember(next, file, id, stored);
        return true;
      } finally {
        if (!done) {
          quietly(() => files.remove("contents", reservationName(key)));
          if (next !== undefined) cleanUpAfter(next);
        }
      }
    },

    // The rename of the pointer both compares and changes: the name contains the version, and no name is used twice. So the
    // rename succeeds only if no process has updated, extended or ended the session since the pointer was read.
    async update(id, stored, expectedVersion) {
      assertOpen();
      checkStored(stored);
      const key = hashId(id);
      const userHash = hashUserId(stored.userId);
      let content: WrittenContent | undefined;
      let isInIndex = false;
      let done = false;
      try {
        while (!done) {
          let old = findLive(key);
          // The hint may be out of date.
          if (old !== undefined && old.version !== expectedVersion) {
            hints.clearPointer(key);
            old = findLive(key);
          }
          if (old === undefined || old.version !== expectedVersion) return false;
          content ??= writeContent(key, id, stored);
          const expiresAt = stored.extendOnly ? Math.max(stored.expiresAt, old.expiresAt) : stored.expiresAt;
          const next = createPointer(key, stored.version, content.nonce, expiresAt, userHash);
          if (userHash !== old.userHash) {
            userIndex.add(userHash, key);
            isInIndex = true;
          }
          // Writing takes time, so the expiry is checked again as late as possible.
          if (!isLive(old)) continue;
          done = files.rename("pointers", old.name, "pointers", next.name);
          if (!done) {
            hints.clearPointer(key);
            continue;
          }
          keepReplaced(old);
          remember(next, content.file, id, stored);
          if (old.userHash !== userHash) removeUserEntry(old);
        }
      } finally {
        if (!done && content !== undefined) keepForReuse(content.file);
        if (!done && isInIndex) removeUserEntry({ userHash, key });
      }
      if (isInIndex || stored.version % 16 === 0) addUserEntry({ userHash, key });
      return true;
    },

    async touch(id, expiresAt) {
      assertOpen();
      checkTime(expiresAt);
      const key = hashId(id);
      for (let old = findLive(key); old !== undefined; old = findLive(key)) {
        if (expiresAt <= old.expiresAt) {
          if (files.exists("pointers", old.name)) return true;
        } else {
          const next = createPointer(key, old.version, old.nonce, expiresAt, old.userHash);
          if (files.rename("pointers", old.name, "pointers", next.name)) {
            hints.setPointer(next);
            // Nothing else writes the index entry, so a program that deletes old files may have deleted it.
            addUserEntry(next);
            return true;
          }
        }
        hints.clearPointer(key);
      }
      return false;
    },

    async delete(id) {
      assertOpen();
      const key = hashId(id);
      for (let old = hints.pointer(key) ?? findPointer(key); old !== undefined; old = findPointer(key)) {
        const wasLive = isLive(old);
        if (!files.remove("pointers", old.name)) continue;
        cleanUpAfter(old);
        if (wasLive) subscription.notifyEnded(id);
        return wasLive;
      }
      return false;
    },

    subscribe(listener) {
      assertOpen();
      return subscription.subscribe(listener);
    },

    async idsOfUser(userId) {
      assertOpen();
      const userHash = hashUserId(userId);
      const pause = createPause();
      const ids: string[] = [];
      for (const { key, isOld } of userIndex.entriesOf(userHash)) {
        const found = readSession(key);
        if (found?.content.userId === userId) ids.push(found.content.id);
        // A new entry may belong to a session that another process is creating.
        else if (isOld) removeUserEntry({ userHash, key });
        await pause();
        assertOpen();
      }
      return ids;
    },

    async *all() {
      assertOpen();
      const pause = createPause();
      const existing = new Set(files.list("pointers"));
      for (let index = 0; index < SHARDS; index += 1) {
        const shard = shardAt(index);
        if (!existing.has(shard)) continue;
        // A pointer that is renamed during the listing may be listed twice.
        for (const key of new Set(files.list(`pointers/${shard}`).map(keyOfPointerName))) {
          const found = readSession(key);
          if (found !== undefined) yield found.content.id;
          await pause();
          assertOpen();
        }
        await pause();
        assertOpen();
      }
    },

    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      return collect(limit);
    },

    async close() {
      closed = true;
      subscription.close();
      hints.clear();
    },
  };
}
