import type { Commit } from "./commit.ts";
import { discard, endFormer, finishEnd, preventPutBack, putBack } from "./end.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "./timeouts.ts";
import { isAnotherUser } from "./plan.ts";
import { EMPTY, type Content } from "../changes/journal.ts";
import { withinLimit } from "../users.ts";
import {
  createEndedRecord,
  encryptSession,
  type Formerly,
  type LoadedRecord,
  type SessionRecord,
} from "../record/record.ts";
import { issueCookie } from "../request/issued-cookie.ts";
import { renewId } from "../request/sign-in-and-out.ts";
import { retryUntilDone } from "./retries.ts";
import { isPromise, run, wait, type Answer, type Coroutine } from "../coroutine.ts";
import { tokenFields, type Token } from "../record/token.ts";

/** Stores a new session: for a visitor's first change, or for a sign-in without a session. */
export function* createSession(commit: Commit, content: Content): Coroutine<void> {
  const session = new NewSession(commit, content, commit.context.now());
  yield* session.store(() => true);
  emitStart(commit, session, { created: true });
}

/**
 * Stores a new session after a sign-out. The former session ends between: if either fails, it lives on, and nothing remains
 * of the new one.
 */
export function* createAfterEnd(commit: Commit, content: Content, end: () => Promise<void>): Coroutine<void> {
  const session = new NewSession(commit, content, commit.context.now());
  yield* session.store(async () => {
    await end();
    // Another request has signed in to the former session: its cookie stays.
    if (commit.requestSession.tokenStatus === "superseded" && !commit.requested.signIn) await session.drop();
    return true;
  });
  if (session.isDropped) commit.drop("superseded");
  else emitStart(commit, session, { created: true });
}

/**
 * Signs in to an existing session. It moves to a new id, so that whatever other middleware has bound to the old id becomes
 * invalid. The new session is stored first. Then compare-and-set ends the old record, and the new session takes over the
 * changes that others have stored until that moment. The token is handed out after both.
 */
export function* moveSession(commit: Commit): Coroutine<void> {
  const { requestSession, context, requested, snapshot } = commit;
  const from = requestSession.token!.id;
  const { record } = requestSession.loaded!;
  const { userId, createdAt, formerly, data, flashes } = record;
  const changesHands = isAnotherUser(requestSession, requested.signIn!.userId);
  // Keys that may not be kept are left out, whatever the handler has seen.
  const content = commit.keep ? commit.replayOn({ data, flashes, userId }) : snapshot.content;
  // The former session of another user ends. One of the same user ends with the new session.
  if (changesHands && formerly) yield* wait(endFormer(context, record, commit.deadline));
  const session = changesHands
    ? new NewSession(commit, content, context.now())
    : new NewSession(commit, content, createdAt, formerly);
  yield* session.store(() => run(endFormerSession(commit, session)));
  context.moves.delete(session.token.id);
  if (session.isDropped) {
    // Otherwise the response would carry out what save() has dropped.
    requestSession.changes.markDone(requested);
    return commit.drop("ended");
  }
  if (changesHands && session.hasReplacedFormer) context.emitter.emit("signedOut", { id: from, userId });
  emitStart(commit, session, { created: changesHands, from });
}

function emitStart(
  { context, requested }: Commit,
  { token: { id }, loaded }: NewSession,
  { created, from }: { created: boolean; from?: string },
): void {
  const { userId } = loaded.record;
  if (created) context.emitter.emit("created", { id, userId });
  if (requested.signIn) context.emitter.emit("signedIn", { id, userId, previousId: from });
}

/**
 * Ends the record of the former session, even if others write to it meanwhile. `false` if it lives on, because another
 * request has given it another token.
 */
function* endFormerSession(commit: Commit, session: NewSession): Coroutine<boolean> {
  const { requestSession, context, requested } = commit;
  const { id } = requestSession.token!;
  const began = requestSession.loaded!;
  const { userId } = requested.signIn!;
  let base = began;
  let isEnded = true;
  function* attempt(): Coroutine<boolean> {
    const { version, expiresAt } = base;
    const record = createEndedRecord(base.record, {
      to: session.token.id,
      isListed: !isAnotherUser(requestSession, userId),
    });
    const moved = { ...base, version: version + 1, record };
    if (expiresAt > context.now() && (yield* replaceFormerOrPutBack(commit, session, base, moved))) return true;
    const newest = yield* wait(commit.newest(id));
    const hasMoved = newest?.record.ended?.movedTo !== undefined;
    if (newest?.record.epoch === began.record.epoch) {
      base = newest;
      if (!isAnotherUser(requestSession, userId)) yield* wait(session.takeOver(commit.replayOn(newest.record)));
      return false;
    }
    // The other request may fail, and would put back what this one invalidates: it does so only to its own version.
    if (newest && !(yield* wait(preventPutBack(context, id, newest, commit.deadline)))) return false;
    // Signing in again as the same user does not undo a sign-out or revocation.
    if (!hasMoved && (newest === undefined || newest.record.ended) && began.record.userId === userId)
      yield* wait(session.drop());
    // Ended, or another user has signed in: only the changes of this request are taken.
    else {
      // A sign-out under way may fail as well.
      if (newest === undefined && !(yield* wait(finishEnd(context, id, commit.deadline)))) return false;
      yield* wait(session.takeOver(commit.replayOn(EMPTY)));
    }
    isEnded = newest === undefined || newest.record.ended !== undefined;
    return true;
  }
  yield* wait(retryUntilDone(() => run(attempt())));
  return isEnded;
}

/** If the store fails, the former session has to live on: its client is told that signing in has failed. */
function* replaceFormerOrPutBack(
  commit: Commit,
  session: NewSession,
  base: LoadedRecord,
  moved: LoadedRecord,
): Coroutine<boolean> {
  const { context, deadline, requestSession } = commit;
  const { id } = requestSession.token!;
  const next = session.token.id;
  try {
    // The expiry is the one that was read: touches since then count.
    return (session.hasReplacedFormer = yield* wait(commit.replaceRecord(id, base, moved, { extendOnly: true })));
  } catch (error) {
    // In this order: whoever ends the new session means the former one, too. Before, it is not put back. After, it is found.
    if (yield* wait(session.giveBack(id)))
      yield* wait(putBack(context, id, base, ({ ended }) => ended?.movedTo === next, deadline.forUndo));
    throw error;
  }
}

function expectCreated(isCreated: boolean): void {
  if (!isCreated) throw new SessionError("ERR_SESSION_STORE", "The session store says that a random id exists already");
}

/** A session that is being stored for the first time. */
class NewSession {
  readonly #commit: Commit;
  readonly token: Token;
  loaded: LoadedRecord;
  #content: Content;

  constructor(commit: Commit, content: Content, createdAt: number, formerly?: Formerly) {
    const { context, requestSession, requested } = commit;
    const { userId, note } = requested.signIn ?? {};
    const { idle, absolute } = requested.signIn ?? requested.lifetime ?? {};
    this.#commit = commit;
    this.#content = content;
    this.token = requestSession.newToken(requestSession.id);
    const { secretHash, epoch } = tokenFields(this.token);
    this.loaded = this.#loaded(1, {
      secretHash,
      epoch,
      createdAt,
      userId,
      note,
      idle,
      absolute,
      signedInAt: requested.signIn && context.now(),
      client: requested.signIn && requestSession.client,
      rotation: commit.freshRotation(),
      formerly,
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
  /** The former session has ended by this sign-in. */
  hasReplacedFormer = false;
  #isGivenBack = false;

  drop(): Promise<void> {
    this.isDropped = true;
    return this.#discard();
  }

  /** Stores it, within its user's limit, and issues the cookie. A failure leaves nothing behind. */
  *store(finish: () => Answer<boolean>): Coroutine<void> {
    const commit = this.#commit;
    const { context, requestSession, deadline } = commit;
    const { userId } = this.loaded.record;
    try {
      if (userId === undefined || !context.maxPerUser) {
        const creating = this.#create();
        if (creating) yield creating;
        const finishing = finish();
        if (isPromise(finishing)) yield finishing;
      } else {
        const which = { userId, id: this.token.id, former: requestSession.token?.id };
        yield* wait(
          withinLimit(context, context.maxPerUser, which, deadline, {
            store: (after) => this.#create(after),
            admit: () => this.#admit(),
            finish,
          }),
        );
      }
    } catch (error) {
      if (!this.#isGivenBack) yield* wait(this.#discard());
      renewId(requestSession, commit.requested.signIn);
      throw error;
    }
    if (this.isDropped) return;
    commit.applyCommit(this.token, this.loaded, this.#content);
    issueCookie(requestSession);
  }

  /** @param after - epoch milliseconds: `signedInAt` is later, whatever this server's clock says. */
  #create(after = 0): Answer<void> {
    const commit = this.#commit;
    const { context, deadline } = commit;
    const { id } = this.token;
    const { record } = this.loaded;
    // As late as possible: these times decide which of several sign-ins came first.
    const signedInAt = record.signedInAt && Math.max(context.now(), after + 1);
    if (signedInAt !== record.signedInAt) this.loaded = this.#loaded(1, { ...record, signedInAt });
    const stored = encryptSession(context, id, this.loaded);
    const creating = deadline.ask(context.store, "create", id, stored);
    return isPromise(creating) ? creating.then(expectCreated) : expectCreated(creating);
  }

  /** Version 2 marks a session that was counted: later sign-ins do not end it. */
  async #admit(): Promise<boolean> {
    const next = { ...this.loaded, version: this.loaded.version + 1 };
    if (!(await this.#commit.replaceRecord(this.token.id, this.loaded, next))) return false;
    this.loaded = next;
    return true;
  }

  /** Takes over newer content. It is not stored if a sign-out or revocation has ended the new session already. */
  async takeOver(content: Content): Promise<void> {
    const { context, deadline } = this.#commit;
    const { id } = this.token;
    const { data, flashes } = content;
    await retryUntilDone(async () => {
      const { loaded } = this;
      const next = this.#loaded(loaded.version + 1, { ...loaded.record, data, flashes });
      if (await this.#commit.replaceRecord(id, loaded, next)) {
        this.loaded = next;
        return true;
      }
      const newest = await this.#commit.newest(id);
      // Whoever is ending it may fail, and must not put back what has not been taken over.
      if (newest === undefined) return finishEnd(context, id, deadline);
      this.loaded = newest;
      return false;
    });
    this.#content = content;
  }

  /**
   * Ends it, and leaves a record that names the former session: a revocation that has found this one follows it there. `false`
   * if it was ended before, or nobody knows.
   */
  async giveBack(former: string): Promise<boolean> {
    const { loaded } = this;
    // The former session is not listed before it is put back.
    const record = createEndedRecord(loaded.record, { to: former, isListed: false });
    const next = { ...loaded, version: loaded.version + 1, record };
    try {
      this.#isGivenBack = await this.#commit.replaceRecord(this.token.id, loaded, next, {
        deadline: this.#commit.deadline.forUndo,
      });
    } catch {
      // The store has failed twice: the former session is not put back.
    }
    return this.#isGivenBack;
  }

  /** Nobody has its token, but the user would see it in the list until it expires. */
  #discard(): Promise<void> {
    const { context, deadline } = this.#commit;
    return discard(context, this.token.id, deadline);
  }
}
