import { Buffer } from "node:buffer";
import type { Keyring } from "../record/keyring.ts";

/**
 * A session in cookies. Its encrypted bytes are written as base64url and cut into pieces: the cookie `session` has the first
 * one, `session.1` the next, and so on.
 *
 *     first piece   2 <number of pieces> <id> <part>
 *     other pieces  <tag> <part>
 *
 * The tag is a part of the nonce of these bytes, so pieces of two versions are told apart before they are decrypted. The
 * encryption authenticates the id, the number of pieces and every byte: pieces of two sessions or two versions, pieces in
 * another order, and a record from a store decrypt to nothing.
 */
const FORMAT = "2";
const ID_LENGTH = 22;
const HEAD_LENGTH = FORMAT.length + 1 + ID_LENGTH;
const TAG_LENGTH = 8;
/** The characters of the first part that are bits of the nonce alone. */
const TAG_START = 7;
/** The bytes that encryption adds: format, key id, nonce and authentication tag. */
const ENCRYPTION_BYTES = 33;
export const MAX_PIECES = 9;

/** A subdomain can set cookies that come before the real ones, so several first pieces are tried. */
const MAX_HEADS = 4;
/** Values of one further piece that are compared with the tag. */
const MAX_VALUES = 16;

/** The pieces that a request carries. */
export interface Pieces {
  /** Different values that look like a first piece. */
  readonly heads: readonly string[];
  /** The different values of the further pieces, by their number. */
  readonly others: ReadonlyMap<number, readonly string[]>;
}

/** What the cookies of a session hold. */
export interface Decrypted {
  readonly id: string;
  readonly plain: Buffer;
  readonly byPreviousKey: boolean;
}

/** Most sessions have one piece. */
const NO_OTHERS: Pieces["others"] = new Map();

/** Finds the cookies that are named exactly `name`, or `name` with the number of a piece. Nothing is decoded or unquoted. */
export function findPieces(header: string, name: string): Pieces {
  const heads: string[] = [];
  let others: Map<number, string[]> | undefined;
  for (let start = 0; start < header.length;) {
    let end = header.indexOf(";", start);
    if (end < 0) end = header.length;
    while (header[start] === " " || header[start] === "\t") start++;
    if (header.startsWith(name, start)) {
      const after = start + name.length;
      if (header[after] === "=") addHead(heads, header.slice(after + 1, end));
      else if (header[after] === "." && header[after + 2] === "=")
        addOther((others ??= new Map()), header.charCodeAt(after + 1) - 48, header.slice(after + 3, end));
    }
    start = end + 1;
  }
  return { heads, others: others ?? NO_OTHERS };
}

function addHead(heads: string[], value: string): void {
  if (heads.length >= MAX_HEADS || value.length <= HEAD_LENGTH || value[0] !== FORMAT) return;
  if (!heads.includes(value)) heads.push(value);
}

function addOther(others: Map<number, string[]>, index: number, value: string): void {
  if (!(index >= 1 && index < MAX_PIECES)) return;
  const values = others.get(index);
  if (!values) others.set(index, [value]);
  else if (values.length < MAX_VALUES && !values.includes(value)) values.push(value);
}

/**
 * Joins a first piece and the parts of the others that belong to it. `undefined` where one is missing, or where two different ones
 * have its number.
 */
export function joinPieces(head: string, others: Pieces["others"]): string | undefined {
  const count = countIn(head);
  if (!(count >= 1 && count <= MAX_PIECES)) return undefined;
  let joined = head;
  const tag = count > 1 ? tagIn(head) : "";
  for (let index = 1; index < count; index++) {
    const fitting = others.get(index)?.filter((value) => value.startsWith(tag));
    if (fitting?.length !== 1) return undefined;
    joined += fitting[0]!.slice(TAG_LENGTH);
  }
  return joined;
}

/** Decrypts the pieces of a session. `undefined` for anything that is not authentic. */
export function decryptPieces(keyring: Keyring, joined: string): Decrypted | undefined {
  const text = joined.slice(HEAD_LENGTH);
  const bytes = Buffer.from(text, "base64url");
  // Another spelling of the same bytes is another cookie.
  if (bytes.toString("base64url") !== text) return undefined;
  // A copy: a slice would keep the cookie in memory as long as the id.
  const id = Buffer.from(joined.slice(2, HEAD_LENGTH)).toString();
  try {
    const { plain, byPreviousKey } = keyring.decrypt(bindingOf(id, countIn(joined)), bytes);
    return { id, plain: Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength), byPreviousKey };
  } catch {
    return undefined;
  }
}

/**
 * Encrypts a session into joined pieces.
 *
 * @param room - the characters of one piece's value.
 */
export function encryptPieces(keyring: Keyring, id: string, plain: Uint8Array, room: number): string {
  const length = Math.ceil(((plain.length + ENCRYPTION_BYTES) * 4) / 3);
  const beyondFirst = Math.max(0, length - (room - HEAD_LENGTH));
  const count = 1 + Math.ceil(beyondFirst / (room - TAG_LENGTH));
  const encrypted = keyring.encrypt(bindingOf(id, count), plain);
  const bytes = Buffer.from(encrypted.buffer, encrypted.byteOffset, encrypted.byteLength);
  return FORMAT + count + id + bytes.toString("base64url");
}

/** Cuts joined pieces: {@link joinPieces} joins them again. */
export function cutPieces(joined: string, room: number): string[] {
  if (joined.length <= room) return [joined];
  const pieces = [joined.slice(0, room)];
  const tag = tagIn(joined);
  for (let at = room; at < joined.length; at += room - TAG_LENGTH)
    pieces.push(tag + joined.slice(at, at + room - TAG_LENGTH));
  return pieces;
}

function countIn(head: string): number {
  return head.charCodeAt(FORMAT.length) - 48;
}

function tagIn(head: string): string {
  const start = HEAD_LENGTH + TAG_START;
  return head.slice(start, start + TAG_LENGTH);
}

/** What the encryption is bound to. It begins with the id, by which the keyring chooses the key. */
function bindingOf(id: string, count: number): string {
  return `${id} in ${count} cookies`;
}
