import type { StoredSession } from "../../src/store.ts";
import { encodeInstant, encodeSession, encodeUser } from "../../src/stores/redis/value.ts";

/** Encodes a session as the value of its key, as the scripts of redisStore put it together. */
export function encodeStored(stored: StoredSession, indexedUntil: number): Buffer {
  const { head, payload } = encodeSession(stored, stored.userId === undefined ? undefined : encodeUser(stored.userId));
  return payload ? Buffer.concat([head, encodeInstant(indexedUntil), payload]) : head;
}
