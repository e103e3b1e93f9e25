import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import type { StoredSession } from "../../store.ts";

// A session's value: a head of 9 bytes or a little more, then the payload. Redis takes the next larger of its sizes for
// a value, 256 bytes for a usual session: every byte of the head counts. The scripts read and patch it in place.
//
//   0  6  expiresAt
//   6  1  format (3 bits), how the user is written (2 bits), bytes of the version less 1 (3 bits)
//   7  1  write: counts this process's writes, so that a write can tell itself from another with the same content
//   8  1…7  version
//   and with a user:
//   6  indexedUntil: until when the index of the user's sessions is sure to name this one
//   4  length of the user, then the user
//
// All numbers are big-endian.

const FORMAT = 1;
/** Where the version begins. */
const VERSION = 8;
const FLAGS = 6;
const NO_USER = 0;
const UTF8 = 1;
const UTF16 = 2;

/** The latest instant that 6 bytes can say: in the year 10889. */
export const LATEST = 2 ** 48 - 1;

/** Who owns a session, and until when it is indexed as theirs. */
export interface IndexedUser {
  readonly userId: string;
  readonly indexedUntil: number;
}

let writes = randomInt(256);

/** A session's value. `indexedUntil` of a session without a user is not kept. */
export function encodeRecord(stored: StoredSession, indexedUntil: number): Buffer {
  const { payload, version, expiresAt } = stored;
  const userId = stored.userId === undefined ? undefined : userBytes(stored.userId);
  const length = bytesOf(version);
  const indexed = userId === undefined ? 0 : 6 + userId.section.length;
  const record = Buffer.allocUnsafe(VERSION + length + indexed + payload.byteLength);
  record.writeUIntBE(expiresAt, 0, 6);
  record[FLAGS] = (FORMAT << 5) | ((userId?.kind ?? NO_USER) << 3) | (length - 1);
  writes = (writes + 1) & 0xff;
  record[FLAGS + 1] = writes;
  writeNumber(record, version, VERSION, length);
  let at = VERSION + length;
  if (userId !== undefined) {
    at = record.writeUIntBE(indexedUntil, at, 6);
    at += userId.section.copy(record, at);
  }
  record.set(payload, at);
  return record;
}

/** What a value says. @throws {Error} for one that this version did not write. */
export function decodeRecord(record: Buffer): StoredSession {
  const { indexed, end } = decodeHead(record);
  const version = readNumber(record, VERSION, (record[FLAGS]! & 7) + 1);
  return {
    payload: record.subarray(end),
    version,
    expiresAt: record.readUIntBE(0, 6),
    userId: indexed?.userId,
  };
}

/** Whose session a value is, of the beginning of which this is. */
export function indexedUserOf(head: Buffer): IndexedUser | undefined {
  return decodeHead(head).indexed;
}

function decodeHead(head: Buffer): { indexed: IndexedUser | undefined; end: number } {
  const flags = head[FLAGS] ?? 0;
  if (flags >> 5 !== FORMAT) throw foreign();
  const at = VERSION + (flags & 7) + 1;
  // A value that was cut off, or whose version has another spelling, would pass for another session.
  if (head.length < at || head[VERSION] === 0 || !Number.isSafeInteger(readNumber(head, VERSION, at - VERSION)))
    throw foreign();
  const kind = (flags >> 3) & 3;
  if (kind === NO_USER) return { indexed: undefined, end: at };
  const end = head.length < at + 10 ? Infinity : at + 10 + head.readUInt32BE(at + 6);
  if (kind > UTF16 || end > head.length) throw foreign();
  const userId = head.toString(kind === UTF8 ? "utf8" : "utf16le", at + 10, end);
  // Bytes that are no UTF-8 become this character, and another user.
  if ((kind === UTF16 || userId.includes("\ufffd")) && !isOwnedBy(head, userBytes(userId))) throw foreign();
  return { indexed: { userId, indexedUntil: head.readUIntBE(at, 6) }, end };
}

const foreign = (): Error => new Error("this key holds no session that this version of Sojourn has written");

/** How many bytes of a value are enough to tell whether it is this user's. */
export function headLength(userId: string): number {
  return VERSION + 7 + 6 + userBytes(userId).section.length;
}

/** The user as a value holds it: for scripts to compare. */
export function userSection(userId: string): Buffer {
  return userBytes(userId).section;
}

/** How the user is written: the same bytes may be two users. */
export function userKind(userId: string): number {
  return userBytes(userId).kind;
}

/** Whether a value, of the beginning of which this is, is one of that user. */
export function isOwnedBy(head: Buffer, { kind, section }: { kind: number; section: Buffer }): boolean {
  const at = VERSION + (head[FLAGS]! & 7) + 1 + 6;
  return ((head[FLAGS]! >> 3) & 3) === kind && head.subarray(at, at + section.length).equals(section);
}

/** A version as a value holds it: two are the same if their bytes are. */
export function versionBytes(version: number): Buffer {
  if (!Number.isSafeInteger(version) || version < 1) return Buffer.alloc(0);
  const length = bytesOf(version);
  const bytes = Buffer.allocUnsafe(length);
  writeNumber(bytes, version, 0, length);
  return bytes;
}

/** An instant as a value holds it. */
export function instantBytes(instant: number): Buffer {
  const bytes = Buffer.allocUnsafe(6);
  bytes.writeUIntBE(instant, 0, 6);
  return bytes;
}

function userBytes(userId: string): { kind: number; section: Buffer } {
  let text = Buffer.from(userId, "utf8");
  let kind = UTF8;
  // Half a surrogate pair has no UTF-8: two such users would become one.
  if (text.toString("utf8") !== userId) {
    text = Buffer.from(userId, "utf16le");
    kind = UTF16;
  }
  const section = Buffer.allocUnsafe(4 + text.length);
  section.writeUInt32BE(text.length, 0);
  text.copy(section, 4);
  return { kind, section };
}

function bytesOf(version: number): number {
  let length = 1;
  for (let rest = version; rest >= 256; rest = Math.floor(rest / 256)) length += 1;
  return length;
}

// Buffer writes no more than 6 bytes of a number; a version may have 7.
function writeNumber(bytes: Buffer, value: number, at: number, length: number): void {
  let rest = value;
  for (let index = at + length - 1; index >= at; index -= 1) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function readNumber(bytes: Buffer, at: number, length: number): number {
  let value = 0;
  for (let index = at; index < at + length; index += 1) value = value * 256 + bytes[index]!;
  return value;
}
