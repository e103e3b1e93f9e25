import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/*
 * Ids and user ids are stored as bytes, because a collation would treat different strings as equal. The bytes are UTF-8, so
 * that they can be read in the table. A string with a lone surrogate is stored as 0xFF and UTF-16. UTF-8 never contains the
 * bytes 0xFF and 0xFE.
 */
const UTF16_PREFIX = Buffer.of(0xff);
const DIGEST_PREFIX = Buffer.of(0xfe);

/** The maximum length of a row key in bytes. One byte stores this length, and every version of InnoDB can index it. */
export const MAX_KEY_BYTES = 255;

export function encodeBinary(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return bytes.toString("utf8") === text ? bytes : Buffer.concat([UTF16_PREFIX, Buffer.from(text, "utf16le")]);
}

export function decodeBinary(bytes: Buffer): string {
  return bytes[0] === UTF16_PREFIX[0] ? bytes.toString("utf16le", 1) : bytes.toString("utf8");
}

/** Returns the key of a session's row. If the id is too long for a key, the key is a digest of it, and `longId` is the id. */
export function rowKeyOf(id: string): { key: Buffer; longId: Buffer | null } {
  const bytes = encodeBinary(id);
  if (bytes.byteLength <= MAX_KEY_BYTES) return { key: bytes, longId: null };
  return { key: Buffer.concat([DIGEST_PREFIX, createHash("sha256").update(bytes).digest()]), longId: bytes };
}
