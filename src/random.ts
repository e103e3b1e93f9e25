import { Buffer } from "node:buffer";
import { hash, randomFillSync } from "node:crypto";

const RANDOM = 32;
const TIMES = 16;

/**
 * Random bytes, at most 32, that no two processes share, should one be a copy of the other.
 *
 * A machine that is restored twice from one snapshot has the state of its generators twice, OpenSSL's among them. So the
 * time goes in beside what that gives, and `also`: equal bytes would need an equal nanosecond, and equal content.
 */
export function freshBytes(size: number, also?: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(RANDOM + TIMES + (also?.length ?? 0));
  randomFillSync(input, 0, RANDOM);
  input.writeBigUInt64LE(process.hrtime.bigint(), RANDOM);
  input.writeDoubleLE(Date.now(), RANDOM + 8);
  if (also) input.set(also, RANDOM + TIMES);
  return Buffer.from(hash("sha256", input, "binary").slice(0, size), "latin1");
}

/** 128 random bits as 22 characters. */
export function randomPart(): string {
  return freshBytes(16).toString("base64url");
}
