import { Buffer } from "node:buffer";
import { hash, randomFillSync } from "node:crypto";

const RANDOM_BYTES = 32;
const TIME_BYTES = 16;

/**
 * Creates at most 32 random bytes that differ between processes, even if one process is a copy of the other.
 *
 * Two machines that are restored from one snapshot have the same state in their random generators, OpenSSL's included.
 * So the bytes also depend on the time and on `also`: they are equal only at the same nanosecond and with the same
 * content.
 */
export function freshBytes(size: number, ...also: readonly Uint8Array[]): Buffer {
  let length = RANDOM_BYTES + TIME_BYTES;
  for (const { length: more } of also) length += more;
  const input = Buffer.allocUnsafe(length);
  randomFillSync(input, 0, RANDOM_BYTES);
  input.writeBigUInt64LE(process.hrtime.bigint(), RANDOM_BYTES);
  input.writeDoubleLE(Date.now(), RANDOM_BYTES + 8);
  let at = RANDOM_BYTES + TIME_BYTES;
  for (const bytes of also) {
    input.set(bytes, at);
    at += bytes.length;
  }
  return Buffer.from(hash("sha256", input, "binary").slice(0, size), "latin1");
}

/** 128 random bits as 22 characters. */
export function createRandomPart(): string {
  return freshBytes(16).toString("base64url");
}
