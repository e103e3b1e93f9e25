import type { Context } from "../context.ts";
import { SessionError } from "../errors.ts";
import type { SessionRecord } from "../record/record.ts";
import type { Token } from "../record/token.ts";
import { OutgoingCookie, type TokenWriter } from "../request/outgoing-cookie.ts";
import type { Presented, PresentedLater } from "../request/presented-tokens.ts";
import type { SessionStore, SessionUpdate, StoredSession, SyncOperation } from "../store.ts";
import { encodeEntry, openEntry, type Entry, type Opened } from "./entry.ts";
import { cutPieces, decryptPieces, encryptPieces, findPieces, joinPieces, type Pieces } from "./pieces.ts";
import type { RecentCookies } from "./recent-cookies.ts";

/** What the requests of one application share. */
export interface Shared {
  readonly recent: RecentCookies;
  /** Of a record, before it is encrypted. */
  readonly maxBytes: number;
  /** The characters of one cookie's value. */
  readonly room: number;
}

/**
 * The sessions of one request, and the cookies of its response. It is filled from the request's cookies, and the session that
 * is written last goes into the response's cookies.
 */
export class HeldSessions implements TokenWriter {
  readonly cookie: OutgoingCookie;
  readonly presented: PresentedLater | undefined;
  readonly #context: Context;
  readonly #entries = new Map<string, Entry>();
  readonly #shared: Shared;
  readonly #isSecure: boolean;
  readonly #pieces: Pieces | undefined;
  /** The session that was written last. */
  #outgoing: string | undefined;

  constructor(context: Context, shared: Shared, header: string | undefined, isSecure: boolean) {
    this.#context = context;
    this.cookie = new OutgoingCookie(context, this);
    this.#shared = shared;
    this.#isSecure = isSecure;
    if (header === undefined) return;
    const pieces = findPieces(header, context.cookie.nameFor(isSecure));
    this.#pieces = pieces;
    if (pieces.heads.length > 0) this.presented = () => this.#open(pieces);
  }

  #open({ heads, others }: Pieces): Presented[] | undefined {
    const found: Presented[] = [];
    for (const head of heads) {
      const joined = joinPieces(head, others);
      const opened = joined === undefined ? undefined : this.#decrypt(joined);
      if (!opened) continue;
      const { entry, presented } = opened;
      const { id } = entry.token;
      // Somebody has planted a second copy of a session, an older one perhaps. None is believed.
      if (this.#entries.has(id)) return undefined;
      this.#entries.set(id, entry);
      found.push(presented);
    }
    return found.length > 0 ? found : undefined;
  }

  #decrypt(joined: string): Opened | undefined {
    return this.#shared.recent.find(joined, () => decryptPieces(this.#context.keyring, joined), openEntry);
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
  updateUnsent(id: string, update: SessionUpdate, expectedVersion: number): boolean {
    const entry = this.find(id);
    if (entry?.stored.version !== expectedVersion) return false;
    this.checkSize(update);
    const { payload, version, userId, extendOnly } = update;
    const expiresAt = extendOnly ? Math.max(update.expiresAt, entry.stored.expiresAt) : update.expiresAt;
    this.#entries.set(id, { ...entry, stored: { payload, version, expiresAt, userId } });
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
    const { maxBytes } = this.#shared;
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
    const { recent, room } = this.#shared;
    const plain = encodeEntry(entry);
    const joined = encryptPieces(keyring, id, plain, room);
    recent.remember(joined, { id, plain, byPreviousKey: false });
    return this.#withRemovals(
      cutPieces(joined, room).map((piece, i) => cookie.set(piece, lifetime, this.#isSecure, entry.isKept, suffixOf(i))),
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
function atOnce<Args extends unknown[], Result>(
  answer: (held: HeldSessions, ...args: Args) => Result,
): SyncOperation<Args, Result> {
  const operation = async function (this: HeldStore, ...args: Args): Promise<Result> {
    return answer(this.held, ...args);
  };
  const sync = function (this: HeldStore, ...args: Args): Result {
    return answer(this.held, ...args);
  };
  return Object.assign(operation, { sync: Object.assign(sync, { of: operation }) }) as SyncOperation<Args, Result>;
}
