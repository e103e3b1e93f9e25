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
import { parsePointerName, type Pointer, shardOf, type Tree } from "./names.ts";

/** A file without a pointer that is older than this was left by a killed process. No write takes that long. */
export const LEFTOVER_AGE_MS = 10 * 60_000;
/** The same age for a reservation. It is shorter, because a reservation prevents other processes from creating the session. */
export const RESERVATION_AGE_MS = 10_000;

// The longest time without a pause for the event loop. One more step may follow, so the limit is below 3 ms.
const MAX_SLICE_MS = 2;

// The kernel returns a listing of up to this many names in one call, with any C library's buffer.
const ATOMIC_LISTING_SIZE = 16;
const MAX_LISTINGS = 4;
// The kernel's clock for files may be 10 ms behind Date.now.
const CLOCK_TICK_MS = 20;

// Most contents fit into this buffer. A larger file is read into a buffer of its own.
const SCRATCH_SIZE = 64 * 1024;

/** A file that nobody needs any more. Its size is read if it is not known. */
export interface OldFile {
  readonly name: string;
  readonly size?: number | undefined;
}

/** The file operations of the store. Each is synchronous, makes one or a few system calls, and is atomic by itself. */
export type Files = ReturnType<typeof filesIn>;

export function filesIn(directory: string) {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_SIZE);

  function path(tree: Tree, name: string): string {
    return `${directory}/${tree}/${shardOf(name)}/${name}`;
  }

  /** Makes the shard's directory if it is missing, and calls again. A missing root directory is an error. */
  function withShard<T>(tree: Tree, name: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
    makeDirectory(`${directory}/${tree}`);
    makeDirectory(`${directory}/${tree}/${shardOf(name)}`);
    return call();
  }

  /** The names in a directory below the root. Empty if the directory does not exist. */
  function list(below: string): string[] {
    try {
      return readdirSync(`${directory}/${below}`);
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
    // There may be no sessions yet. But if the root directory is gone, this throws its ENOENT to the caller.
    lstatSync(directory);
    return [];
  }

  return {
    path,
    list,

    /**
     * Writes a file completely or not at all. It overwrites the old file, if one is given. If the old file has another name,
     * it is renamed first, so that only one writer gets it.
     */
    write(tree: Tree, name: string, bytes: Uint8Array, old?: OldFile): void {
      const file = path(tree, name);
      let fd: number | undefined;
      if (old !== undefined) {
        // Another program may have deleted the old file.
        fd = undefinedIfMissing(() => {
          if (old.name !== name) withShard(tree, name, () => renameSync(path(tree, old.name), file));
          return openSync(file, "r+");
        });
      }
      const isOld = fd !== undefined;
      try {
        fd ??= withShard(tree, name, () => openSync(file, "wx", 0o600));
        try {
          for (let written = 0; written < bytes.byteLength;) {
            written += writeSync(fd, bytes, written, bytes.byteLength - written, written);
          }
          if (isOld && (old?.size ?? fstatSync(fd).size) > bytes.byteLength) ftruncateSync(fd, bytes.byteLength);
        } finally {
          closeSync(fd);
        }
      } catch (error) {
        // The write may have failed because the disk is full, so the incomplete file must not stay.
        quietly(() => unlinkSync(file));
        throw error;
      }
    },

    /** Makes an empty file. Returns `false` if it exists already. */
    reserve(tree: Tree, name: string): boolean {
      try {
        closeSync(withShard(tree, name, () => openSync(path(tree, name), "wx", 0o600)));
        return true;
      } catch (error) {
        if (isCode(error, "EEXIST")) return false;
        throw error;
      }
    },

    /** The bytes of a file, or `undefined` if it is missing. The next call may overwrite the buffer. */
    read(tree: Tree, name: string): Buffer | undefined {
      const file = path(tree, name);
      return undefinedIfMissing(() => {
        let fd: number | undefined;
        try {
          fd = openSync(file, "r");
          const length = readSync(fd, scratch, 0, SCRATCH_SIZE, 0);
          return length < SCRATCH_SIZE ? scratch.subarray(0, length) : readFileSync(fd);
        } catch (error) {
          // A directory or a link here is treated as a damaged file, not as an I/O error.
          if (isCode(error, "EISDIR") || isCode(error, "ELOOP")) return Buffer.alloc(0);
          throw error;
        } finally {
          if (fd !== undefined) closeSync(fd);
        }
      });
    },

    exists(tree: Tree, name: string): boolean {
      return undefinedIfMissing(() => (accessSync(path(tree, name)), true)) ?? false;
    },

    /** The time of the last write or rename, by the system's clock. */
    changedAt(tree: Tree, name: string): number | undefined {
      return undefinedIfMissing(() => statSync(path(tree, name)).ctimeMs);
    },

    /** Returns `false` if the file did not exist. */
    remove(tree: Tree, name: string): boolean {
      return undefinedIfMissing(() => (unlinkSync(path(tree, name)), true)) ?? false;
    },

    /** Returns `false` if the file did not exist. */
    rename(from: Tree, oldName: string, to: Tree, newName: string): boolean {
      const source = path(from, oldName);
      const target = path(to, newName);
      // Within one tree the target's directory exists. In another tree it may be missing.
      if (from === to) return undefinedIfMissing(() => (renameSync(source, target), true)) ?? false;
      return undefinedIfMissing(() => withShard(to, newName, () => (renameSync(source, target), true))) ?? false;
    },

    /** Moves a file to the quarantine directory. Returns its new path, or `undefined` if it did not exist. */
    quarantine(tree: Tree, name: string): string | undefined {
      const target = `${directory}/quarantine/${name}`;
      makeDirectory(`${directory}/quarantine`);
      return undefinedIfMissing(() => (renameSync(path(tree, name), target), target));
    },

    /**
     * Finds the pointer of a session in its shard.
     *
     * A listing is not a snapshot: if it takes several system calls, it can miss a file that is renamed in the meantime.
     * So the result "no pointer" is valid only if the listing took one system call or if the directory did not change.
     */
    find(key: string): Pointer | undefined {
      const shard = `pointers/${shardOf(key)}`;
      for (let attempt = 1; ; attempt += 1) {
        const began = Date.now();
        const names = list(shard);
        let found: Pointer | undefined;
        for (const name of names) {
          if (!name.startsWith(key)) continue;
          const seen = parsePointerName(name);
          if (seen !== undefined && (found === undefined || isNewer(seen, found))) found = seen;
        }
        if (found !== undefined || names.length <= ATOMIC_LISTING_SIZE || attempt === MAX_LISTINGS) return found;
        const changedAt = undefinedIfMissing(() => statSync(`${directory}/${shard}`).mtimeMs);
        if (changedAt !== undefined && changedAt < began - CLOCK_TICK_MS) return undefined;
      }
    },
  };
}

/**
 * Returns whether a file is older than `ageMs`. Uses the system's clock, as file times do: the store's clock may be an
 * injected one.
 */
export function isOlderThan(changedAt: number | undefined, ageMs = LEFTOVER_AGE_MS): boolean {
  return changedAt !== undefined && Date.now() - changedAt > ageMs;
}

/** Returns a function to await between steps of long work. It lets the event loop run after every few milliseconds. */
export function createPause(): () => Promise<void> | undefined {
  let began = performance.now();
  return () => {
    if (performance.now() - began < MAX_SLICE_MS) return undefined;
    return nextTurn().then(() => {
      began = performance.now();
      return undefined;
    });
  };
}

function isNewer(one: Pointer, other: Pointer): boolean {
  return one.version > other.version || (one.version === other.version && one.expiresAt > other.expiresAt);
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, 0o700);
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  }
}

/** Returns `undefined` if the call fails because a file is missing. */
export function undefinedIfMissing<T>(call: () => T): T | undefined {
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
