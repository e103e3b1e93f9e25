import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";

/*
 * A content file:
 *
 *   bytes  0–3   "SJN1": the kind of file and the version of the format
 *          4–7   CRC-32 of everything after it
 *          8–11  length of the head
 *         12–15  length of the payload
 *         16–    the head, JSON: [nonce, id] or [nonce, id, user]; then the payload
 *
 * Numbers are unsigned and big-endian. The checksum detects damage by a disk or a power cut. The nonce is also in the
 * file's name: it detects a file that still has the bytes of an earlier use. Neither protects against tampering. The seal
 * of the record does.
 */

const MAGIC = 0x53_4a_4e_31;
const HEADER = 16;

export interface SessionFile {
  readonly nonce: string;
  readonly id: string;
  readonly userId: string | undefined;
  readonly payload: Uint8Array;
}

export function encodeSessionFile({ nonce, id, userId, payload }: SessionFile): Buffer {
  const head = JSON.stringify(userId === undefined ? [nonce, id] : [nonce, id, userId]);
  const length = Buffer.byteLength(head);
  const file = Buffer.allocUnsafe(HEADER + length + payload.byteLength);
  file.writeUInt32BE(MAGIC, 0);
  file.writeUInt32BE(length, 8);
  file.writeUInt32BE(payload.byteLength, 12);
  file.write(head, HEADER);
  file.set(payload, HEADER + length);
  file.writeUInt32BE(crc32(file.subarray(8)), 4);
  return file;
}

/** Decodes a content file. Returns a string with the reason if the file is damaged. The payload is a view on `file`. */
export function decodeSessionFile(file: Buffer, nonce: string): SessionFile | string {
  if (file.byteLength < HEADER) return `it is ${file.byteLength} bytes long, shorter than its header`;
  if (file.readUInt32BE(0) !== MAGIC) return "it does not begin with SJN1";
  const payloadAt = HEADER + file.readUInt32BE(8);
  const length = payloadAt + file.readUInt32BE(12);
  if (length !== file.byteLength) return `it is ${file.byteLength} bytes long, not ${length}`;
  if (crc32(file.subarray(8)) !== file.readUInt32BE(4)) return "its checksum is wrong";
  const [written, id, userId] = parseHead(file.toString("utf8", HEADER, payloadAt));
  if (written !== nonce) return "it was written under another name";
  if (typeof id !== "string" || !(userId === undefined || typeof userId === "string")) return "its head is wrong";
  return { nonce, id, userId, payload: file.subarray(payloadAt) };
}

function parseHead(text: string): unknown[] {
  try {
    const head: unknown = JSON.parse(text);
    return Array.isArray(head) ? head : [];
  } catch {
    return [];
  }
}
