import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import { closeSync, constants, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import { quietly } from "../shared/quietly.ts";

/** The usual size of the write-ahead log. The database may have to grow by that much before the log can start again. */
const RESERVE_SIZE = 4 * 2 ** 20;
const WRITE_SIZE = 64 * 2 ** 10;
/** The pause after a full disk was found, before the next attempt to make the file. */
const PAUSE_MS = 1000;

/** A file that reserves space on the disk. It is deleted on a full disk, so that sessions can still end. */
export interface DiskReserve {
  /** Makes the file if it is missing. Called before every write that does not end a session. @throws Error if the disk is full. */
  ensure(): void;
  /** Deletes the file. */
  release(): void;
}

/**
 * Keeps a reserve file beside the database. SQLite writes to its log to end a session. On a full disk the log can't grow.
 * It can't start again either, because the database can't take in the log's pages. Deleting the file makes space for that.
 *
 * While the file is missing, no process writes anything except ends of sessions. Other writes would use up the space, and
 * users could not sign out.
 *
 * @param path - the path of the database.
 * @param now - the time in milliseconds. Default: `performance.now`.
 */
export function reserveBeside(path: string, now: () => number = () => performance.now()): DiskReserve {
  const file = `${path}-reserve`;
  let full: { readonly error: Error; readonly until: number } | undefined;

  return {
    ensure() {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) >= RESERVE_SIZE) return;
      if (full && now() < full.until) throw full.error;
      try {
        fill(file);
        full = undefined;
      } catch (cause) {
        quietly(() => unlinkSync(file));
        const error = new Error(
          `the disk is full: sessions can end, and nothing else is written until there is room for ${file} (4 MiB)`,
          { cause },
        );
        full = { error, until: now() + PAUSE_MS };
        throw error;
      }
    },

    release() {
      quietly(() => unlinkSync(file));
    },
  };
}

/** For a database in memory, which needs no disk. */
export const NO_RESERVE: DiskReserve = { ensure() {}, release() {} };

// Two processes may fill the file at the same time: each writes all of it. The bytes are random, so that no file system can
// compress them.
function fill(file: string): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
  try {
    const piece = Buffer.allocUnsafe(WRITE_SIZE);
    for (let at = 0; at < RESERVE_SIZE;)
      at += writeSync(fd, randomFillSync(piece), 0, Math.min(WRITE_SIZE, RESERVE_SIZE - at), at);
  } finally {
    closeSync(fd);
  }
}
