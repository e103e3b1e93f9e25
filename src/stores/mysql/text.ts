import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/*
 * Ids and user ids are kept as bytes, so that no collation makes two of them equal. They are UTF-8, which is readable in
 * the table. A string with half a surrogate pair is 0xFF followed by UTF-16. UTF-8 never contains the bytes 0xFF and 0xFE.
 */
const UTF16_PREFIX = Buffer.of(0xff);
const DIGEST_PREFIX = Buffer.of(0xfe);

/** The maximum bytes of an id that is its own key. One byte can count them, and every version of InnoDB can index them. */
export const MAX_KEY_LENGTH = 255;

export function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return bytes.toString("utf8") === text ? bytes : Buffer.concat([UTF16_PREFIX, Buffer.from(text, "utf16le")]);
}

export function decodeText(bytes: Buffer): string {
  return bytes[0] === UTF16_PREFIX[0] ? bytes.toString("utf16le", 1) : bytes.toString("utf8");
}

/** The primary key of a session's row, and the whole id if the key is only its digest. */
export function mysqlKeyOf(id: string): { key: Buffer; longId: Buffer | null } {
  const bytes = encodeText(id);
  if (bytes.byteLength <= MAX_KEY_LENGTH) return { key: bytes, longId: null };
  return { key: Buffer.concat([DIGEST_PREFIX, createHash("sha256").update(bytes).digest()]), longId: bytes };
}
