import { hash, randomBytes } from "node:crypto";

/*
 * What the file store calls its files. Nothing a client sends gets into a path: an id and a user appear as hashes
 * only, and the rest is digits.
 *
 *   pointers/3f2/3f2…c1.7.k2x9-1.1767225600000.88ab…    empty; the state of one session is this name
 *   contents/3f2/3f2…c1.k2x9-1                          the bytes that belong to it
 *   contents/3f2/3f2…c1.new                             a reservation: somebody is creating the session
 *   users/88a/88ab….3f2…c1                             empty; found by whom the session belongs to
 */

/** The directories below the store's own. */
export type Tree = "pointers" | "contents" | "users";

/** A session's state, as the name of its pointer tells it. */
export interface Pointer {
  readonly name: string;
  readonly key: string;
  readonly version: number;
  /** Names the content: fresh for every one ever written, so that no name ever comes back. */
  readonly nonce: string;
  readonly expiresAt: number;
  /** The user's tag, or "" where it has none. */
  readonly tag: string;
}

const POINTER = /^([0-9a-f]{32})\.([1-9]\d{0,15})\.([0-9a-z]+-[0-9a-z]+)\.(0|[1-9]\d{0,15})(?:\.([0-9a-f]{24}))?$/;
const CONTENT = /^([0-9a-f]{32})\.([0-9a-z]+-[0-9a-z]+|new)$/;

const KEY_LENGTH = 32;
const TAG_LENGTH = 24;

// As JSON, because two ids that differ in half a surrogate pair only would be the same in UTF-8.
export const keyOf = (id: string): string => hash("sha256", JSON.stringify(id), "hex").slice(0, KEY_LENGTH);

/** What stands for a user in names. */
export function tagOf(userId: string | undefined): string {
  return userId === undefined ? "" : hash("sha256", JSON.stringify(userId), "hex").slice(0, TAG_LENGTH);
}

/** At a million sessions a listing is some 250 names, and takes a tenth of a millisecond. */
export const SHARDS = 4096;
export const shardOf = (name: string): string => name.slice(0, 3);
export const shardAt = (index: number): string => index.toString(16).padStart(3, "0");

/** A maker of nonces: random for the store that is open, counted within it. No two stores ever make the same. */
export function nonces(): () => string {
  const opened = BigInt(`0x${randomBytes(8).toString("hex")}`).toString(36);
  let made = 0;
  return () => `${opened}-${(made++).toString(36)}`;
}

export function pointer(key: string, version: number, nonce: string, expiresAt: number, tag: string): Pointer {
  const name = `${key}.${version}.${nonce}.${expiresAt}`;
  return { name: tag === "" ? name : `${name}.${tag}`, key, version, nonce, expiresAt, tag };
}

/** The key that a pointer's name begins with. */
export const keyIn = (name: string): string => name.slice(0, KEY_LENGTH);

/** What a name in a pointer directory says; `undefined` where it is no pointer but somebody else's file. */
export function parsePointer(name: string): Pointer | undefined {
  const [, key, version, nonce, expiresAt, tag = ""] = POINTER.exec(name) ?? [];
  if (key === undefined || nonce === undefined) return undefined;
  const state = { name, key, version: Number(version), nonce, expiresAt: Number(expiresAt), tag };
  // Digits that no number keeps would be one state with two names.
  return Number.isSafeInteger(state.version) && Number.isSafeInteger(state.expiresAt) ? state : undefined;
}

export const contentName = (key: string, nonce: string): string => `${key}.${nonce}`;
export const reservationName = (key: string): string => `${key}.new`;
export const markerName = (tag: string, key: string): string => `${tag}.${key}`;

/** The key and nonce in the name of a content or reservation. */
export function parseContent(name: string): { key: string; nonce: string } | undefined {
  const [, key, nonce] = CONTENT.exec(name) ?? [];
  return key === undefined || nonce === undefined ? undefined : { key, nonce };
}
