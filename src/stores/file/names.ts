import { hash, randomBytes } from "node:crypto";

/*
 * The names of the file store's files. A path contains nothing that a client sends: ids and user ids appear only as
 * hashes, and the rest is digits and nonces.
 *
 *   pointers/3f2/3f2…c1.7.k2x9-1.1767225600000.88ab…    empty; its name is the state of one session
 *   contents/3f2/3f2…c1.k2x9-1                          the session's bytes
 *   pointers/3f2/3f2…c1.8.k2x9-1-5.…                   the next state, if the bytes were overwritten in the same file
 *   contents/3f2/3f2…c1.new                             a reservation: a process is creating the session
 *   users/88a/88ab….3f2…c1                             empty; an entry of the user index
 */

/** The directories in the store's directory. */
export type Tree = "pointers" | "contents" | "users";

/** A session's state, as its pointer's name contains it. */
export interface Pointer {
  readonly name: string;
  /** The hash of the session's id. */
  readonly key: string;
  readonly version: number;
  /** Identifies the content. Every write has a new nonce, so that no name is ever used twice. Begins with the file's id. */
  readonly nonce: string;
  readonly expiresAt: number;
  /** The hash of the user id, or "" if the session has no user. */
  readonly userHash: string;
}

const POINTER =
  /^([0-9a-f]{32})\.([1-9]\d{0,15})\.([0-9a-z]+-[0-9a-z]+(?:-[0-9a-z]+)?)\.(0|[1-9]\d{0,15})(?:\.([0-9a-f]{24}))?$/;
const CONTENT = /^([0-9a-f]{32})\.([0-9a-z]+-[0-9a-z]+|new)$/;

const KEY_LENGTH = 32;
const USER_HASH_LENGTH = 24;

// Hashes JSON: in UTF-8, two ids that differ only in a lone surrogate would be equal.
export const hashId = (id: string): string => hash("sha256", JSON.stringify(id), "hex").slice(0, KEY_LENGTH);

/** The hash that stands for a user id in file names. */
export function hashUserId(userId: string | undefined): string {
  return userId === undefined ? "" : hash("sha256", JSON.stringify(userId), "hex").slice(0, USER_HASH_LENGTH);
}

/** With a million sessions, one shard has about 250 names. Listing them takes about 0.1 ms. */
export const SHARDS = 4096;
export const shardOf = (name: string): string => name.slice(0, 3);
export const shardAt = (index: number): string => index.toString(16).padStart(3, "0");

/**
 * Returns a function that makes nonces: a random part for each opened store, and a counter. Two stores never make the same
 * nonce. The first nonce of a content file is the file's id. When the file is overwritten, the new nonce is the id and a
 * counter.
 */
export function createNonceSource(): (fileId?: string) => string {
  const opened = BigInt(`0x${randomBytes(8).toString("hex")}`).toString(36);
  let made = 0;
  return (fileId = opened) => `${fileId}-${(made++).toString(36)}`;
}

export function createPointer(
  key: string,
  version: number,
  nonce: string,
  expiresAt: number,
  userHash: string,
): Pointer {
  const name = `${key}.${version}.${nonce}.${expiresAt}`;
  return { name: userHash === "" ? name : `${name}.${userHash}`, key, version, nonce, expiresAt, userHash };
}

/** The key at the start of a pointer's name. */
export const keyOfPointerName = (name: string): string => name.slice(0, KEY_LENGTH);

/** Parses a name in a pointer directory. Returns `undefined` for a file that is not a pointer. */
export function parsePointerName(name: string): Pointer | undefined {
  const [, key, version, nonce, expiresAt, userHash = ""] = POINTER.exec(name) ?? [];
  if (key === undefined || nonce === undefined) return undefined;
  const state = { name, key, version: Number(version), nonce, expiresAt: Number(expiresAt), userHash };
  // With numbers that are not safe integers, one state could have two names.
  return Number.isSafeInteger(state.version) && Number.isSafeInteger(state.expiresAt) ? state : undefined;
}

/** The id of the file that has the content with this nonce. */
export function fileIdOf(nonce: string): string {
  const end = nonce.indexOf("-", nonce.indexOf("-") + 1);
  return end === -1 ? nonce : nonce.slice(0, end);
}

export const contentName = (key: string, nonce: string): string => `${key}.${fileIdOf(nonce)}`;
export const reservationName = (key: string): string => `${key}.new`;
export const userEntryName = (userHash: string, key: string): string => `${userHash}.${key}`;

/** Parses the name of a content or a reservation. */
export function parseContentName(name: string): { key: string; fileId: string } | undefined {
  const [, key, fileId] = CONTENT.exec(name) ?? [];
  return key === undefined || fileId === undefined ? undefined : { key, fileId };
}
