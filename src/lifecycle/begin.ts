import type { Commit } from "./commit.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "./timeouts.ts";
import { isNewOwner } from "./plan.ts";
import { EMPTY, type Content } from "../changes/journal.ts";
import { withinLimit } from "../users.ts";
import { movedRecord, storedSession, type LoadedRecord, type SessionRecord } from "../record/record.ts";
import { untilDone } from "./retries.ts";
import { randomPart, tokenFields, type Token } from "../record/token.ts";
import { Patience } from "../waiting.ts";

/** Stores a new session with this content: a visitor's first change, or a sign-in to no session. */
export async function begin(commit: Commit, content: Content): Promise<void> {
  const session = new Beginning(commit, content, commit.host.now());
  await session.store(async () => {});
  announce(commit, session, { created: true });
}

/**
 * Signs in to a session that there is. It gets another id, so that nothing holds any longer which other middleware has
 * bound to the old one. The new session is stored first; then compare-and-set invalidates the old record, and the
 * new session takes over what others have changed in it until that moment. Nobody has the new token before both are done.
 */
export async function move(commit: Commit): Promise<void> {
  const { visit, host, wishes, snapshot } = commit;
  const from = visit.token!.id;
  const { owner, createdAt } = visit.loaded!.record;
  const changesHands = isNewOwner(visit, wishes.signIn!.owner);
  const session = new Beginning(commit, snapshot.content, changesHands ? host.now() : createdAt);
  await session.store(() => invalidate(commit, session));
  host.moves.delete(session.token.id);
  if (changesHands) host.emitter.emit("signedOut", { id: from, owner });
  announce(commit, session, { created: changesHands, from });
}

function announce(
  { host, wishes }: Commit,
  { token: { id }, loaded }: Beginning,
  { created, from }: { created: boolean; from?: string },
): void {
  const { owner } = loaded.record;
  if (created) host.emitter.emit("created", { id, owner });
  if (wishes.signIn) host.emitter.emit("signedIn", { id, owner, previousId: from });
}

/** Ends the record that a session had before it was signed in to, whatever others write to it meanwhile. */
async function invalidate(commit: Commit, session: Beginning): Promise<void> {
  const { visit, host } = commit;
  const { id } = visit.token!;
  const began = visit.loaded!;
  let base = began;
  await untilDone(async () => {
    const { version, expiresAt } = base;
    const moved = { ...base, version: version + 1, record: movedRecord(base.record, session.token.id) };
    if (expiresAt > host.now() && (await commit.replaced(id, base, moved))) return true;
    const newest = await commit.newest(id);
    if (newest?.record.epoch !== began.record.epoch) {
      // Ended, or signed in to by somebody else: only what this request has set is its own.
      await session.becomes(commit.replayed(EMPTY));
      return true;
    }
    base = newest;
    if (!isNewOwner(visit, commit.wishes.signIn!.owner)) await session.becomes(commit.replayed(newest.record));
    return false;
  });
}

/** A session that begins. */
class Beginning {
  readonly #commit: Commit;
  readonly token: Token;
  loaded: LoadedRecord;
  #content: Content;

  constructor(commit: Commit, content: Content, createdAt: number) {
    const { host, visit, wishes } = commit;
    const { owner, note, idle, absolute } = wishes.signIn ?? {};
    this.#commit = commit;
    this.#content = content;
    this.token = { id: visit.id, secret: randomPart(), epoch: 1 };
    this.loaded = this.#loaded(1, {
      ...tokenFields(this.token),
      createdAt,
      owner,
      note,
      idle,
      absolute,
      signedInAt: wishes.signIn && host.now(),
      client: wishes.signIn && visit.client,
      rotation: commit.freshRotation(),
      data: content.data,
      flashes: content.flashes,
    });
  }

  #loaded(version: number, record: SessionRecord): LoadedRecord {
    const { host } = this.#commit;
    return { record, version, byPreviousKey: false, expiresAt: extendedEnd(host.now(), record, host.timeouts) };
  }

  /** Stores it, within its owner's limit, and hands out its token. Of what fails nothing is left. */
  async store(finish: () => Promise<void>): Promise<void> {
    const commit = this.#commit;
    const { visit, patience } = commit;
    const { owner } = this.loaded.record;
    try {
      if (owner === undefined) await this.#create();
      else {
        await withinLimit(commit.host, { owner, id: this.token.id, former: visit.token?.id }, patience, {
          store: (after) => this.#create(after),
          finish,
        });
      }
    } catch (error) {
      this.#discard();
      throw error;
    }
    commit.settle(this.token, this.loaded, this.#content);
    visit.handOut();
  }

  /** @param after - a sign-in's moment comes after this one, whatever this server's clock says. */
  async #create(after = 0): Promise<void> {
    const commit = this.#commit;
    const { host, patience } = commit;
    const { id } = this.token;
    const { record } = this.loaded;
    if (record.signedInAt !== undefined && record.signedInAt <= after) {
      this.loaded = this.#loaded(1, { ...record, signedInAt: after + 1 });
    }
    const stored = storedSession(host, id, this.loaded);
    let failure: unknown = new SessionError(
      "ERR_SESSION_STORE",
      "The session store says that a random id exists already",
    );
    try {
      if (await patience.ask("create", () => host.store.create(id, stored))) return;
    } catch (error) {
      failure = error;
    }
    // The reply may have been lost, or the client library may have sent the command twice.
    if (!(await commit.isThere(id, this.loaded))) throw failure;
  }

  /** Takes over what others have changed. Where it has been ended already, a sign-out or revocation came first. */
  async becomes(content: Content): Promise<void> {
    const { loaded } = this;
    const { data, flashes } = content;
    const next = this.#loaded(loaded.version + 1, { ...loaded.record, data, flashes });
    if (await this.#commit.replaced(this.token.id, loaded, next)) this.loaded = next;
    this.#content = content;
  }

  /** Nobody has its token; but its owner would see it listed until it expires. */
  #discard(): void {
    const { host, visit } = this.#commit;
    const { id } = this.token;
    new Patience(host.storeTimeout)
      .ask("delete", () => host.store.delete(id))
      .catch((error: unknown) => host.emitter.emit("fault", { id, error }));
    visit.renewId();
  }
}
