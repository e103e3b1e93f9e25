import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import { readLatest } from "../capabilities.ts";
import type { Context } from "../context.ts";
import { createDecodeError } from "../errors.ts";
import { pauseAfter } from "../lifecycle/retries.ts";
import { freshBytes } from "../random.ts";
import type { SessionStore, StoredSession } from "../store.ts";

/** A session that a client presents, as far as a revocation can name it. */
export interface Candidate {
  readonly id: string;
  readonly userId: string | undefined;
  /** `Infinity` means the session with all its tokens. */
  readonly epoch: number;
  /** Epoch milliseconds, like all times here. */
  readonly startedAt: number;
}

/** A session that has ended, or whose tokens of earlier epochs have. */
export interface Revoked {
  readonly id: string;
  /** Tokens of an earlier epoch are invalid. `undefined`: all are. */
  readonly epoch?: number | undefined;
  readonly startedAt: number;
  /** After this time the session has ended by itself. */
  readonly endsAt: number;
  /** Names the attempt that may still take it back. `undefined`: nobody does. */
  readonly tag?: string | undefined;
}

/** A revocation whose request takes it back if it fails: the store may report an error and have stored it all the same. */
export class Attempt {
  readonly tag = freshBytes(TAG_BYTES).toString("base64url");
  /** Tokens of an earlier epoch are invalid without this revocation, too. */
  formerEpoch: number;

  constructor(formerEpoch: number) {
    this.formerEpoch = formerEpoch;
  }
}

/** Gives the time in epoch milliseconds. Each attempt asks it anew, after it has read. */
type Clock = Context["now"];

/** The revocations of one user, or of one session that nobody has signed in to. */
interface RevocationList {
  /** The user's sessions that began at this time, or earlier, have ended. */
  readonly before?: number | undefined;
  /** The one session that `before` does not mean. */
  readonly spared?: string | undefined;
  /** The same for the spared session: what had ended before it was spared stays ended. */
  readonly sparedBefore?: number | undefined;
  readonly sessions: readonly Revoked[];
}

/** Beyond this number the oldest entries are replaced by a time: all sessions of the user up to it end. */
const MAX_SESSIONS = 1000;
const TAG_BYTES = 6;
const EMPTY: RevocationList = { sessions: [] };

/** The revocations of an application: a small record for each user, and for each anonymous session that was ended. */
export class Revocations {
  readonly #store: SessionStore;
  readonly #cookieName: string;
  readonly #longest: number;
  readonly #maxSessions: number;

  /**
   * @param longest - the longest life of a session in milliseconds: the revocation of an unknown session lasts as long.
   * @param maxSessions - the number of entries in a list.
   */
  constructor(store: SessionStore, cookieName: string, longest: number, maxSessions = MAX_SESSIONS) {
    this.#maxSessions = maxSessions;
    this.#store = store;
    this.#cookieName = cookieName;
    this.#longest = longest;
  }

  async isRevoked(candidate: Candidate): Promise<boolean> {
    const stored = await this.#store.read(this.#keyOf(candidate));
    return stored !== undefined && names(decodeList(stored), candidate);
  }

  /** The time after which a session of the user has to begin so that no earlier revocation means it. */
  async revokedBefore(userId: string): Promise<number> {
    const stored = await readLatest(this.#store, this.#keyOfUser(userId));
    return stored ? (decodeList(stored).before ?? 0) : 0;
  }

  /**
   * Ends one session, or its tokens of earlier epochs. `false` if that had happened already. Without an attempt it stays: the
   * request that was first can't take it back any more.
   */
  revoke(candidate: Candidate, revoked: Revoked, now: Clock, attempt?: Attempt): Promise<boolean> {
    return this.#change(this.#keyOf(candidate), now, (list, time) => {
      const own = list.sessions.find(({ id }) => id === revoked.id);
      if (own?.tag !== undefined && own.tag === attempt?.tag) return { result: true };
      const isNamed = names(list, candidate);
      if (isNamed && (attempt || own?.tag === undefined || own.epoch !== undefined)) return { result: false };
      if (attempt) attempt.formerEpoch = Math.max(attempt.formerEpoch, own?.epoch ?? 0);
      // Of a session that has begun, this is the latest time.
      const latest = Math.max(time, (list.before ?? 0) + 1);
      const startedAt = revoked.startedAt === Infinity ? latest : revoked.startedAt;
      const entry = { ...revoked, startedAt, tag: attempt?.tag };
      const sessions = [...list.sessions.filter((one) => one !== own), entry];
      return { result: !isNamed, next: folded({ ...list, sessions }, this.#maxSessions) };
    });
  }

  /** Whether the store has the revocation of an attempt. */
  async hasStored(candidate: Candidate, { tag }: Attempt): Promise<boolean> {
    const stored = await readLatest(this.#store, this.#keyOf(candidate));
    return stored !== undefined && decodeList(stored).sessions.some((one) => one.tag === tag);
  }

  /** Takes an attempt back. `false` if others have ended the session meanwhile. */
  takeBack(candidate: Candidate, { tag, formerEpoch }: Attempt, now: Clock): Promise<boolean> {
    return this.#change(this.#keyOf(candidate), now, (list) => {
      const own = list.sessions.find((one) => one.tag === tag);
      if (!own) return { result: false };
      // An entry stays, although it may mean nobody: a list without any would expire, and its versions would begin anew.
      const former = { ...own, epoch: formerEpoch, tag: undefined };
      return { result: true, next: { ...list, sessions: list.sessions.map((one) => (one === own ? former : one)) } };
    });
  }

  /** Ends a session of which only its id is known. */
  revokeId(userId: string, id: string, now: Clock): Promise<boolean> {
    // Only an entry of its own says that it has ended: nobody knows when it began.
    const candidate = { id, userId, epoch: Infinity, startedAt: Infinity };
    return this.revoke(candidate, { id, startedAt: Infinity, endsAt: now() + this.#longest }, now);
  }

  /** Ends all sessions of a user that have begun by the time when this is stored, except one. */
  async revokeAll(userId: string, spared: string | undefined, now: Clock): Promise<void> {
    await this.#change(this.#keyOfUser(userId), now, (list, time) => {
      // A session that began after the former time began one later at least, whatever the clock said.
      const before = Math.max((list.before ?? 0) + 1, time);
      const next = {
        before,
        spared,
        sparedBefore: spared !== undefined && spared === list.spared ? list.sparedBefore : list.before,
        // The others have ended with all. By another server's clock, one may have begun later.
        sessions: list.sessions.filter(({ id, startedAt }) => id === spared || startedAt > before),
      };
      return { result: true, next };
    });
  }

  async #change(
    key: string,
    now: Clock,
    change: (list: RevocationList, time: number) => { result: boolean; next?: RevocationList },
  ): Promise<boolean> {
    for (let count = 1; ; count++) {
      const stored = await readLatest(this.#store, key);
      const { sessions, ...list } = stored ? decodeList(stored) : EMPTY;
      // After the read: a sign-in that this list knows of began before, and one that comes between is a conflict.
      const time = now();
      const { result, next } = change({ ...list, sessions: sessions.filter(({ endsAt }) => endsAt > time) }, time);
      if (!next) return result;
      const ends = next.sessions.map(({ endsAt }) => endsAt);
      if (next.before !== undefined) ends.push(next.before + this.#longest);
      const version = (stored?.version ?? 0) + 1;
      const record = { payload: Buffer.from(JSON.stringify(next)), version, expiresAt: Math.max(...ends) };
      const isStored = stored
        ? await this.#store.update(key, record, stored.version)
        : await this.#store.create(key, record);
      if (isStored) return result;
      await pauseAfter(count);
    }
  }

  #keyOf({ id, userId }: Candidate): string {
    return userId === undefined ? this.#key("session", id) : this.#keyOfUser(userId);
  }

  #keyOfUser(userId: string): string {
    return this.#key("user", userId);
  }

  /** An id like those of sessions, which every store can keep. */
  #key(kind: string, name: string): string {
    return hash("sha256", `sojourn revocations\0${this.#cookieName}\0${kind}\0${name}`, "base64url").slice(0, 22);
  }
}

/** Whether a list names a session. */
function names(list: RevocationList, { id, epoch, startedAt }: Candidate): boolean {
  const { spared, sessions } = list;
  const before = id === spared ? list.sparedBefore : list.before;
  if (before !== undefined && startedAt <= before) return true;
  const found = sessions.find((one) => one.id === id);
  return found !== undefined && (found.epoch === undefined || epoch < found.epoch);
}

/** Keeps a list small, whatever a user does. It may end more sessions than were ended, and never fewer. */
function folded(list: RevocationList, maxSessions: number): RevocationList {
  const { sessions, spared } = list;
  if (sessions.length <= maxSessions) return list;
  // The time does not mean the spared session: only its own entry says whether it, or a former token of it, has ended.
  const oldestFirst = sessions.filter(({ id }) => id !== spared).toSorted((a, b) => a.startedAt - b.startedAt);
  const beyond = oldestFirst.slice(0, sessions.length - maxSessions);
  const before = Math.max(list.before ?? 0, beyond.at(-1)!.startedAt);
  return { ...list, before, sessions: sessions.filter((one) => !beyond.includes(one)) };
}

/** @throws SessionError `ERR_SESSION_DECODE`: a list that can't be read may name this session. */
function decodeList({ payload }: StoredSession): RevocationList {
  let list: Partial<RevocationList> | null;
  try {
    list = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString()) as typeof list;
  } catch (cause) {
    throw createDecodeError("it is no list of revocations", cause);
  }
  if (!Array.isArray(list?.sessions)) throw createDecodeError("it is no list of revocations");
  return { ...list, sessions: list.sessions };
}
