import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import { closeSync, constants, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import { quietly } from "../shared/quietly.ts";

/** The log's usual length: the database may have to grow by so much before the log can begin anew. */
const SIZE = 4 * 2 ** 20;
const PIECE = 64 * 2 ** 10;
/** How long after a disk was found full that is believed. */
const PAUSE_MS = 1000;

/** Room on the disk that is given up so that sessions can end. */
export interface Reserve {
  /** Makes sure of it, before anything but an end is written. @throws {Error} where the disk has no room for it. */
  keep(): void;
  /** Gives it to whoever needs it first. */
  release(): void;
}

/**
 * A file beside the database. To end a session SQLite writes to its log, and on a full disk the log can neither grow nor,
 * as long as the database can't take in what is in it, begin anew. Giving up the file makes room for that.
 *
 * While it is missing nothing else is written, in any process: that would use up the room, and nobody could sign out.
 *
 * @param path - the database's. @param now - in milliseconds; need not be the time of day.
 */
export function reserveBeside(path: string, now: () => number = () => performance.now()): Reserve {
  const file = `${path}-reserve`;
  let full: { readonly error: Error; readonly until: number } | undefined;

  return {
    keep() {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) >= SIZE) return;
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

/** A database in memory has no disk. */
export const NO_RESERVE: Reserve = { keep() {}, release() {} };

// Two processes may fill it at once: each writes all of it. Noise, which no file system makes smaller.
function fill(file: string): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
  try {
    const piece = Buffer.allocUnsafe(PIECE);
    for (let at = 0; at < SIZE;) at += writeSync(fd, randomFillSync(piece), 0, Math.min(PIECE, SIZE - at), at);
  } finally {
    closeSync(fd);
  }
}
