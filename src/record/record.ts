import { BOUNDLESS, decodeValue, encodeValue } from "../changes/codec.ts";
import { createDecodeError } from "../errors.ts";
import type { Keyring } from "./keyring.ts";
import type { Rotation } from "../lifecycle/rotation.ts";
import type { SessionStore, StoredSession } from "../store.ts";
import { freshBytes } from "../random.ts";
import { nextEpoch } from "./token.ts";

/** A message that is shown once. */
export interface Flash {
  readonly category: string;
  readonly message: unknown;
}

/** A flash with a key, so that a request removes those that it showed and no others. */
export interface StoredFlash extends Flash {
  readonly key: string;
}

/** Properties of the client that signed in, as the option `client` returned them. */
export interface Client {
  /** The `User-Agent` header. */
  readonly userAgent?: string | undefined;
  /** The client's network address. */
  readonly address?: string | undefined;
}

/** Fields that few sessions have. They take no space in a record that lacks them. */
interface OptionalFields {
  /** The timeouts of this session in milliseconds, if signing in set them. */
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
  readonly client?: Client | undefined;
  readonly note?: string | undefined;
  readonly rotation?: Rotation | undefined;
  readonly ended?: Ended | undefined;
  readonly formerly?: Formerly | undefined;
}

/** The former session whose place this one has taken. It ends with this one. */
export interface Formerly {
  /** The name of its source. */
  readonly source: string;
  readonly key: string;
}

/**
 * Marks a record whose session was ended by compare-and-set, or moved to another id by signing in. No token opens such
 * a record.
 */
interface Ended {
  readonly movedTo?: string | undefined;
  /** The user who was signed in. */
  readonly userId?: string | undefined;
}

/**
 * The record of a session. Its expiry is not part of it: the store keeps that unencrypted, because a touch changes it.
 */
export interface SessionRecord extends OptionalFields {
  readonly secretHash: Uint8Array;
  /** Counts the tokens that signing in or rotating has invalidated. A request of an earlier epoch may not write. */
  readonly epoch: number;
  readonly createdAt: number;
  readonly signedInAt: number | undefined;
  readonly userId: string | undefined;
  readonly flashes: readonly StoredFlash[];
  /** The encoded data. They are decoded only if a handler reads them. */
  readonly data: string;
}

/** A record as it was read, with the fields that the store keeps beside it. */
export interface LoadedRecord {
  readonly record: SessionRecord;
  readonly version: number;
  readonly expiresAt: number;
  /** Whether a previous key encrypted it: then the next commit encrypts it with the current key. */
  readonly byPreviousKey: boolean;
}

const FORMAT = 1;
const HASH_LENGTH = 16;
const FIXED_LENGTH = 1 + HASH_LENGTH + 4 + 6 + 6 + 2 + 4;
/** A bit of the format's byte: a user has signed in. */
const SIGNED_IN = 0x80;

/**
 * Writes format, secretHash, epoch, createdAt, signedInAt, and the lengths of user id and optional fields; then user
 * id, optional fields and data.
 */
function encodeRecord(record: SessionRecord): Buffer {
  const { userId = "", data } = record;
  const optionalFields = encodeOptionalFields(record);
  const userLength = Buffer.byteLength(userId);
  const optionalLength = Buffer.byteLength(optionalFields);
  const bytes = Buffer.allocUnsafe(FIXED_LENGTH + userLength + optionalLength + Buffer.byteLength(data));
  bytes[0] = record.signedInAt === undefined ? FORMAT : FORMAT | SIGNED_IN;
  bytes.set(record.secretHash, 1);
  let at = bytes.writeUInt32BE(record.epoch, 1 + HASH_LENGTH);
  at = bytes.writeUIntBE(record.createdAt, at, 6);
  at = bytes.writeUIntBE(record.signedInAt ?? 0, at, 6);
  at = bytes.writeUInt16BE(userLength, at);
  at = bytes.writeUInt32BE(optionalLength, at);
  if (userLength > 0) at += bytes.write(userId, at);
  if (optionalLength > 0) at += bytes.write(optionalFields, at);
  bytes.write(data, at);
  return bytes;
}

function encodeOptionalFields(record: SessionRecord): string {
  const { flashes, idle, absolute, client, note, rotation, ended, formerly } = record;
  // Most sessions have none, and this runs at every write.
  if (flashes.length === 0 && (idle ?? absolute ?? client ?? note ?? rotation ?? ended ?? formerly) === undefined)
    return "";
  const shown = flashes.length > 0 ? flashes : undefined;
  const all = { flashes: shown, idle, absolute, client, note, rotation, ended, formerly };
  const present = Object.entries(all).filter(([, value]) => value !== undefined);
  return present.length > 0 ? encodeValue(Object.fromEntries(present), "record", BOUNDLESS) : "";
}

function decodeRecord(plain: Uint8Array): SessionRecord {
  const bytes = Buffer.isBuffer(plain) ? plain : Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  if (bytes.length < FIXED_LENGTH || (bytes[0]! & ~SIGNED_IN) !== FORMAT)
    throw createDecodeError("its format is not one this version knows");
  const userEnd = FIXED_LENGTH + bytes.readUInt16BE(17 + HASH_LENGTH);
  const optionalEnd = userEnd + bytes.readUInt32BE(19 + HASH_LENGTH);
  if (optionalEnd > bytes.length) throw createDecodeError("it is cut off");
  const record = {
    secretHash: bytes.subarray(1, 1 + HASH_LENGTH),
    epoch: bytes.readUInt32BE(1 + HASH_LENGTH),
    createdAt: bytes.readUIntBE(5 + HASH_LENGTH, 6),
    signedInAt: bytes[0]! & SIGNED_IN ? bytes.readUIntBE(11 + HASH_LENGTH, 6) : undefined,
    userId: userEnd > FIXED_LENGTH ? bytes.toString("utf8", FIXED_LENGTH, userEnd) : undefined,
    flashes: [],
    data: bytes.toString("utf8", optionalEnd),
  };
  if (optionalEnd === userEnd) return record;
  return { ...record, ...decodeOptionalFields(bytes.toString("utf8", userEnd, optionalEnd)) };
}

/** Names that a record has not, the names of its own fields above all, are refused and not taken over. */
function decodeOptionalFields(text: string): OptionalFields & { readonly flashes?: readonly StoredFlash[] } {
  const found = decodeValue(text);
  if (!isDictionary(found)) throw createDecodeError("it is malformed");
  for (const [name, value] of Object.entries(found)) {
    if (!Object.hasOwn(SHAPES, name) || !SHAPES[name as keyof typeof SHAPES](value))
      throw createDecodeError(`its ${name} is not one this version knows`);
  }
  return found;
}

type Dictionary = Readonly<Record<string, unknown>>;
type Shape = (value: unknown) => boolean;

const isDictionary = (value: unknown): value is Dictionary =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
const isNumber: Shape = (value) => typeof value === "number";
const isText: Shape = (value) => typeof value === "string";
const isHash: Shape = (value) => value instanceof Uint8Array && value.length === HASH_LENGTH;
/** A dictionary of which each property, where it is there, has its shape. */
const having =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    isDictionary(value) &&
    Object.entries(shapes).every(([name, fits]) => value[name] === undefined || fits(value[name]));

const isFlash: Shape = (value) => isDictionary(value) && isText(value["key"]) && isText(value["category"]);

const SHAPES: Readonly<Record<"flashes" | keyof OptionalFields, Shape>> = {
  flashes: (value) => Array.isArray(value) && value.every(isFlash),
  idle: isNumber,
  absolute: isNumber,
  client: having({ userAgent: isText, address: isText }),
  note: isText,
  rotation: (value) =>
    isDictionary(value) && isNumber(value["since"]) && having({ previous: isHash, next: isHash })(value),
  ended: having({ movedTo: isText, userId: isText }),
  formerly: having({ source: isText, key: isText }),
};

/** Encodes a record for the store. It is encrypted, unless the store keeps it in this process's memory. */
export function encryptSession(
  context: { store: SessionStore; keyring: Keyring },
  id: string,
  { record, version, expiresAt }: Omit<LoadedRecord, "byPreviousKey">,
): StoredSession {
  const plain = encodeRecord(record);
  const payload = context.store.inProcess ? plain : encryptRecord(context.keyring, id, plain);
  return { payload, version, expiresAt, userId: record.userId };
}

/**
 * Creates the record that replaces a session that was ended, or moved by signing in. It has no data, and a hash that no
 * secret has: whoever wrote it recognises it. A late request recognises by it that its token was invalidated. It keeps its user, because a failing request may restore the
 * session and `revokeAll` must find it, unless that finds the one that it has moved to.
 */
export function createEndedRecord(
  { createdAt, epoch, userId }: Pick<SessionRecord, "createdAt" | "epoch" | "userId">,
  moved?: { readonly to: string; readonly isListed: boolean },
): SessionRecord {
  return {
    secretHash: new Uint8Array(freshBytes(HASH_LENGTH)),
    epoch: nextEpoch(epoch),
    createdAt,
    signedInAt: undefined,
    userId: moved?.isListed ? undefined : userId,
    flashes: [],
    data: "{}",
    ended: { movedTo: moved?.to, userId },
  };
}

/**
 * Creates the record of a marker, which says that a former session has become the session `id`. No token opens it, and no list
 * of sessions has it.
 */
export function createMarker(id: string, now: number): SessionRecord {
  return createEndedRecord({ createdAt: now, epoch: 0, userId: undefined }, { to: id, isListed: false });
}

/**
 * Decrypts and decodes a record.
 *
 * @throws SessionError `ERR_SESSION_DECODE` for a record that was changed, swapped, put under another user,
 *   or encrypted by an unknown key.
 */
export function decryptSession(
  context: { store: SessionStore; keyring: Keyring },
  id: string,
  stored: StoredSession,
): LoadedRecord {
  const { payload, version, expiresAt } = stored;
  if (context.store.inProcess) {
    return { record: decodeRecord(payload), version, expiresAt, byPreviousKey: false };
  }
  const { plain, byPreviousKey } = decryptRecord(context.keyring, id, payload);
  const record = decodeRecord(plain);
  // Otherwise somebody who can write to the store could hide a session from its user's list and from `revokeAll`.
  if (record.userId !== stored.userId) throw createDecodeError("the store names another user than the record");
  return { record, version, expiresAt, byPreviousKey };
}

function encryptRecord(keyring: Keyring, id: string, plain: Uint8Array): Uint8Array {
  const encrypted = keyring.encrypt(id, plain);
  keyring.recent.remember(id, encrypted, plain);
  return encrypted;
}

function decryptRecord(
  keyring: Keyring,
  id: string,
  encrypted: Uint8Array,
): { plain: Uint8Array; byPreviousKey: boolean } {
  const recent = keyring.recent.find(id, encrypted);
  if (recent) return { plain: recent, byPreviousKey: false };
  const decrypted = keyring.decrypt(id, encrypted);
  if (!decrypted.byPreviousKey) keyring.recent.remember(id, encrypted, decrypted.plain);
  return decrypted;
}
