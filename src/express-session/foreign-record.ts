import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import { MAX_TIME } from "../duration.ts";
import type { StoredSession } from "../store.ts";

/*
 * The content of an express-session store under a key:
 *
 *   { cookie: { originalMaxAge, maxAge, expires, … }, sojourn: { id, version, expiresAt, userId?, payload } }
 *
 * `cookie` is there for the store, which takes its own time to live from it. Each store reads another of its members.
 */

/** The part of a record that is Sojourn's. */
interface OwnPart {
  readonly id: string;
  readonly expiresAt: number;
  /** Missing in the mark of a session that has ended. */
  readonly version?: number;
  /** The encrypted record, in base64. */
  readonly payload?: string;
  readonly userId?: string;
  /** A user id with characters that not every database keeps: UTF-16 in base64. */
  readonly userIdUtf16?: string;
}

/** The content under a key: nothing of ours, the mark of a session that has ended, or a session. */
export type Found =
  | { readonly kind: "free" }
  /** A session of express-session, or of another id. It is never replaced. */
  | { readonly kind: "other" }
  | { readonly kind: "ended"; readonly id: string; readonly expiresAt: number }
  | { readonly kind: "session"; readonly id: string; readonly stored: StoredSession };

/**
 * A store keeps a session for this time longer than it lives. Stores round to seconds, some of them down, and a database's
 * clock may be ahead. Sojourn checks the expiry itself.
 */
const MARGIN = 60_000;
/** The form of the ids that Sojourn makes. */
const OWN_ID = /^[\w-]{22}$/;
/** A lone surrogate or a NUL: PostgreSQL and MySQL refuse or change them. */
const UNSAFE_TEXT = /[\0\p{Cs}]/u;

/** The key of a session. Any other id than Sojourn's own is hashed, for a key may become a path, or be cut to a column's width. */
export function keyOf(id: string): string {
  return OWN_ID.test(id) ? id : `id-${hash("sha256", JSON.stringify(id), "base64url")}`;
}

/** The key of the mark of a session that has ended. */
export const endedKeyOf = (id: string): string => `${keyOf(id)}.ended`;

/** @param now - the time of the clock by which `expiresAt` counts. */
export function encodeSession(id: string, stored: StoredSession, now: number): object {
  const { payload, version, expiresAt, userId } = stored;
  const user =
    userId === undefined
      ? {}
      : UNSAFE_TEXT.test(userId)
        ? { userIdUtf16: Buffer.from(userId, "utf16le").toString("base64") }
        : { userId };
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return encode({ id, version, expiresAt, ...user, payload: bytes.toString("base64") }, now);
}

export function encodeEnded(id: string, expiresAt: number, now: number): object {
  return encode({ id, expiresAt }, now);
}

function encode(sojourn: OwnPart, now: number): object {
  const maxAge = sojourn.expiresAt - now + MARGIN;
  const expires = new Date(Math.min(Date.now() + maxAge, MAX_TIME));
  return { cookie: { originalMaxAge: maxAge, maxAge, expires, httpOnly: true, path: "/" }, sojourn };
}

/**
 * Decodes the content under a key.
 *
 * @throws Error for a session that is damaged.
 */
export function decode(content: unknown): Found {
  if (content === undefined || content === null) return { kind: "free" };
  const own = typeof content === "object" && Object.hasOwn(content, "sojourn") ? partOf(content) : undefined;
  if (own === undefined) return { kind: "other" };
  const { id, expiresAt, version, payload, userId, userIdUtf16 } = own;
  if (typeof id !== "string" || !isTime(expiresAt)) throw damaged();
  if (version === undefined && payload === undefined) return { kind: "ended", id, expiresAt };
  if (!Number.isSafeInteger(version) || typeof payload !== "string") throw damaged();
  const user = userIdUtf16 === undefined ? userId : decodeUser(userIdUtf16);
  if (user !== undefined && typeof user !== "string") throw damaged();
  const stored = { payload: Buffer.from(payload, "base64"), version: version as number, expiresAt, userId: user };
  return { kind: "session", id, stored };
}

type Unchecked = { readonly [Name in keyof OwnPart]?: unknown };

function partOf(content: object): Unchecked | undefined {
  const { sojourn } = content as { sojourn: unknown };
  return typeof sojourn === "object" && sojourn !== null ? sojourn : undefined;
}

function decodeUser(utf16: unknown): string {
  if (typeof utf16 !== "string") throw damaged();
  return Buffer.from(utf16, "base64").toString("utf16le");
}

const isTime = (value: unknown): value is number => Number.isSafeInteger(value);

const damaged = (): Error => new Error("the express-session store returned a damaged session");
