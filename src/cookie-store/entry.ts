import { Buffer } from "node:buffer";
import { hashSecret, type Token } from "../record/token.ts";
import type { Presented } from "../request/presented-tokens.ts";
import type { StoredSession } from "../store.ts";
import type { Decrypted } from "./pieces.ts";

/** A session of this request. */
export interface Entry {
  readonly token: Token;
  readonly stored: StoredSession;
  /** Epoch milliseconds: when the session began under this id. A revocation of a user's sessions compares it. */
  readonly startedAt: number;
  /** The cookie stays when the browser is closed. */
  readonly isKept: boolean;
  /** Some client may have it. */
  readonly isKnown: boolean;
}

/** A session that came in cookies, and its token. */
export interface Opened {
  readonly entry: Entry;
  readonly presented: Presented;
}

const SECRET_LENGTH = 22;
const EPOCH_BYTES = 3;
const TIME_BYTES = 6;
const HEAD_BYTES = 1 + SECRET_LENGTH + EPOCH_BYTES + 3 * TIME_BYTES;
const FORMAT = 1;
/** A bit of the format's byte. */
const KEPT = 0x80;

/** Writes format, secret, epoch, version, expiry and beginning, and then the record. */
export function encodeEntry({ token, stored, startedAt, isKept }: Entry): Buffer {
  const { payload, version, expiresAt } = stored;
  // Not from the pool: these bytes are remembered, and would keep all of the pool in memory.
  const bytes = Buffer.allocUnsafeSlow(HEAD_BYTES + payload.length);
  bytes[0] = isKept ? FORMAT | KEPT : FORMAT;
  let at = 1 + bytes.write(token.secret, 1, SECRET_LENGTH, "latin1");
  at = bytes.writeUIntBE(token.epoch, at, EPOCH_BYTES);
  at = bytes.writeUIntBE(version, at, TIME_BYTES);
  at = bytes.writeUIntBE(expiresAt, at, TIME_BYTES);
  at = bytes.writeUIntBE(startedAt, at, TIME_BYTES);
  bytes.set(payload, at);
  return bytes;
}

/** Decodes what cookies hold. `undefined` for a format of another version. */
export function openEntry({ id, plain, byPreviousKey }: Decrypted): Opened | undefined {
  const entry = decodeEntry(id, plain);
  if (!entry) return undefined;
  const { token } = entry;
  return { entry, presented: { token, tokenByPreviousKey: byPreviousKey, secretHash: hashSecret(token.secret) } };
}

function decodeEntry(id: string, bytes: Buffer): Entry | undefined {
  if (bytes.length < HEAD_BYTES || (bytes[0]! & ~KEPT) !== FORMAT) return undefined;
  const secretEnd = 1 + SECRET_LENGTH;
  const at = secretEnd + EPOCH_BYTES;
  return {
    token: {
      id,
      secret: bytes.toString("latin1", 1, secretEnd),
      epoch: bytes.readUIntBE(secretEnd, EPOCH_BYTES),
    },
    isKept: (bytes[0]! & KEPT) !== 0,
    isKnown: true,
    startedAt: bytes.readUIntBE(at + 2 * TIME_BYTES, TIME_BYTES),
    stored: {
      payload: bytes.subarray(HEAD_BYTES),
      version: bytes.readUIntBE(at, TIME_BYTES),
      expiresAt: bytes.readUIntBE(at + TIME_BYTES, TIME_BYTES),
    },
  };
}
