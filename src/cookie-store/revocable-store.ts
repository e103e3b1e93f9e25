import type { Context } from "../context.ts";
import { absoluteEnd } from "../lifecycle/timeouts.ts";
import { decryptSession, type SessionRecord } from "../record/record.ts";
import type { SessionStore, SessionUpdate, StoredSession } from "../store.ts";
import type { Entry, HeldSessions } from "./held-sessions.ts";
import type { Candidate, Revocations } from "./revocations.ts";

/**
 * The sessions of one request as a store, which asks the revocations before it gives one, and before it writes one. Whatever
 * ends a session, or invalidates its token, is written to the revocations.
 */
export class RevocableStore implements SessionStore {
  readonly #context: Context;
  readonly #held: HeldSessions;
  readonly #revocations: Revocations;
  /** Sessions that this request has ended. */
  readonly #ended = new Set<string>();
  /** Sessions that this request signs out of: whatever token another request has given them meanwhile, they end. */
  readonly #signingOut = new Set<string>();
  readonly inProcess = true;

  constructor(context: Context, held: HeldSessions, revocations: Revocations) {
    this.#context = context;
    this.#held = held;
    this.#revocations = revocations;
  }

  async read(id: string): Promise<StoredSession | undefined> {
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
    if (entry?.stored.version !== expectedVersion || !(await this.#admit(id, entry, stored))) return false;
    return this.#held.update(id, stored, expectedVersion);
  }

  async touch(id: string, expiresAt: number): Promise<boolean> {
    const entry = this.#held.find(id);
    if (!entry || (await this.#isRevoked(id, entry))) return false;
    return this.#held.touch(id, expiresAt);
  }

  async delete(id: string): Promise<boolean> {
    const entry = this.#held.find(id);
    if (entry?.isKnown && !this.#ended.has(id)) await this.#revoke(id, this.#decode(id, entry.stored), entry);
    return this.#held.delete(id);
  }

  /** Whether a record may replace a session. `false` if the session has ended meanwhile. */
  async #admit(id: string, entry: Entry, next: StoredSession): Promise<boolean> {
    // Afterwards it is too late: the client's cookie may be invalid already.
    this.#held.checkSize(next);
    const after = this.#decode(id, next);
    const before = this.#decode(id, entry.stored);
    const isEnd = after.ended !== undefined && !this.#ended.has(id);
    // A sign-in does not end a session that has got another token meanwhile.
    if (isEnd && after.ended?.movedTo === undefined) this.#signingOut.add(id);
    if (!entry.isKnown || (!isEnd && after.epoch === before.epoch)) return !(await this.#isRevoked(id, entry));
    if (!(await this.#revoke(id, before, entry, isEnd ? undefined : after.epoch))) return false;
    if (isEnd) this.#ended.add(id);
    return true;
  }

  /** No client has a session that this request has begun: nobody can have ended it. */
  async #isRevoked(id: string, entry: Entry): Promise<boolean> {
    if (!entry.isKnown || this.#ended.has(id)) return false;
    return this.#revocations.isRevoked(candidateOf(id, this.#decode(id, entry.stored), entry));
  }

  #revoke(id: string, record: SessionRecord, entry: Entry, epoch?: number): Promise<boolean> {
    const endsAt = absoluteEnd(record, this.#context.timeouts);
    const { startedAt } = entry;
    const own = candidateOf(id, record, entry);
    return this.#revocations.revoke(
      this.#signingOut.has(id) ? { ...own, epoch: Infinity } : own,
      { id, epoch, startedAt, endsAt },
      this.#context.now(),
    );
  }

  #decode(id: string, stored: StoredSession): SessionRecord {
    return decryptSession({ store: this, keyring: this.#context.keyring }, id, stored).record;
  }
}

function candidateOf(id: string, { userId, epoch }: SessionRecord, { startedAt }: Entry): Candidate {
  return { id, userId, epoch, startedAt };
}
