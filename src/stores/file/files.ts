import { Buffer } from "node:buffer";
import {
  accessSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { quietly } from "../shared/quietly.ts";
import { parsePointer, type Pointer, shardOf, type Tree } from "./names.ts";

/** Past this age, what no session points to was left by a process that died: nobody takes that long to write. */
export const LEFTOVER_AGE = 10 * 60_000;
/** The same of a reservation, which stands in the way of whoever would create the session. */
export const RESERVATION_AGE = 10_000;

// The longest stretch without letting the event loop go on. One step more may follow; 2 leaves it room.
const LONGEST_SLICE = 2;

// What a listing of this many names needs comes from the kernel in one piece, whatever the C library's buffer.
const NAMES_IN_ONE_PIECE = 16;
const LOOKS = 4;
// The kernel's clock for files may be a tick of 10 ms behind Date.now.
const CLOCK_TICK = 20;

// Most contents fit; what doesn't is read with an allocation of its own.
const SCRATCH = 64 * 1024;

/** The steps that the file store is made of. Each is one system call or a few, synchronous, and safe by itself. */
export type Files = ReturnType<typeof filesIn>;

export function filesIn(directory: string) {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH);

  function path(tree: Tree, name: string): string {
    return `${directory}/${tree}/${shardOf(name)}/${name}`;
  }

  /** Calls again after making the shard, where that was what was missing. A missing root stays a fault. */
  function inShard<T>(tree: Tree, name: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
    make(`${directory}/${tree}`);
    make(`${directory}/${tree}/${shardOf(name)}`);
    return call();
  }

  /** The names in a directory below the root: none, where it was never made. */
  function list(below: string): string[] {
    try {
      return readdirSync(`${directory}/${below}`);
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
    // No sessions yet is one thing; a root that has vanished is a fault, and its ENOENT goes to the caller.
    lstatSync(directory);
    return [];
  }

  return {
    path,
    list,

    /**
     * Writes a file under a name of its own, all or nothing: over the spare file given, or as a new one.
     *
     * To make and to remove a file for each write is what file systems do worst: ext4 reuses no inode for a minute, and
     * searches ever longer for one that is free. Renaming the spare claims it: one writer succeeds.
     */
    write(tree: Tree, name: string, bytes: Uint8Array, spare?: string): void {
      const file = path(tree, name);
      let fd: number | undefined;
      if (spare !== undefined) fd = orMissing(() => (renameSync(path(tree, spare), file), openSync(file, "r+")));
      try {
        fd ??= inShard(tree, name, () => openSync(file, "wx", 0o600));
        try {
          for (let written = 0; written < bytes.byteLength;) {
            written += writeSync(fd, bytes, written, bytes.byteLength - written, written);
          }
          if (spare !== undefined && fstatSync(fd).size > bytes.byteLength) ftruncateSync(fd, bytes.byteLength);
        } finally {
          closeSync(fd);
        }
      } catch (error) {
        // A full disk must not be left fuller.
        quietly(() => unlinkSync(file));
        throw error;
      }
    },

    /** Makes an empty file; `false` where it is there already. */
    reserve(tree: Tree, name: string): boolean {
      try {
        closeSync(inShard(tree, name, () => openSync(path(tree, name), "wx", 0o600)));
        return true;
      } catch (error) {
        if (isCode(error, "EEXIST")) return false;
        throw error;
      }
    },

    /** The bytes of a file, good until the next call; `undefined` where it is missing. */
    read(tree: Tree, name: string): Buffer | undefined {
      const file = path(tree, name);
      return orMissing(() => {
        let fd: number | undefined;
        try {
          fd = openSync(file, "r");
          const length = readSync(fd, scratch, 0, SCRATCH, 0);
          return length < SCRATCH ? scratch.subarray(0, length) : readFileSync(fd);
        } catch (error) {
          // What is no file is no content: torn, and not a fault of the disk.
          if (isCode(error, "EISDIR") || isCode(error, "ELOOP")) return Buffer.alloc(0);
          throw error;
        } finally {
          if (fd !== undefined) closeSync(fd);
        }
      });
    },

    exists(tree: Tree, name: string): boolean {
      return orMissing(() => (accessSync(path(tree, name)), true)) ?? false;
    },

    /** When it was last written or renamed, by the system's clock. */
    changedAt(tree: Tree, name: string): number | undefined {
      return orMissing(() => statSync(path(tree, name)).ctimeMs);
    },

    /** `false` where it was gone already. */
    remove(tree: Tree, name: string): boolean {
      return orMissing(() => (unlinkSync(path(tree, name)), true)) ?? false;
    },

    /** `false` where it was gone already. */
    rename(from: Tree, oldName: string, to: Tree, newName: string): boolean {
      const source = path(from, oldName);
      const target = path(to, newName);
      // Within a shard the target's directory is there; elsewhere it may be what is missing.
      if (from === to) return orMissing(() => (renameSync(source, target), true)) ?? false;
      return orMissing(() => inShard(to, newName, () => (renameSync(source, target), true))) ?? false;
    },

    /** Moves it out of its tree, for somebody to look at; where it went, or `undefined` where it was gone. */
    quarantine(tree: Tree, name: string): string | undefined {
      const target = `${directory}/quarantine/${name}`;
      make(`${directory}/quarantine`);
      return orMissing(() => (renameSync(path(tree, name), target), target));
    },

    /**
     * The pointer of a session, looked for in its shard.
     *
     * A listing is no snapshot: one that takes several reads can pass by a file that is renamed meanwhile. So a miss
     * counts only where the listing came in one piece, or where the directory had been left alone.
     */
    find(key: string): Pointer | undefined {
      const shard = `pointers/${shardOf(key)}`;
      for (let look = 1; ; look += 1) {
        const began = Date.now();
        const names = list(shard);
        let found: Pointer | undefined;
        for (const name of names) {
          if (!name.startsWith(key)) continue;
          const seen = parsePointer(name);
          if (seen !== undefined && (found === undefined || isNewer(seen, found))) found = seen;
        }
        if (found !== undefined || names.length <= NAMES_IN_ONE_PIECE || look === LOOKS) return found;
        const changedAt = orMissing(() => statSync(`${directory}/${shard}`).mtimeMs);
        if (changedAt !== undefined && changedAt < began - CLOCK_TICK) return undefined;
      }
    },
  };
}

/** Lets the event loop go on whenever a slice of work has taken long enough. */
export function slices(): () => Promise<void> | undefined {
  let began = performance.now();
  return () => {
    if (performance.now() - began < LONGEST_SLICE) return undefined;
    return nextTurn().then(() => {
      began = performance.now();
      return undefined;
    });
  };
}

function isNewer(one: Pointer, other: Pointer): boolean {
  return one.version > other.version || (one.version === other.version && one.expiresAt > other.expiresAt);
}

function make(directory: string): void {
  try {
    mkdirSync(directory, 0o700);
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  }
}

/** `undefined` where the file is missing. */
export function orMissing<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
