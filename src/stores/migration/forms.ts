import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import type { SessionStore, StoredSession } from "../../store.ts";

/*
 * What a move writes into the two stores beside sessions, each under the id of the session it stands for:
 *
 *   in `to`    staged:  the session as it was read, with its version and user inside, so that it opens for nobody yet
 *   in `from`  marker:  "handed over": from now on `to` says what the session is
 *
 * Both carry the number of the handover where a session has its version, and every handover draws another. So a marker
 * belongs to one staged copy and no other, each compare-and-set means the very record that was read, and no version
 * that an application has ever seen matches.
 */

// Below: what sessions count up to in 70 years of 1000 updates a second. Above: what Lua prints without an exponent.
const FIRST_NUMBER = 2 ** 41;
const LAST_NUMBER = 2 ** 46;

const STAGED = Buffer.from("SJNSTAGE");
const MARKER = Buffer.from("SJNMOVED");
const HEAD_AT = STAGED.length + 4;

/** The record in `from` that says that a copy has begun. No session has this id: it is no base64url. */
export const CONTROL_ID = "sojourn: moving";

/** What a store holds under an id. */
export type Form = "session" | "staged" | "marker" | "nothing";

export function formOf(stored: StoredSession | undefined): Form {
  if (stored === undefined) return "nothing";
  if (stored.version < FIRST_NUMBER || stored.version > LAST_NUMBER) return "session";
  if (beginsWith(stored.payload, STAGED)) return "staged";
  return beginsWith(stored.payload, MARKER) ? "marker" : "session";
}

export const drawNumber = (): number => randomInt(FIRST_NUMBER, LAST_NUMBER);

/** The session in a wrapping: without a user to be found by. */
export function staged({ payload, version, expiresAt, userId }: StoredSession, number: number): StoredSession {
  // As JSON, which keeps half a surrogate pair as it is.
  const head = Buffer.from(JSON.stringify(userId === undefined ? [version] : [version, userId]));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  return { payload: Buffer.concat([STAGED, length, head, payload]), version: number, expiresAt };
}

/** The session out of its wrapping, with the expiry that the wrapping has. */
export function unstaged({ payload, expiresAt }: StoredSession): StoredSession {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const headEnd = HEAD_AT + bytes.readUInt32BE(STAGED.length);
  const [version, userId] = JSON.parse(bytes.toString("utf8", HEAD_AT, headEnd)) as [number, string?];
  return { payload: bytes.subarray(headEnd), version, expiresAt, userId };
}

/** Takes the session's place: the user's index goes on naming it, and it leaves by itself when the session would. */
export function marker({ expiresAt, userId }: StoredSession, number: number): StoredSession {
  return { payload: MARKER, version: number, expiresAt, userId };
}

export function control(expiresAt: number): StoredSession {
  return { payload: Buffer.from("a copy to another store has begun"), version: 1, expiresAt };
}

/** @throws {TypeError} where sessions can't go from the one to the other. */
export function checkPair(maker: string, from: SessionStore, to: SessionStore): void {
  for (const [name, store] of [
    ["from", from],
    ["to", to],
  ] as const) {
    if (typeof store?.update !== "function") {
      throw new TypeError(`${maker}: ${name} must be a store, such as fileStore() or redisStore(client)`);
    }
  }
  if (from === to) throw new TypeError(`${maker}: from and to are the same store; there is nothing to move`);
  if (Boolean(from.inProcess) !== Boolean(to.inProcess)) {
    throw new TypeError(
      `${maker}: one of the stores keeps records unencrypted in this process's memory (memoryStore) and the other does not; ` +
        "sessions can't be moved between the two, only between stores outside of the process",
    );
  }
}

function beginsWith(payload: Uint8Array, magic: Buffer): boolean {
  return payload.length >= magic.length && magic.every((byte, index) => payload[index] === byte);
}
