import { Buffer } from "node:buffer";
import type { Context } from "../context.ts";
import { SessionError } from "../errors.ts";
import type { SessionRecord } from "../record/record.ts";
import { hashSecret, type Token } from "../record/token.ts";
import { OutgoingCookie, type TokenWriter } from "../request/outgoing-cookie.ts";
import type { Presented, PresentedLater } from "../request/presented-tokens.ts";
import type { SessionStore, SessionUpdate, StoredSession } from "../store.ts";
import { findPieces, makePieces, openPieces, type Pieces } from "./pieces.ts";

/** The limits of an application's cookies. */
export interface Limits {
  /** Of a record, before it is encrypted. */
  readonly maxBytes: number;
  /** The characters of one cookie's value. */
  readonly room: number;
}

/** A session of this request. */
export interface Entry {
  readonly token: Token;
  readonly stored: StoredSession;
  /** Epoch milliseconds: when the session began under this id. A revocation of a user's sessions compares it. */
  readonly startedAt: number;
  /** The cookie stays when the browser is closed. */
  readonly isKept: boolean;
  /** Some client may have it. */
  readonly isKnown: boolean;
}

const SECRET_LENGTH = 22;
const EPOCH_BYTES = 3;
const TIME_BYTES = 6;
const HEAD_BYTES = 1 + SECRET_LENGTH + EPOCH_BYTES + 3 * TIME_BYTES;
const FORMAT = 1;
/** A bit of the format's byte. */
const KEPT = 0x80;

/**
 * The sessions of one request, and the cookies of its response. It is filled from the request's cookies, and the session that
 * is written last goes into the response's cookies.
 */
export class HeldSessions implements TokenWriter {
  readonly cookie: OutgoingCookie;
  readonly presented: PresentedLater | undefined;
  readonly #context: Context;
  readonly #entries = new Map<string, Entry>();
  readonly #limits: Limits;
  readonly #isSecure: boolean;
  readonly #pieces: Pieces | undefined;
  /** The session that was written last. */
  #outgoing: string | undefined;

  constructor(context: Context, limits: Limits, header: string | undefined, isSecure: boolean) {
    this.#context = context;
    this.cookie = new OutgoingCookie(context, this);
    this.#limits = limits;
    this.#isSecure = isSecure;
    if (header === undefined) return;
    const pieces = findPieces(header, context.cookie.nameFor(isSecure));
    this.#pieces = pieces;
    if (pieces.heads.length > 0) this.presented = () => this.#open(pieces);
  }

  #open({ heads, others }: Pieces): Presented[] | undefined {
    const found: Presented[] = [];
    for (const head of heads) {
      const opened = openPieces(this.#context.keyring, head, others);
      if (!opened) continue;
      const { id, plain, byPreviousKey } = opened;
      // Somebody has planted a second copy of a session, an older one perhaps. None is believed.
      if (this.#entries.has(id)) return undefined;
      const entry = decodeEntry(id, plain);
      if (!entry) continue;
      this.#entries.set(id, entry);
      found.push({ token: entry.token, tokenByPreviousKey: byPreviousKey, secretHash: hashSecret(entry.token.secret) });
    }
    return found.length > 0 ? found : undefined;
  }

  // The store

  /** The session under `id`, if it is live. */
  find(id: string): Entry | undefined {
    const entry = this.#entries.get(id);
    return entry && entry.stored.expiresAt > this.#context.now() ? entry : undefined;
  }

  create(id: string, stored: StoredSession, startedAt = this.#context.now()): boolean {
    if (this.find(id)) return false;
    this.checkSize(stored);
    // The token comes when it is issued.
    this.#entries.set(id, { stored, startedAt, token: { id, secret: "", epoch: 0 }, isKept: false, isKnown: false });
    return true;
  }

  update(id: string, stored: SessionUpdate, expectedVersion: number): boolean {
    const isUpdated = this.updateUnsent(id, stored, expectedVersion);
    const entry = this.#entries.get(id)!;
    // A session whose token was never issued goes to no client.
    if (isUpdated && entry.token.secret !== "") this.#write(id, entry);
    return isUpdated;
  }

  /** Like `update`, but the cookie stays: what becomes of it follows. */
  updateUnsent(id: string, { extendOnly, ...stored }: SessionUpdate, expectedVersion: number): boolean {
    const entry = this.find(id);
    if (entry?.stored.version !== expectedVersion) return false;
    this.checkSize(stored);
    const expiresAt = extendOnly ? Math.max(stored.expiresAt, entry.stored.expiresAt) : stored.expiresAt;
    this.#entries.set(id, { ...entry, stored: { ...stored, expiresAt } });
    return true;
  }

  touch(id: string, expiresAt: number): boolean {
    const entry = this.find(id);
    if (!entry) return false;
    if (expiresAt > entry.stored.expiresAt) this.#write(id, { ...entry, stored: { ...entry.stored, expiresAt } });
    return true;
  }

  delete(id: string): boolean {
    const wasLive = this.find(id) !== undefined;
    this.#entries.delete(id);
    if (this.#outgoing === id) this.cookie.withdraw();
    return wasLive;
  }

  #write(id: string, entry: Entry): void {
    this.#entries.set(id, entry);
    this.#outgoing = id;
    this.cookie.replace(() => this.#lines(id, entry));
  }

  /** @throws SessionError `ERR_SESSION_COOKIE_TOO_LARGE` */
  checkSize({ payload: { length } }: StoredSession): void {
    const { maxBytes } = this.#limits;
    if (length <= maxBytes) return;
    throw new SessionError(
      "ERR_SESSION_COOKIE_TOO_LARGE",
      `The session has ${length} bytes, and cookieStore() keeps at most ${maxBytes} of them in cookies: keep less, or use a store on the server`,
    );
  }

  // The cookie

  /** Writes the token into the entry, whose cookies are made when the response takes them. */
  issue(_: Context, token: Token, { absolute }: SessionRecord): undefined {
    const entry = this.#entries.get(token.id);
    if (entry) this.#write(token.id, { ...entry, token, isKept: absolute !== undefined });
  }

  clear(): () => string[] {
    this.#outgoing = undefined;
    return () => this.#withRemovals([this.#context.cookie.clear(this.#isSecure)]);
  }

  #lines(id: string, entry: Entry): string[] {
    const { cookie, keyring, now } = this.#context;
    this.#entries.set(id, { ...entry, isKnown: true });
    const lifetime = entry.stored.expiresAt - now();
    const pieces = makePieces(keyring, id, encodeEntry(entry), this.#limits.room);
    return this.#withRemovals(
      pieces.map((piece, i) => cookie.set(piece, lifetime, this.#isSecure, entry.isKept, suffixOf(i))),
    );
  }

  /** Removes the cookies of a longer session, too. */
  #withRemovals(lines: string[]): string[] {
    const { cookie } = this.#context;
    const count = lines.length;
    for (const index of this.#pieces?.others.keys() ?? [])
      if (index >= count) lines.push(cookie.clear(this.#isSecure, suffixOf(index)));
    return lines;
  }
}

/** The name of a piece is the cookie's name with this. */
export function suffixOf(index: number): string {
  return index === 0 ? "" : `.${index}`;
}

/** The sessions of one request as a store. One request alone has it, so nothing has to be waited for. */
export class HeldStore implements SessionStore {
  declare readonly read: SessionStore["read"];
  declare readonly create: SessionStore["create"];
  declare readonly update: SessionStore["update"];
  declare readonly touch: SessionStore["touch"];
  declare readonly delete: SessionStore["delete"];
  readonly held: HeldSessions;
  /** The whole record is encrypted when it goes to its client. */
  readonly inProcess = true;

  constructor(held: HeldSessions) {
    this.held = held;
  }
}

Object.assign(HeldStore.prototype, {
  read: atOnce((held, id: string) => held.find(id)?.stored),
  create: atOnce((held, id: string, stored: StoredSession) => held.create(id, stored)),
  update: atOnce((held, id: string, stored: SessionUpdate, expected: number) => held.update(id, stored, expected)),
  touch: atOnce((held, id: string, expiresAt: number) => held.touch(id, expiresAt)),
  delete: atOnce((held, id: string) => held.delete(id)),
});

/** An operation that answers at once. All requests share the function: its `this` is the store of one. */
function atOnce<Args extends unknown[], Result>(answer: (held: HeldSessions, ...args: Args) => Result) {
  const sync = function (this: HeldStore, ...args: Args): Result {
    return answer(this.held, ...args);
  };
  const operation = async function (this: HeldStore, ...args: Args): Promise<Result> {
    return answer(this.held, ...args);
  };
  return Object.assign(operation, { sync });
}

/** Writes format, secret, epoch, version, expiry and beginning, and then the record. */
function encodeEntry({ token, stored, startedAt, isKept }: Entry): Buffer {
  const { payload, version, expiresAt } = stored;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes[0] = isKept ? FORMAT | KEPT : FORMAT;
  let at = 1 + bytes.write(token.secret, 1, SECRET_LENGTH, "latin1");
  at = bytes.writeUIntBE(token.epoch, at, EPOCH_BYTES);
  at = bytes.writeUIntBE(version, at, TIME_BYTES);
  at = bytes.writeUIntBE(expiresAt, at, TIME_BYTES);
  at = bytes.writeUIntBE(startedAt, at, TIME_BYTES);
  bytes.set(payload, at);
  return bytes;
}

/** `undefined` for a format of another version. */
function decodeEntry(id: string, bytes: Buffer): Entry | undefined {
  if (bytes.length < HEAD_BYTES || (bytes[0]! & ~KEPT) !== FORMAT) return undefined;
  const secretEnd = 1 + SECRET_LENGTH;
  const at = secretEnd + EPOCH_BYTES;
  return {
    token: {
      id,
      secret: bytes.toString("latin1", 1, secretEnd),
      epoch: bytes.readUIntBE(secretEnd, EPOCH_BYTES),
    },
    isKept: (bytes[0]! & KEPT) !== 0,
    isKnown: true,
    startedAt: bytes.readUIntBE(at + 2 * TIME_BYTES, TIME_BYTES),
    stored: {
      payload: bytes.subarray(HEAD_BYTES),
      version: bytes.readUIntBE(at, TIME_BYTES),
      expiresAt: bytes.readUIntBE(at + TIME_BYTES, TIME_BYTES),
    },
  };
}
