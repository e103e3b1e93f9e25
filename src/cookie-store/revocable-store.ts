import type { Context } from "../context.ts";
import { absoluteEnd } from "../lifecycle/timeouts.ts";
import { decryptSession, type SessionRecord } from "../record/record.ts";
import type { SessionStore, SessionUpdate, StoredSession } from "../store.ts";
import type { Entry } from "./entry.ts";
import type { HeldSessions } from "./held-sessions.ts";
import { Attempt, type Candidate, type Revocations, type Revoked } from "./revocations.ts";

/** An update that revokes a token or a session. */
interface Revoking {
  readonly attempt: Attempt;
  readonly candidate: Candidate;
  /** The epoch of the record that it replaces. */
  readonly formerEpoch: number;
  readonly isEnd: boolean;
  readonly stored: SessionUpdate;
  readonly expectedVersion: number;
  isApplied: boolean;
}

/**
 * The sessions of one request as a store, which asks the revocations before it gives one, and before it writes one. Whatever
 * ends a session, or invalidates its token, is written to the revocations. The revocation and the session are one record to the
 * caller: an update that fails may have been stored, the next read tells, and another update puts the former record back.
 */
export class RevocableStore implements SessionStore {
  readonly #context: Context;
  readonly #held: HeldSessions;
  readonly #revocations: Revocations;
  /** Sessions that this request has ended. */
  readonly #ended = new Set<string>();
  /** Sessions that this request signs out of: whatever token another request has given them meanwhile, they end. */
  readonly #signingOut = new Set<string>();
  /** The last update of each session that revokes. */
  readonly #revoking = new Map<string, Revoking>();
  readonly inProcess = true;

  constructor(context: Context, held: HeldSessions, revocations: Revocations) {
    this.#context = context;
    this.#held = held;
    this.#revocations = revocations;
  }

  async read(id: string): Promise<StoredSession | undefined> {
    const revoking = this.#revoking.get(id);
    if (revoking && !revoking.isApplied && (await this.#revocations.hasStored(revoking.candidate, revoking.attempt)))
      this.#apply(id, revoking);
    const entry = this.#held.find(id);
    if (!entry || (await this.#isRevoked(id, entry))) return undefined;
    return entry.stored;
  }

  async create(id: string, stored: StoredSession): Promise<boolean> {
    const { userId } = stored;
    // Otherwise a revocation of this moment would mean the sign-in that follows it.
    const before = userId === undefined ? 0 : await this.#revocations.revokedBefore(userId);
    return this.#held.create(id, stored, Math.max(this.#context.now(), before + 1));
  }

  async update(id: string, stored: SessionUpdate, expectedVersion: number): Promise<boolean> {
    const entry = this.#held.find(id);
    if (entry?.stored.version !== expectedVersion) return false;
    // After the revocation it is too late: the client's cookie may be invalid already.
    this.#held.checkSize(stored);
    const before = this.#decode(id, entry.stored);
    const after = this.#decode(id, stored);
    const former = this.#revoking.get(id);
    if (former?.isApplied && !after.ended && after.epoch === former.formerEpoch) {
      if (!(await this.#takeBack(id, former))) return false;
    } else if (entry.isKnown && !this.#ended.has(id) && after.epoch !== before.epoch) {
      const { ended, epoch } = after;
      const isEnd = ended !== undefined;
      // A sign-in does not end a session that has got another token meanwhile.
      if (isEnd && ended.movedTo === undefined) this.#signingOut.add(id);
      const candidate = this.#candidateOf(id, before, entry);
      const attempt = new Attempt(before.epoch);
      const revoking = {
        attempt,
        candidate,
        formerEpoch: before.epoch,
        isEnd,
        stored,
        expectedVersion,
        isApplied: false,
      };
      this.#revoking.set(id, revoking);
      const revoked = this.#revokedOf(id, before, entry, isEnd ? undefined : epoch);
      if (!(await this.#revocations.revoke(candidate, revoked, this.#context.now, attempt))) return false;
      return this.#apply(id, revoking);
    } else if (await this.#isRevoked(id, entry)) return false;
    return this.#held.update(id, stored, expectedVersion);
  }

  async touch(id: string, expiresAt: number): Promise<boolean> {
    const entry = this.#held.find(id);
    if (!entry || (await this.#isRevoked(id, entry))) return false;
    return this.#held.touch(id, expiresAt);
  }

  async delete(id: string): Promise<boolean> {
    const entry = this.#held.find(id);
    if (entry?.isKnown && !this.#ended.has(id)) {
      const record = this.#decode(id, entry.stored);
      const revoked = this.#revokedOf(id, record, entry);
      await this.#revocations.revoke(this.#candidateOf(id, record, entry), revoked, this.#context.now);
    }
    return this.#held.delete(id);
  }

  /** The revocation is stored: the session that this request has follows. */
  #apply(id: string, revoking: Revoking): boolean {
    // The request may have read meanwhile that it is stored.
    if (revoking.isApplied) return true;
    revoking.isApplied = true;
    if (revoking.isEnd) this.#ended.add(id);
    // A new token has yet to be issued, and the client of an ended session gets no cookie of it.
    return this.#held.updateUnsent(id, revoking.stored, revoking.expectedVersion);
  }

  /** `false` if others have ended the session meanwhile. */
  async #takeBack(id: string, { candidate, attempt }: Revoking): Promise<boolean> {
    if (!(await this.#revocations.takeBack(candidate, attempt, this.#context.now))) return false;
    this.#ended.delete(id);
    return true;
  }

  /** No client has a session that this request has begun: nobody can have ended it. */
  async #isRevoked(id: string, entry: Entry): Promise<boolean> {
    if (!entry.isKnown || this.#ended.has(id)) return false;
    return this.#revocations.isRevoked(candidateOf(id, this.#decode(id, entry.stored), entry));
  }

  #revokedOf(id: string, record: SessionRecord, { startedAt }: Entry, epoch?: number): Revoked {
    return { id, epoch, startedAt, endsAt: absoluteEnd(record, this.#context.timeouts) };
  }

  #candidateOf(id: string, record: SessionRecord, entry: Entry): Candidate {
    const own = candidateOf(id, record, entry);
    return this.#signingOut.has(id) ? { ...own, epoch: Infinity } : own;
  }

  #decode(id: string, stored: StoredSession): SessionRecord {
    return decryptSession({ store: this, keyring: this.#context.keyring }, id, stored).record;
  }
}

function candidateOf(id: string, { userId, epoch }: SessionRecord, { startedAt }: Entry): Candidate {
  return { id, userId, epoch, startedAt };
}
