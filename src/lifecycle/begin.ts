import type { Commit } from "./commit.ts";
import { discard, endIfUnchanged, putBack } from "./end.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "./timeouts.ts";
import { isAnotherUser } from "./plan.ts";
import { EMPTY, type Content } from "../changes/journal.ts";
import { withinLimit } from "../users.ts";
import { endedRecord, storedSession, type LoadedRecord, type SessionRecord } from "../record/record.ts";
import { untilDone } from "./retries.ts";
import { randomPart } from "../random.ts";
import { tokenFields, type Token } from "../record/token.ts";

/** Stores a new session with this content: a visitor's first change, or a sign-in to no session. */
export async function begin(commit: Commit, content: Content): Promise<void> {
  const session = new Beginning(commit, content, commit.context.now());
  await session.store(async () => true);
  announce(commit, session, { created: true });
}

/**
 * Signs in to a session that there is. It gets another id, so that nothing holds any longer which other middleware has
 * bound to the old one. The new session is stored first; then compare-and-set ends the old record, and the new session
 * takes over what others have changed in it until that moment. Nobody has the new token before both are done.
 */
export async function move(commit: Commit): Promise<void> {
  const { requestSession, context, requested, snapshot } = commit;
  const from = requestSession.token!.id;
  const { userId, createdAt, ...began } = requestSession.loaded!.record;
  const changesHands = isAnotherUser(requestSession, requested.signIn!.userId);
  // Whatever the handler has seen: what may not come along is left out of what is stored.
  const content = requested.signIn!.keep ? commit.replayed({ ...began }) : snapshot.content;
  const session = new Beginning(commit, content, changesHands ? context.now() : createdAt);
  await session.store(() => invalidate(commit, session));
  context.moves.delete(session.token.id);
  if (session.isDropped) return commit.drop("ended");
  if (changesHands) context.emitter.emit("signedOut", { id: from, userId });
  announce(commit, session, { created: changesHands, from });
}

function announce(
  { context, requested }: Commit,
  { token: { id }, loaded }: Beginning,
  { created, from }: { created: boolean; from?: string },
): void {
  const { userId } = loaded.record;
  if (created) context.emitter.emit("created", { id, userId });
  if (requested.signIn) context.emitter.emit("signedIn", { id, userId, previousId: from });
}

/**
 * Ends the record that a session had before it was signed in to, whatever others write to it meanwhile. `false` where it
 * goes on: somebody else has given it another token.
 */
async function invalidate(commit: Commit, session: Beginning): Promise<boolean> {
  const { requestSession, context, requested } = commit;
  const { id } = requestSession.token!;
  const began = requestSession.loaded!;
  const { userId } = requested.signIn!;
  let base = began;
  let isEnded = true;
  await untilDone(async () => {
    const { version, expiresAt } = base;
    const moved = { ...base, version: version + 1, record: endedRecord(base.record, session.token.id) };
    if (expiresAt > context.now() && (await replacedOrPutBack(commit, session, base, moved))) return true;
    const newest = await commit.newest(id);
    const hasMoved = newest?.record.ended?.movedTo !== undefined;
    if (newest?.record.epoch === began.record.epoch) {
      base = newest;
      if (!isAnotherUser(requestSession, userId)) await session.becomes(commit.replayed(newest.record));
      return false;
    }
    // A sign-out or revocation of this very user's session is not undone by proving again who one is.
    if (!hasMoved && (newest === undefined || newest.record.ended) && began.record.userId === userId)
      await session.drop();
    // Ended, or signed in to by somebody else: only what this request has set is its own.
    else await session.becomes(commit.replayed(EMPTY));
    isEnded = newest === undefined || newest.record.ended !== undefined;
    return true;
  });
  return isEnded;
}

/** Where the store has failed, the old session has to go on: its client is told that signing in has failed. */
async function replacedOrPutBack(
  commit: Commit,
  session: Beginning,
  base: LoadedRecord,
  moved: LoadedRecord,
): Promise<boolean> {
  const { context, deadline, requestSession } = commit;
  const { id } = requestSession.token!;
  const next = session.token.id;
  try {
    return await commit.replaced(id, base, moved);
  } catch (error) {
    const isBack = await putBack(context, id, base, ({ ended }) => ended?.movedTo === next, deadline);
    // Whoever has ended the new session meanwhile has meant the old one, too.
    if (isBack && !(await endIfUnchanged(context, next, session.loaded, deadline).catch(() => true))) {
      await discard(context, id, deadline);
    }
    throw error;
  }
}

/** A session that begins. */
class Beginning {
  readonly #commit: Commit;
  readonly token: Token;
  loaded: LoadedRecord;
  #content: Content;

  constructor(commit: Commit, content: Content, createdAt: number) {
    const { context, requestSession, requested } = commit;
    const { userId, note, idle, absolute } = requested.signIn ?? {};
    this.#commit = commit;
    this.#content = content;
    this.token = { id: requestSession.id, secret: randomPart(), epoch: 1 };
    this.loaded = this.#loaded(1, {
      ...tokenFields(this.token),
      createdAt,
      userId,
      note,
      idle,
      absolute,
      signedInAt: requested.signIn && context.now(),
      client: requested.signIn && requestSession.client,
      rotation: commit.freshRotation(),
      data: content.data,
      flashes: content.flashes,
    });
  }

  #loaded(version: number, record: SessionRecord): LoadedRecord {
    const { context } = this.#commit;
    return { record, version, byPreviousKey: false, expiresAt: extendedEnd(context.now(), record, context.timeouts) };
  }

  /** A sign-out or revocation came first. */
  isDropped = false;

  drop(): Promise<void> {
    this.isDropped = true;
    return this.#discard();
  }

  /** Stores it, within its user's limit, and hands out its token. Of what fails nothing is left. */
  async store(finish: () => Promise<boolean>): Promise<void> {
    const commit = this.#commit;
    const { requestSession, deadline } = commit;
    const { userId } = this.loaded.record;
    try {
      if (userId === undefined) await this.#create();
      else {
        await withinLimit(commit.context, { userId, id: this.token.id, former: requestSession.token?.id }, deadline, {
          store: (after) => this.#create(after),
          admit: () => this.#admit(),
          finish,
        });
      }
    } catch (error) {
      await this.#discard();
      requestSession.renewId(commit.requested.signIn);
      throw error;
    }
    if (this.isDropped) return;
    commit.applyCommit(this.token, this.loaded, this.#content);
    requestSession.issueCookie();
  }

  /** @param after - a sign-in's moment comes after this one, whatever this server's clock says. */
  async #create(after = 0): Promise<void> {
    const commit = this.#commit;
    const { context, deadline } = commit;
    const { id } = this.token;
    const { record } = this.loaded;
    // As late as can be: of sign-ins at the same moment, moments tell which came first.
    const signedInAt = record.signedInAt && Math.max(context.now(), after + 1);
    if (signedInAt !== record.signedInAt) this.loaded = this.#loaded(1, { ...record, signedInAt });
    const stored = storedSession(context, id, this.loaded);
    if (await deadline.run("create", () => context.store.create(id, stored))) return;
    throw new SessionError("ERR_SESSION_STORE", "The session store says that a random id exists already");
  }

  /** The second version is one that has been counted: nobody who counts later puts it in question. */
  async #admit(): Promise<boolean> {
    const next = { ...this.loaded, version: this.loaded.version + 1 };
    if (!(await this.#commit.replaced(this.token.id, this.loaded, next))) return false;
    this.loaded = next;
    return true;
  }

  /** Takes over what others have changed. Where it has been ended already, a sign-out or revocation came first. */
  async becomes(content: Content): Promise<void> {
    const { loaded } = this;
    const { data, flashes } = content;
    const next = this.#loaded(loaded.version + 1, { ...loaded.record, data, flashes });
    if (await this.#commit.replaced(this.token.id, loaded, next)) this.loaded = next;
    this.#content = content;
  }

  /** Nobody has its token; but its user would see it listed until it expires. */
  #discard(): Promise<void> {
    const { context, deadline } = this.#commit;
    return discard(context, this.token.id, deadline);
  }
}
