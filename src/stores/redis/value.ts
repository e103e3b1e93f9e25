import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import type { StoredSession } from "../../store.ts";

// The value of a session's key: a head of 9 bytes or more, then the payload. Redis rounds a value up to the next of its
// allocation sizes (256 bytes for a usual session), so every byte of the head counts.
//
//   offset  bytes
//   0       6     expiresAt
//   6       1     write count: tells this process's writes of the same content apart
//   7             the revision:
//           1       flags: format (4 bits), whether the session has a user (1 bit), bytes of the version less 1 (3 bits)
//           1–7     version
//                   and if the session has a user: 4 bytes for the length of the user id, then the user id, as the text
//                   of a JSON string has it: UTF-8 has nothing for half a surrogate pair, and two such users would become one
//   and if the session has a user:
//           6     indexedUntil: until when the user's index is sure to contain the session
//
// All numbers are big-endian. The scripts read and patch values in place: scripts.ts takes every offset from here. An
// update compares the revision with the one that it expects, as one text.

const VALUE_FORMAT = 2;

/** Bytes of an instant, in epoch milliseconds. */
export const INSTANT_BYTES = 6;
const EXPIRES_AT_OFFSET = 0;
export const WRITE_COUNT_OFFSET = EXPIRES_AT_OFFSET + INSTANT_BYTES;
export const REVISION_OFFSET = WRITE_COUNT_OFFSET + 1;
const FLAGS_OFFSET = REVISION_OFFSET;
const VERSION_OFFSET = FLAGS_OFFSET + 1;
/** Bytes of the length that precedes a user id. */
export const USER_LENGTH_BYTES = 4;

/** Bits of the flags that hold the bytes of the version less 1. */
export const VERSION_BITS = 3;
const FORMAT_SHIFT = VERSION_BITS + 1;
const VERSION_MASK = 2 ** VERSION_BITS - 1;
/** The bit of the flags that is set if the session has a user. */
export const USER_FLAG = 2 ** VERSION_BITS;

/** What a JSON string escapes, or bytes that are no UTF-8. */
const NOT_PLAIN = /["\\\p{Cc}\ufffd]/u;

/** The latest instant that fits: in the year 10889. */
export const MAX_INSTANT = 2 ** (8 * INSTANT_BYTES) - 1;

/** The user of a session, and until when the user's index is sure to contain the session. */
export interface IndexedUser {
  readonly userId: string;
  readonly indexedUntil: number;
}

let writeCount = randomInt(256);

/**
 * A session as the value of its key, in the parts that scripts put together. The parts of a session without a user are one:
 * its value.
 */
export interface EncodedSession {
  /** The value up to the end of the revision, and without a user also the payload. */
  readonly head: Buffer;
  /** If the session has a user: what follows `indexedUntil`, which only the index knows. */
  readonly payload: Buffer | undefined;
}

/** Encodes a session, with a copy of its payload. */
export function encodeSession({ payload, version, expiresAt }: StoredSession, user?: Buffer): EncodedSession {
  const headLength = REVISION_OFFSET + revisionLength(version, user);
  const head = Buffer.allocUnsafe(user === undefined ? headLength + payload.byteLength : headLength);
  head.writeUIntBE(expiresAt, EXPIRES_AT_OFFSET, INSTANT_BYTES);
  writeCount = (writeCount + 1) & 0xff;
  head[WRITE_COUNT_OFFSET] = writeCount;
  writeRevision(head, REVISION_OFFSET, version, user);
  if (user !== undefined) return { head, payload: Buffer.from(payload) };
  head.set(payload, headLength);
  return { head, payload: undefined };
}

/** Encodes the revision of a session that has this version and this user. */
export function encodeRevision(version: number, user: Buffer | undefined): Buffer {
  const bytes = Buffer.allocUnsafe(revisionLength(version, user));
  writeRevision(bytes, 0, version, user);
  return bytes;
}

function revisionLength(version: number, user: Buffer | undefined): number {
  return 1 + countBytes(version) + (user?.length ?? 0);
}

function writeRevision(bytes: Buffer, offset: number, version: number, user: Buffer | undefined): void {
  const versionLength = countBytes(version);
  bytes[offset] = (VALUE_FORMAT << FORMAT_SHIFT) | (user === undefined ? 0 : USER_FLAG) | (versionLength - 1);
  writeNumber(bytes, version, offset + 1, versionLength);
  user?.copy(bytes, offset + 1 + versionLength);
}

/** Decodes the value of a session's key. @throws Error if this format of value is unknown. */
export function decodeStored(value: Buffer): StoredSession {
  const { indexedUser, end } = decodeHead(value);
  return {
    payload: value.subarray(end),
    version: readNumber(value, VERSION_OFFSET, versionLengthOf(value)),
    expiresAt: value.readUIntBE(EXPIRES_AT_OFFSET, INSTANT_BYTES),
    userId: indexedUser?.userId,
  };
}

/** The user in the head of a value; `undefined` for a session without one. */
export function decodeIndexedUser(head: Buffer): IndexedUser | undefined {
  return decodeHead(head).indexedUser;
}

function decodeHead(head: Buffer): { indexedUser: IndexedUser | undefined; end: number } {
  if ((head[FLAGS_OFFSET] ?? 0) >> FORMAT_SHIFT !== VALUE_FORMAT) throw createFormatError();
  const userOffset = VERSION_OFFSET + versionLengthOf(head);
  // A value that was cut off, or whose version is written in another way, would pass for another session.
  if (head.length < userOffset || head[VERSION_OFFSET] === 0) throw createFormatError();
  if (!Number.isSafeInteger(readNumber(head, VERSION_OFFSET, versionLengthOf(head)))) throw createFormatError();
  if (!hasUserFlag(head)) return { indexedUser: undefined, end: userOffset };
  const textOffset = userOffset + USER_LENGTH_BYTES;
  if (head.length < textOffset) throw createFormatError();
  const textEnd = textOffset + head.readUIntBE(userOffset, USER_LENGTH_BYTES);
  const end = textEnd + INSTANT_BYTES;
  if (head.length < end) throw createFormatError();
  const userId = decodeUserId(head.subarray(textOffset, textEnd));
  return { indexedUser: { userId, indexedUntil: head.readUIntBE(textEnd, INSTANT_BYTES) }, end };
}

function decodeUserId(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  if (!NOT_PLAIN.test(text)) return text;
  try {
    const userId = JSON.parse(`"${text}"`) as string;
    // Bytes that the store writes in another way would make another user of them.
    if (userIdText(userId).equals(bytes)) return userId;
  } catch {
    // As below.
  }
  throw createFormatError();
}

function createFormatError(): Error {
  return new Error("this key holds no session that this version of Sojourn has written");
}

function versionLengthOf(head: Buffer): number {
  return (head[FLAGS_OFFSET]! & VERSION_MASK) + 1;
}

function hasUserFlag(head: Buffer): boolean {
  return (head[FLAGS_OFFSET]! & USER_FLAG) !== 0;
}

/** How many bytes of a value are enough to compare its user with this one. */
export function headLengthFor(userId: string): number {
  const longestVersion = countBytes(Number.MAX_SAFE_INTEGER);
  return VERSION_OFFSET + longestVersion + encodeUser(userId).length;
}

/** Encodes a user id with its length, as a value contains it. Scripts and {@link hasUser} compare it. */
export function encodeUser(userId: string): Buffer {
  const text = userIdText(userId);
  const length = Buffer.allocUnsafe(USER_LENGTH_BYTES);
  length.writeUIntBE(text.length, 0, USER_LENGTH_BYTES);
  return Buffer.concat([length, text]);
}

function userIdText(userId: string): Buffer {
  return Buffer.from(JSON.stringify(userId).slice(1, -1), "utf8");
}

/** Whether the session whose value begins with `head` has this user. */
export function hasUser(head: Buffer, user: Buffer): boolean {
  if (head.length === 0 || !hasUserFlag(head)) return false;
  const offset = VERSION_OFFSET + versionLengthOf(head);
  return head.subarray(offset, offset + user.length).equals(user);
}

/** Encodes an instant as a value contains it. */
export function encodeInstant(instant: number): Buffer {
  const bytes = Buffer.allocUnsafe(INSTANT_BYTES);
  bytes.writeUIntBE(instant, 0, INSTANT_BYTES);
  return bytes;
}

function countBytes(number: number): number {
  let length = 1;
  for (let rest = number; rest >= 256; rest = Math.floor(rest / 256)) length += 1;
  return length;
}

// Buffer writes numbers of at most 6 bytes; a version may have 7.
function writeNumber(bytes: Buffer, value: number, offset: number, length: number): void {
  let rest = value;
  for (let index = offset + length - 1; index >= offset; index -= 1) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function readNumber(bytes: Buffer, offset: number, length: number): number {
  let value = 0;
  for (let index = offset; index < offset + length; index += 1) value = value * 256 + bytes[index]!;
  return value;
}
