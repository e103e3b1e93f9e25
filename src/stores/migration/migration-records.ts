import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { refuseClientSide } from "../../capabilities.ts";
import type { SessionStore, StoredSession } from "../../store.ts";

/*
 * The records that a migration writes into the two stores, beside the sessions. Each is stored under the id of its session:
 *
 *   in `to`    staged copy:  the session as it was read. Its version and user are inside, so no application can open it yet.
 *   in `from`  marker:       from now on, `to` holds the session.
 *
 * Both have a migration number in place of the session's version, and every attempt draws a new number. So a marker
 * belongs to exactly one staged copy, each compare-and-set means exactly the record that was read, and no version that an
 * application has read matches.
 */

// A session with 1000 updates a second has a smaller version for 70 years. Lua prints numbers above without an exponent.
const MIN_NUMBER = 2 ** 41;
const MAX_NUMBER = 2 ** 46;

const STAGED_PREFIX = Buffer.from("SJNSTAGE");
const MARKER_PAYLOAD = Buffer.from("SJNMOVED");
const HEADER_AT = STAGED_PREFIX.length + 4;

/** The id of the record in `from` that says that a copy has begun. It is not base64url, so no session has this id. */
export const CONTROL_ID = "sojourn: moving";

/** The kinds of record that a store can hold under an id. */
export type RecordKind = "session" | "staged" | "marker" | "nothing";

export function recordKindOf(stored: StoredSession | undefined): RecordKind {
  if (stored === undefined) return "nothing";
  if (stored.version < MIN_NUMBER || stored.version > MAX_NUMBER) return "session";
  if (hasPrefix(stored.payload, STAGED_PREFIX)) return "staged";
  return hasPrefix(stored.payload, MARKER_PAYLOAD) ? "marker" : "session";
}

export const drawMigrationNumber = (): number => randomInt(MIN_NUMBER, MAX_NUMBER);

/** Creates the staged copy of a session. It has no user id, so `idsOfUser` does not list it. */
export function createStagedCopy(
  { payload, version, expiresAt, userId }: StoredSession,
  number: number,
): StoredSession {
  // JSON preserves a lone surrogate.
  const header = Buffer.from(JSON.stringify(userId === undefined ? [version] : [version, userId]));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  return { payload: Buffer.concat([STAGED_PREFIX, length, header, payload]), version: number, expiresAt };
}

/** Returns the session of a staged copy, with the copy's expiry. */
export function sessionOfStagedCopy({ payload, expiresAt }: StoredSession): StoredSession {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const headerEnd = HEADER_AT + bytes.readUInt32BE(STAGED_PREFIX.length);
  const [version, userId] = JSON.parse(bytes.toString("utf8", HEADER_AT, headerEnd)) as [number, string?];
  return { payload: bytes.subarray(headerEnd), version, expiresAt, userId };
}

/** Creates the marker that replaces a session. It has the session's user id and expiry. */
export function createMarker({ expiresAt, userId }: StoredSession, number: number): StoredSession {
  return { payload: MARKER_PAYLOAD, version: number, expiresAt, userId };
}

export function createControlRecord(expiresAt: number): StoredSession {
  return { payload: Buffer.from("a copy to another store has begun"), version: 1, expiresAt };
}

/** @throws TypeError if sessions can't be moved from one of the stores to the other. */
export function checkStores(maker: string, from: SessionStore, to: SessionStore): void {
  for (const [name, store] of [
    ["from", from],
    ["to", to],
  ] as const) {
    if (typeof store?.update !== "function") {
      throw new TypeError(`${maker}: ${name} must be a store, such as fileStore() or redisStore(client)`);
    }
    refuseClientSide(maker, store);
  }
  if (from === to) throw new TypeError(`${maker}: from and to are the same store; there is nothing to move`);
  if (Boolean(from.inProcess) !== Boolean(to.inProcess)) {
    throw new TypeError(
      `${maker}: one of the stores keeps records unencrypted in this process's memory (memoryStore) and the other does not; ` +
        "sessions can't be moved between the two, only between stores outside of the process",
    );
  }
}

function hasPrefix(payload: Uint8Array, prefix: Buffer): boolean {
  return payload.length >= prefix.length && prefix.every((byte, index) => payload[index] === byte);
}
