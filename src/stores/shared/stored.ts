import { Buffer } from "node:buffer";
import type { SessionUpdate, StoredSession } from "../../store.ts";

const MAX_TIME = 8.64e15;

/** Refuses what no engine could keep: a NaN here would otherwise put an order, or a file's name, out of joint. */
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

/** The caller may use its buffer anew as soon as a call has returned: who waits before it writes takes a copy first. */
export function copyOf<T extends SessionUpdate>(stored: T): T {
  return { ...stored, payload: Buffer.from(stored.payload) };
}

/** An instant that every engine can keep: whole epoch milliseconds. */
export function checkTime(expiresAt: number): void {
  if (!Number.isInteger(expiresAt) || expiresAt < 0 || expiresAt > MAX_TIME) {
    throw new TypeError(`expiresAt must be whole epoch milliseconds, as Date.now() gives, not ${String(expiresAt)}`);
  }
}
