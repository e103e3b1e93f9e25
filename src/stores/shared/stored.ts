import { Buffer } from "node:buffer";
import { MAX_TIME } from "../../duration.ts";
import type { SessionUpdate, StoredSession } from "../../store.ts";

/** Throws for a value that a store can't keep. A NaN, for example, would break the expiry order or a file's name. */
export function checkStored(stored: StoredSession): void {
  if (!(stored.payload instanceof Uint8Array)) {
    throw new TypeError("payload must be a Uint8Array: encode text with TextEncoder first");
  }
  if (!Number.isSafeInteger(stored.version) || stored.version < 1) {
    throw new TypeError(`version must be a positive integer, 1 at creation, not ${String(stored.version)}`);
  }
  if (stored.userId !== undefined && typeof stored.userId !== "string") {
    throw new TypeError("user must be a string: turn a numeric user id into one with String(id)");
  }
  checkTime(stored.expiresAt);
}

/** Copies a session's data. A store that waits before it writes needs this: the caller may change its buffer in the meantime. */
export function copyOf<T extends SessionUpdate>(stored: T): T {
  return { ...stored, payload: Buffer.from(stored.payload) };
}

/** Throws unless `expiresAt` is a time that every store can keep: an integer in epoch milliseconds. */
export function checkTime(expiresAt: number): void {
  if (!Number.isInteger(expiresAt) || expiresAt < 0 || expiresAt > MAX_TIME) {
    throw new TypeError(`expiresAt must be whole epoch milliseconds, as Date.now() gives, not ${String(expiresAt)}`);
  }
}
