import { Buffer } from "node:buffer";
import { hash, randomFillSync } from "node:crypto";

const RANDOM_BYTES = 32;
const TIME_BYTES = 16;
const COUNT_BYTES = 8;

/** One call of the system's generator costs as much for one value as for this many. */
const POOL_USES = 64;
/** What a leak of memory shows of the pool is worth nothing after this time. */
const POOL_MS = 1000;
const pool = Buffer.alloc(POOL_USES * RANDOM_BYTES);
let poolUses = POOL_USES;
let poolUntil = 0;

/** Nothing else runs while a value is made, so all of them are made in the same memory. */
const drawn = Buffer.alloc(RANDOM_BYTES + TIME_BYTES);
const digest = Buffer.alloc(RANDOM_BYTES);

/**
 * Makes 32 random bytes that differ between processes, even if one process is a copy of the other. They are in `digest` until
 * the next ones are made.
 *
 * Two machines that are restored from one snapshot have the same state in their random generators, OpenSSL's included, and
 * the same pool. So the bytes also depend on the time: they are equal only at the same nanosecond.
 */
function makeValue(): void {
  const now = performance.now();
  if (poolUses === POOL_USES || now >= poolUntil) {
    randomFillSync(pool);
    poolUses = 0;
    poolUntil = now + POOL_MS;
  }
  const start = poolUses * RANDOM_BYTES;
  poolUses += 1;
  // No value can be made again from what is in memory later. A loop is quicker than copying and filling by the system.
  for (let i = 0; i < RANDOM_BYTES; i += 1) {
    drawn[i] = pool[start + i]!;
    pool[start + i] = 0;
  }
  drawn.set(timeNow(), RANDOM_BYTES);
  digest.write(hash("sha256", drawn, "binary"), "latin1");
  drawn.fill(0);
}

/** Creates at most 32 random bytes. */
export function freshBytes(size: number): Buffer {
  makeValue();
  return Buffer.from(digest.subarray(0, size));
}

const PART_BYTES = 16;
const textOfPart = (start: number): string => digest.toString("base64url", start, start + PART_BYTES);

/** 128 random bits as 22 characters. */
export function createRandomPart(): string {
  makeValue();
  return textOfPart(0);
}

/** Two of them by one draw, which costs more than all the rest of a token but its signature. */
export function createRandomParts(): [first: string, second: string] {
  makeValue();
  return [textOfPart(0), textOfPart(PART_BYTES)];
}

/** Drawing random bytes costs more than all the rest of a nonce, for the garbage collector above all. */
const SEED_USES = 256;
const seed = Buffer.alloc(RANDOM_BYTES);
let seedUses = 0;

/**
 * Creates a nonce for a message: bytes that have to be different each time, but need not be secret. In one process their
 * number makes them so, between processes the secret seed. In copies of a process the time and the message do: a copy
 * repeats a nonce for the same message only. The seed hides the message, of which a nonce would be a public hash.
 *
 * @param about - what the message is bound to.
 */
export function createNonce(size: number, about: Uint8Array, message: Uint8Array): Buffer {
  if (seedUses % SEED_USES === 0) randomFillSync(seed);
  const start = RANDOM_BYTES + TIME_BYTES + COUNT_BYTES;
  const input = Buffer.allocUnsafe(start + about.length + message.length);
  input.set(seed);
  input.set(timeNow(), RANDOM_BYTES);
  input.writeDoubleLE((seedUses += 1), RANDOM_BYTES + TIME_BYTES);
  input.set(about, start);
  input.set(message, start + about.length);
  return Buffer.from(hash("sha256", input, "binary").slice(0, size), "latin1");
}

const time = new Uint8Array(TIME_BYTES);
const nanoseconds = new BigUint64Array(time.buffer, 0, 1);
const milliseconds = new Float64Array(time.buffer, 8, 1);

/** The monotonic time and the clock, in bytes that the next call changes. */
function timeNow(): Uint8Array {
  nanoseconds[0] = process.hrtime.bigint();
  milliseconds[0] = Date.now();
  return time;
}
