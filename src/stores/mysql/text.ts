import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/*
 * Ids and users are kept as bytes, which no collation folds: UTF-8, so that they can be read in the table, or, for a
 * string with half a surrogate pair, 0xFF and UTF-16. No UTF-8 has a byte 0xFF or 0xFE.
 */
const UTF16 = Buffer.of(0xff);
const DIGEST = Buffer.of(0xfe);

/** The longest id that is its own key: one byte says how long it is, and every version of InnoDB can index it. */
export const LONGEST_KEY = 255;

export function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return bytes.toString("utf8") === text ? bytes : Buffer.concat([UTF16, Buffer.from(text, "utf16le")]);
}

export function textOf(bytes: Buffer): string {
  return bytes[0] === UTF16[0] ? bytes.toString("utf16le", 1) : bytes.toString("utf8");
}

/** The key of a session's row, and the id itself where the key is but a digest of it. */
export function keyOf(id: string): { key: Buffer; longId: Buffer | null } {
  const bytes = bytesOf(id);
  if (bytes.byteLength <= LONGEST_KEY) return { key: bytes, longId: null };
  return { key: Buffer.concat([DIGEST, createHash("sha256").update(bytes).digest()]), longId: bytes };
}
