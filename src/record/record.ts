import { BOUNDLESS, decodeValue, encodeValue } from "../changes/codec.ts";
import { undecodable, type Keyring } from "./keyring.ts";
import type { Rotation } from "../lifecycle/rotation.ts";
import type { SessionStore, StoredSession } from "../store.ts";
import { nextEpoch } from "./token.ts";

/** A message that is shown once. */
export interface Flash {
  readonly category: string;
  readonly message: unknown;
}

/** A flash with a name, so that a request takes away those that it showed and no others. */
export interface StoredFlash extends Flash {
  readonly key: string;
}

/** What is known of the client that signed in: only what the application passes on. */
export interface Client {
  readonly userAgent?: string | undefined;
  /** The network address. */
  readonly address?: string | undefined;
}

/** What few sessions have: written only where it is there. */
interface Rarities {
  /** The timeouts of this one session, in milliseconds, where signing in set them. */
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
  readonly client?: Client | undefined;
  readonly note?: string | undefined;
  readonly rotation?: Rotation | undefined;
  readonly ended?: Ended | undefined;
}

/**
 * What is left of a session that was ended by compare-and-set, or moved to another id by signing in. Nothing opens the
 * record any more.
 */
interface Ended {
  readonly movedTo?: string | undefined;
  /** Whose it was. */
  readonly owner?: string | undefined;
}

/** What is kept of a session, but for the end that touching moves: that the store holds in the clear. */
export interface SessionRecord extends Rarities {
  readonly secretHash: Buffer;
  /** Counts the tokens that were killed by signing in or rotating: a request of an earlier epoch may not write. */
  readonly epoch: number;
  readonly createdAt: number;
  readonly signedInAt: number | undefined;
  readonly owner: string | undefined;
  readonly flashes: readonly StoredFlash[];
  /** The encoded data: decoded only for a handler that looks. */
  readonly data: string;
}

/** A record as it was read, and what the store holds beside it. */
export interface LoadedRecord {
  readonly record: SessionRecord;
  readonly version: number;
  readonly expiresAt: number;
  /** A previous key sealed it: the next commit seals it anew. */
  readonly byPreviousKey: boolean;
}

const FORMAT = 1;
const HASH = 16;
const HEAD = 1 + HASH + 4 + 6 + 6 + 2 + 4;
/** A bit beside the format: somebody has signed in. */
const SIGNED_IN = 0x80;

/** format, secretHash, epoch, createdAt, signedInAt, lengths of owner and rarities; then owner, rarities and data. */
function encodeRecord(record: SessionRecord): Buffer {
  const { owner = "", data } = record;
  const rarities = encodeRarities(record);
  const ownerLength = Buffer.byteLength(owner);
  const raritiesLength = Buffer.byteLength(rarities);
  const bytes = Buffer.allocUnsafe(HEAD + ownerLength + raritiesLength + Buffer.byteLength(data));
  bytes[0] = record.signedInAt === undefined ? FORMAT : FORMAT | SIGNED_IN;
  record.secretHash.copy(bytes, 1);
  let at = bytes.writeUInt32BE(record.epoch, 1 + HASH);
  at = bytes.writeUIntBE(record.createdAt, at, 6);
  at = bytes.writeUIntBE(record.signedInAt ?? 0, at, 6);
  at = bytes.writeUInt16BE(ownerLength, at);
  at = bytes.writeUInt32BE(raritiesLength, at);
  at += bytes.write(owner, at);
  at += bytes.write(rarities, at);
  bytes.write(data, at);
  return bytes;
}

function encodeRarities({ flashes, idle, absolute, client, note, rotation, ended }: SessionRecord): string {
  // Most sessions have none, and every write asks.
  if (flashes.length === 0 && (idle ?? absolute ?? client ?? note ?? rotation ?? ended) === undefined) return "";
  const all = { flashes: flashes.length > 0 ? flashes : undefined, idle, absolute, client, note, rotation, ended };
  const there = Object.entries(all).filter(([, value]) => value !== undefined);
  return there.length > 0 ? encodeValue(Object.fromEntries(there), "record", BOUNDLESS) : "";
}

function decodeRecord(bytes: Buffer): SessionRecord {
  if (bytes.length < HEAD || (bytes[0]! & ~SIGNED_IN) !== FORMAT)
    throw undecodable("its format is not one this version knows");
  const ownerEnd = HEAD + bytes.readUInt16BE(17 + HASH);
  const raritiesEnd = ownerEnd + bytes.readUInt32BE(19 + HASH);
  if (raritiesEnd > bytes.length) throw undecodable("it is cut off");
  return {
    secretHash: bytes.subarray(1, 1 + HASH),
    epoch: bytes.readUInt32BE(1 + HASH),
    createdAt: bytes.readUIntBE(5 + HASH, 6),
    signedInAt: bytes[0]! & SIGNED_IN ? bytes.readUIntBE(11 + HASH, 6) : undefined,
    owner: ownerEnd > HEAD ? bytes.toString("utf8", HEAD, ownerEnd) : undefined,
    flashes: [],
    ...(raritiesEnd > ownerEnd ? (decodeValue(bytes.toString("utf8", ownerEnd, raritiesEnd)) as Rarities) : undefined),
    data: bytes.toString("utf8", raritiesEnd),
  };
}

/** The form a store keeps a record in: sealed, unless it never leaves this process's memory. */
export function storedSession(
  host: { store: SessionStore; keyring: Keyring },
  id: string,
  { record, version, expiresAt }: Omit<LoadedRecord, "byPreviousKey">,
): StoredSession {
  const plain = encodeRecord(record);
  const payload = host.store.inProcess ? plain : host.keyring.seal(id, plain);
  return { payload, version, expiresAt, owner: record.owner };
}

/**
 * The record that stays under a session's id when it was ended, or moved by signing in. It has no secret, no owner and no
 * data, and tells a late request that its token was invalidated.
 */
export function endedRecord({ createdAt, epoch, owner }: SessionRecord, movedTo?: string): SessionRecord {
  const secretHash = Buffer.alloc(HASH);
  const nobody = { signedInAt: undefined, owner: undefined, flashes: [], data: "{}" };
  return { ...nobody, secretHash, epoch: nextEpoch(epoch), createdAt, ended: { movedTo, owner } };
}

/**
 * @throws SessionError ERR_SESSION_DECODE for a record that was changed, swapped, put under another owner, or sealed by an
 * unknown key.
 */
export function loadedRecord(
  host: { store: SessionStore; keyring: Keyring },
  id: string,
  stored: StoredSession,
): LoadedRecord {
  const { payload, version, expiresAt } = stored;
  if (host.store.inProcess) {
    const plain = Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    return { record: decodeRecord(plain), version, expiresAt, byPreviousKey: false };
  }
  const { plain, byPreviousKey } = host.keyring.open(id, payload);
  const record = decodeRecord(plain);
  // Whoever can write to the store could otherwise hide a session from its owner's list and "sign out everywhere".
  if (record.owner !== stored.owner) throw undecodable("the store names another owner than the record");
  return { record, version, expiresAt, byPreviousKey };
}
