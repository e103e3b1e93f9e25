import { timingSafeEqual } from "node:crypto";
import { createAfterEnd, createSession, moveSession } from "./new-session.ts";
import { putBack } from "./end.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "./timeouts.ts";
import { issuedAt, keptBy, needsCookie, planOf, stepIn } from "./plan.ts";
import { only, replay, type Content, type Journal, type Snapshot } from "../changes/journal.ts";
import { retry, type Plan } from "./decisions.ts";
import { loadLatest } from "../record/load.ts";
import { encryptSession, type LoadedRecord, type SessionRecord } from "../record/record.ts";
import { pauseAfter } from "./retries.ts";
import { afterStep, type Rotation, type RotationStep } from "./rotation.ts";
import { confirmEnd, endLive } from "./sign-out.ts";
import { hashSecret, nextEpoch, tokenFields, type Token } from "../record/token.ts";
import { createRandomPart } from "../random.ts";
import type { Context } from "../context.ts";
import { issueCookie } from "../request/issued-cookie.ts";
import type { Requested } from "../request/pending-changes.ts";
import { warnOfLostFlash } from "../request/lost-flash.ts";
import type { RequestSession } from "../request/request-session.ts";
import { Deadline } from "../deadline.ts";
import { isPromise, run, wait, type Answer, type Coroutine } from "../coroutine.ts";

/**
 * The reason for a commit: a call of `save()`, whose caller deals with a failure; one whose failure nobody takes, so that the
 * response tries again; or a response whose headers follow and can carry a renewed cookie.
 */
type Occasion = "save" | "unawaited" | "response";

/** `"fail"`: nothing is stored if another request has changed the data since they were read. */
export type OnConflict = "merge" | "fail";

/**
 * Stores the changes of a request. `undefined` where there is nothing to wait for: there was nothing to store, or it is
 * stored.
 *
 * @throws only by the promise. TypeError for a value that can't be kept.
 * SessionError ERR_SESSION_STORE, ERR_SESSION_CONFLICT, ERR_SESSION_SUPERSEDED, ERR_SESSION_HEADERS_SENT
 */
export function commit(
  requestSession: RequestSession,
  occasion: Occasion,
  canSetCookie = requestSession.progress.canSetCookie,
  onConflict: OnConflict = "merge",
): Promise<void> | undefined {
  if (requestSession.committing) {
    const again = () => commit(requestSession, occasion, canSetCookie, onConflict);
    return requestSession.committing.then(again, again);
  }
  const { changes, context } = requestSession;
  const isSave = occasion === "save";
  const withResponse = occasion === "response";
  let next: Exclude<Plan, "nothing">;
  let attempt: Commit;
  try {
    if (isSave) changes.takeBack();
    const planned = planOf(requestSession, withResponse);
    if (planned === "nothing") return undefined;
    next = planned;
    // Only a cookie could extend this session.
    if (next === "touch" && !canSetCookie && context.clientSide) return undefined;
    if (!canSetCookie && needsCookie(next, changes, context)) throw headersSent(context);
    attempt = new Commit(requestSession, occasion, onConflict);
  } catch (error) {
    if (isSave) changes.setAside(changes.requested);
    return Promise.reject(error);
  }
  const id = requestSession.storedId;
  const execute = () =>
    // The commits of one session in this process wait for each other. Each passes on what it has stored.
    context.commits.run<LoadedRecord | undefined>(id, (before) => run(attempt.executeOrUndo(id, next, before)));
  const { tracing } = context;
  const storing = requestSession.runCommit(
    tracing ? () => tracing.run("commit", { id, operation: next }, execute) : execute,
  );
  if (withResponse) context.collector.runIfDue();
  return storing;
}

function headersSent({ clientSide }: Context): SessionError {
  return new SessionError(
    "ERR_SESSION_HEADERS_SENT",
    clientSide
      ? "The response's headers were sent: a session that is kept in cookies can no longer be stored; change it before the first byte"
      : "The response's headers were sent: a session can no longer begin, end or change its token; do it before the first byte",
  );
}

/** One commit. It takes the request's changes at its beginning. */
export class Commit {
  readonly requestSession: RequestSession;
  readonly context: Context;
  readonly requested: Requested;
  readonly snapshot: Snapshot;
  /** The journal of the snapshot. A sign-out meanwhile gives the request another one. */
  readonly #journal: Journal;
  readonly deadline: Deadline;
  readonly #occasion: Occasion;
  readonly #onConflict: OnConflict;

  constructor(requestSession: RequestSession, occasion: Occasion, onConflict: OnConflict) {
    this.requestSession = requestSession;
    this.context = requestSession.context;
    this.requested = requestSession.changes.requested;
    this.#journal = requestSession.changes.journal;
    this.snapshot = this.#journal.snapshot();
    this.deadline = new Deadline(requestSession.context.storeTimeout);
    this.#occasion = occasion;
    this.#onConflict = onConflict;
  }

  get #withResponse(): boolean {
    return this.#occasion === "response";
  }

  /** Nothing was stored: the changes are pending again. */
  #undo(): void {
    this.#journal.restore(this.snapshot);
  }

  /**
   * @param before - the record that the commit before this one has left in the store.
   * @returns the record that this one leaves there, as far as it is known.
   */
  *executeOrUndo(
    id: string,
    next: Exclude<Plan, "nothing">,
    before: LoadedRecord | undefined,
  ): Coroutine<LoadedRecord | undefined> {
    const { requestSession } = this;
    try {
      yield* this.#execute(next, before);
      return requestSession.storedId === id ? requestSession.loaded : undefined;
    } catch (error) {
      this.#undo();
      // The caller of save() deals with the failure: the response does not try the same again.
      if (this.#occasion === "save") requestSession.changes.setAside(this.requested);
      throw error;
    }
  }

  #execute(next: Exclude<Plan, "nothing">, before: LoadedRecord | undefined): Coroutine<void> {
    switch (next) {
      case "touch":
        return this.#touch();
      case "create":
        return createSession(this, this.snapshot.content);
      case "move":
        return moveSession(this);
      case "update":
        return this.#changes ? this.#update(before) : this.#renew(before);
      case "delete":
        return this.#signOut(() => endLive(this));
      case "confirm":
        return this.#signOut(() => confirmEnd(this));
      case "drop":
        return wait(this.drop("superseded"));
    }
  }

  /** A failed touch does not fail the response. The next request tries again. */
  *#touch(): Coroutine<void> {
    const { context, requestSession } = this;
    const { id } = requestSession.token!;
    const loaded = requestSession.loaded!;
    const expiresAt = extendedEnd(context.now(), loaded.record, context.timeouts);
    try {
      if (yield* wait(this.deadline.ask(context.store, "touch", id, expiresAt))) requestSession.extended(expiresAt);
    } catch (error) {
      context.emitter.emit("error", { id, error });
    }
    this.#undo();
  }

  /** Whether the commit stores more than a renewed token or a renewed encryption. */
  get #changes(): boolean {
    const { rotate, lifetime } = this.requested;
    return rotate !== undefined || lifetime !== undefined || this.snapshot.content !== this.snapshot.base;
  }

  /** A failed renewal does not fail the response either. */
  *#renew(before: LoadedRecord | undefined): Coroutine<void> {
    try {
      yield* this.#update(before);
    } catch (error) {
      this.#undo();
      this.context.emitter.emit("error", { id: this.requestSession.id, error });
    }
  }

  *#update(before: LoadedRecord | undefined): Coroutine<void> {
    const { requestSession, context } = this;
    const began = requestSession.loaded!;
    const { id } = requestSession.token!;
    const token = this.requested.rotate
      ? { id, secret: createRandomPart(), epoch: nextEpoch(began.record.epoch) }
      : undefined;

    let base = began;
    let content: Content | undefined = this.snapshot.content;
    // The store would refuse an update of a record that is known to be replaced.
    if (before && before.version > began.version) {
      base = before;
      content = this.#contentOver(before, began);
    }
    for (let count = 1; content; count++) {
      const step = token ? "none" : stepIn(requestSession, base, this.#withResponse);
      const next = this.#next(base, {
        ...base.record,
        ...this.requested.lifetime,
        data: content.data,
        flashes: content.flashes,
        ...(token ? { ...tokenFields(token), rotation: this.freshRotation() } : this.#rotatedFields(base.record, step)),
      });
      const isReplaced = next.expiresAt > context.now() && this.#replace(id, base, next, token !== undefined);
      if (isPromise(isReplaced) ? yield* wait(isReplaced) : isReplaced) {
        this.applyCommit(token ?? requestSession.token!, next, content);
        if (token) issueCookie(requestSession);
        else this.#issueCookie(step);
        if (token || step === "confirm") context.emitter.emit("rotated", { id, userId: next.record.userId });
        return;
      }
      const newest = yield* wait(this.newest(id));
      content = this.#contentOver(newest, began);
      if (!content) return;
      base = newest!;
      yield* wait(pauseAfter(count));
    }
  }

  /**
   * The content to store over a newer record. `undefined` if nothing is to be stored.
   *
   * @throws SessionError ERR_SESSION_SUPERSEDED, ERR_SESSION_CONFLICT, ERR_SESSION_TOO_LARGE
   */
  #contentOver(newest: LoadedRecord | undefined, began: LoadedRecord): Content | undefined {
    const superseded = newest !== undefined && newest.record.epoch !== began.record.epoch;
    switch (retry({ ended: newest === undefined, superseded }, this.#changes)) {
      case "drop":
        this.drop("ended");
        if (this.snapshot.content.flashes.length > this.snapshot.base.flashes.length)
          warnOfLostFlash(this.requestSession);
        return undefined;
      case "detach":
        this.requestSession.detach(superseded ? "superseded" : "ended");
        return undefined;
      case "refuse":
        throw new SessionError(
          "ERR_SESSION_SUPERSEDED",
          "The session was signed in to, or its token replaced, while this request was under way; its changes were refused",
        );
      case "again":
        // A renewed token is no reason to store an assignment that gave what was there before.
        return this.#changes ? this.replayOn(newest!.record) : newest!.record;
    }
  }

  /** If a new token may not be stored, the old one has to stay valid. */
  #replace(id: string, base: LoadedRecord, next: LoadedRecord, isNewToken: boolean): Answer<boolean> {
    const replacing = this.replaceRecord(id, base, next, { extendOnly: this.requestSession.passive });
    if (!isNewToken || !isPromise(replacing)) return replacing;
    return replacing.catch(async (error: unknown) => {
      const { secretHash } = next.record;
      const isOurs = (record: SessionRecord) => timingSafeEqual(record.secretHash, secretHash);
      await putBack(this.context, id, base, isOurs, this.deadline.forUndo);
      throw error;
    });
  }

  /** Compare-and-set of a record. @param options.extendOnly - keeps a later expiry. */
  replaceRecord(
    id: string,
    base: LoadedRecord,
    next: LoadedRecord,
    { extendOnly = false, deadline = this.deadline } = {},
  ): Answer<boolean> {
    const { payload, version, expiresAt, userId } = encryptSession(this.context, id, next);
    const stored = { payload, version, expiresAt, userId, extendOnly };
    return deadline.ask(this.context.store, "update", id, stored, base.version);
  }

  /** Signs out, and stores the changes that the handler made after that. */
  *#signOut(end: () => Promise<void>): Coroutine<void> {
    if (this.requested.signIn || this.#changes) yield* createAfterEnd(this, this.snapshot.content, end);
    else yield* wait(end());
  }

  drop(reason: "ended" | "superseded"): void {
    const { requestSession } = this;
    this.context.emitter.emit("dropped", {
      id: requestSession.presentedId,
      userId: requestSession.loaded?.record.userId,
      reason,
    });
    requestSession.detach(reason);
  }

  async newest(id: string): Promise<LoadedRecord | undefined> {
    const loaded = await loadLatest(this.context, id, this.deadline);
    return loaded && loaded.expiresAt > this.context.now() ? loaded : undefined;
  }

  /** The keys that a sign-in keeps. `undefined`: all. */
  get keep(): readonly string[] | undefined {
    return this.requested.signIn && keptBy(this.requestSession, this.requested.signIn);
  }

  /** Applies the changes of this request to newer content. */
  replayOn(newest: Content): Content {
    if (this.#onConflict === "fail" && newest.data !== this.snapshot.base.data) {
      throw new SessionError(
        "ERR_SESSION_CONFLICT",
        "Another request has changed the session's data since this one read them, and save() was not to merge",
      );
    }
    const keep = this.keep;
    return replay(this.snapshot, keep ? only(newest, keep) : newest, this.context.limits);
  }

  /** The rotation of a session whose secret is new. */
  freshRotation(): Rotation | undefined {
    return this.context.rotation && { since: this.context.now() };
  }

  /** The fields of the record after a step in its rotation. */
  #rotatedFields(record: SessionRecord, step: RotationStep): Partial<SessionRecord> | undefined {
    if (step === "none") return undefined;
    const { requestSession } = this;
    const seen = hashSecret(requestSession.token!.secret);
    const successor = () => new Uint8Array(hashSecret(requestSession.successor(record).secret));
    const previous = new Uint8Array(record.secretHash);
    const rotation = afterStep(step, record.rotation, issuedAt(record), this.context.now(), previous, successor);
    return step === "confirm" ? { secretHash: seen, rotation } : { rotation };
  }

  /** Called after the compare-and-set: a cookie must not undo a sign-in that came first. */
  #issueCookie(step: RotationStep): void {
    const { requestSession } = this;
    if (!this.#withResponse) return;
    if (step === "name" || step === "reissue")
      issueCookie(requestSession, requestSession.successor(requestSession.loaded!.record), true);
    else if (requestSession.isTokenByPreviousKey && requestSession.matchIn(requestSession.loaded!.record) === "current")
      issueCookie(requestSession, requestSession.token, true);
    requestSession.renewedToken();
  }

  #next(base: LoadedRecord, record: SessionRecord): LoadedRecord {
    const { requestSession, context } = this;
    const expiresAt = requestSession.passive ? base.expiresAt : extendedEnd(context.now(), record, context.timeouts);
    return { record, version: base.version + 1, expiresAt, byPreviousKey: false };
  }

  /** The request goes on from what was stored. */
  applyCommit(token: Token, loaded: LoadedRecord, content: Content): void {
    const { requestSession } = this;
    requestSession.continueFrom(token, loaded);
    const { changes } = requestSession;
    const late = this.#journal.stored(this.snapshot, loaded.record);
    const { dropped = [] } = content;
    if (dropped.length + late.length > 0) {
      const paths = Object.freeze([...dropped, ...late]);
      const { userId } = loaded.record;
      this.context.emitter.emit("dropped", { id: token.id, userId, reason: "removed", paths });
    }
    changes.markDone(this.requested);
    // A sign-in that was asked for meanwhile may be another user's than the session's now.
    if (this.requested.signIn) changes.restrict();
  }
}
