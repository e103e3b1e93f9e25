import { Buffer } from "node:buffer";
import { hash, randomFillSync } from "node:crypto";

const RANDOM_BYTES = 32;
const TIME_BYTES = 16;

/**
 * Random bytes, at most 32, that no two processes share, should one be a copy of the other.
 *
 * A machine that is restored twice from one snapshot has the state of its generators twice, OpenSSL's among them. So the
 * time goes in beside what that gives, and `also`: equal bytes would need an equal nanosecond, and equal content.
 */
export function freshBytes(size: number, also?: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(RANDOM_BYTES + TIME_BYTES + (also?.length ?? 0));
  randomFillSync(input, 0, RANDOM_BYTES);
  input.writeBigUInt64LE(process.hrtime.bigint(), RANDOM_BYTES);
  input.writeDoubleLE(Date.now(), RANDOM_BYTES + 8);
  if (also) input.set(also, RANDOM_BYTES + TIME_BYTES);
  return Buffer.from(hash("sha256", input, "binary").slice(0, size), "latin1");
}

/** 128 random bits as 22 characters. */
export function randomPart(): string {
  return freshBytes(16).toString("base64url");
}
