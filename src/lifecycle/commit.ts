import { begin, move } from "./begin.ts";
import { endIfUnchanged, putBack } from "./end.ts";
import { SessionError } from "../errors.ts";
import { extendedEnd } from "./timeouts.ts";
import { issuedAt, needsCookie, planOf, stepIn } from "./plan.ts";
import { only, replay, type Content, type Snapshot } from "../changes/journal.ts";
import { retry, type Plan } from "./decisions.ts";
import { loadLatest } from "../record/load.ts";
import { storedSession, type LoadedRecord, type SessionRecord } from "../record/record.ts";
import { untilDone } from "./retries.ts";
import { afterStep, type Rotation, type Step } from "./rotation.ts";
import { randomPart } from "../random.ts";
import { hashSecret, nextEpoch, tokenFields, type Token } from "../record/token.ts";
import type { Context, RequestSession } from "../request/request-session.ts";
import type { Requested } from "../request/requested.ts";
import { Deadline } from "../deadline.ts";

/** What a commit is for: a call of `save()`, or a response whose head follows, and takes a cookie that is only renewed. */
type Occasion = "save" | "response";

/**
 * Stores what the visit did with its session. `undefined`, at once, where there is nothing to store.
 *
 * @throws only by the promise. TypeError for a value that can't be kept.
 * SessionError ERR_SESSION_STORE, ERR_SESSION_CONFLICT, ERR_SESSION_SUPERSEDED, ERR_SESSION_HEADERS_SENT
 */
export function commit(
  requestSession: RequestSession,
  occasion: Occasion,
  hasHead = !requestSession.headersSent,
): Promise<void> | undefined {
  if (requestSession.committing) {
    const again = () => commit(requestSession, occasion, hasHead);
    return requestSession.committing.then(again, again);
  }
  const isSave = occasion === "save";
  let next: Plan;
  let attempt: Commit;
  try {
    if (isSave) requestSession.takeBack();
    next = planOf(requestSession, !isSave);
    if (next === "nothing") return undefined;
    if (!hasHead && needsCookie(next, requestSession.requested)) throw headersSent();
    attempt = new Commit(requestSession, !isSave);
  } catch (error) {
    if (isSave) requestSession.setAside(requestSession.requested);
    return Promise.reject(error);
  }
  requestSession.committing = requestSession.context.commits
    .run(requestSession.storedId, () => attempt.carryOut(next))
    .then(
      () => {
        requestSession.committing = undefined;
      },
      (error: unknown) => {
        requestSession.committing = undefined;
        attempt.undo();
        // Whoever saves deals with the failure too: the response does not try the same again.
        if (isSave) requestSession.setAside(attempt.requested);
        throw error;
      },
    );
  return requestSession.committing;
}

function headersSent(): SessionError {
  return new SessionError(
    "ERR_SESSION_HEADERS_SENT",
    "The response's head has left: a session can no longer begin, end or change its token; do it before the first byte",
  );
}

/** One commit: what it takes from the visit it takes at its beginning. */
export class Commit {
  readonly requestSession: RequestSession;
  readonly context: Context;
  readonly requested: Requested;
  readonly snapshot: Snapshot;
  readonly deadline: Deadline;
  readonly #withResponse: boolean;

  constructor(requestSession: RequestSession, withResponse: boolean) {
    this.requestSession = requestSession;
    this.context = requestSession.context;
    this.requested = requestSession.requested;
    this.snapshot = requestSession.journal.snapshot();
    this.deadline = new Deadline(requestSession.context.storeTimeout);
    this.#withResponse = withResponse;
  }

  /** Nothing of it was stored: all of it is still to be stored. */
  undo(): void {
    this.requestSession.journal.restore(this.snapshot);
  }

  async carryOut(next: Plan): Promise<void> {
    switch (next) {
      case "nothing":
        return;
      case "touch":
        return this.#touch();
      case "create":
        return begin(this, this.snapshot.content);
      case "move":
        return move(this);
      case "update":
        return this.#changes ? this.#update() : this.#renew();
      case "delete":
        return this.#delete();
      case "drop":
        return this.drop("superseded");
    }
  }

  /** Extending is no change: if it fails the response goes on, and the next request tries again. */
  async #touch(): Promise<void> {
    const { context, requestSession } = this;
    const { id } = requestSession.token!;
    const loaded = requestSession.loaded!;
    const expiresAt = extendedEnd(context.now(), loaded.record, context.timeouts);
    try {
      if (await this.deadline.run("touch", () => context.store.touch(id, expiresAt)))
        requestSession.loaded = { ...loaded, expiresAt };
    } catch (error) {
      context.emitter.emit("error", { id, error });
    }
    this.undo();
  }

  /** Whether there is more to store than a renewed token or seal. */
  get #changes(): boolean {
    return this.requested.rotate !== undefined || this.snapshot.content !== this.snapshot.base;
  }

  /** Renewing is no change either. */
  async #renew(): Promise<void> {
    try {
      await this.#update();
    } catch (error) {
      this.undo();
      this.context.emitter.emit("error", { id: this.requestSession.id, error });
    }
  }

  async #update(): Promise<void> {
    const { requestSession, context } = this;
    const began = requestSession.loaded!;
    const { id } = requestSession.token!;
    const token = this.requested.rotate
      ? { id, secret: randomPart(), epoch: nextEpoch(began.record.epoch) }
      : undefined;

    let base = began;
    let { content } = this.snapshot;
    await untilDone(async () => {
      const step = token ? "none" : stepIn(requestSession, base, this.#withResponse);
      const next = this.#next(base, {
        ...base.record,
        ...(token ? { ...tokenFields(token), rotation: this.freshRotation() } : this.#turned(base.record, step)),
        data: content.data,
        flashes: content.flashes,
      });
      if (next.expiresAt > context.now() && (await this.#replacedToken(id, base, next, token !== undefined))) {
        this.applyCommit(token ?? requestSession.token!, next, content);
        if (token) requestSession.issueCookie();
        else this.#issueCookie(step);
        if (token || step === "confirm") context.emitter.emit("rotated", { id, userId: next.record.userId });
        return true;
      }
      const newest = await this.newest(id);
      const superseded = newest !== undefined && newest.record.epoch !== began.record.epoch;
      switch (retry({ ended: newest === undefined, superseded }, this.#changes)) {
        case "drop":
          this.drop("ended");
          return true;
        case "let go":
          requestSession.detach();
          return true;
        case "refuse":
          throw new SessionError(
            "ERR_SESSION_SUPERSEDED",
            "The session was signed in to, or its token replaced, while this request was under way; its changes were refused",
          );
        case "again":
          base = newest!;
          content = this.replayed(base.record);
          return false;
      }
    });
  }

  /** Where a new token is not known to be stored, the old one has to go on opening the session. */
  async #replacedToken(id: string, base: LoadedRecord, next: LoadedRecord, isNewToken: boolean): Promise<boolean> {
    const { context, requestSession } = this;
    try {
      return await this.replaced(id, base, next, requestSession.passive);
    } catch (error) {
      const { secretHash } = next.record;
      if (isNewToken) await putBack(context, id, base, (record) => record.secretHash.equals(secretHash), this.deadline);
      throw error;
    }
  }

  /** Puts one record in the place of another, if that is still there. @param extendOnly - keeps a later expiry. */
  replaced(id: string, base: LoadedRecord, next: LoadedRecord, extendOnly = false): Promise<boolean> {
    const { store } = this.context;
    const stored = { ...storedSession(this.context, id, next), extendOnly };
    return this.deadline.run("update", () => store.update(id, stored, base.version));
  }

  async #delete(): Promise<void> {
    const { requestSession, context } = this;
    const { id } = requestSession.token!;
    const { epoch, userId } = requestSession.loaded!.record;
    let base = requestSession.loaded!;
    await untilDone(async () => {
      if (await endIfUnchanged(context, id, base, this.deadline)) {
        requestSession.setCookie = context.cookie.clear(requestSession.secure);
        context.emitter.emit("signedOut", { id, userId });
      } else {
        const newest = await this.newest(id);
        // Signed in to meanwhile: neither the session nor the cookie are this request's to end.
        if (newest && newest.record.epoch !== epoch) {
          // A sign-in that fails after all must not put back what was to be signed out.
          if (newest.record.ended) await this.deadline.run("delete", () => context.store.delete(id));
          requestSession.detach();
          return true;
        }
        base = newest ?? base;
        if (newest) return false;
        // Somebody else may be about to end it, and fail: what is left goes, so that it is not put back.
        await this.deadline.run("delete", () => context.store.delete(id));
        // Where it had ended already, the client may have another cookie by now: that one is not ours to clear.
      }
      requestSession.tokenStatus = "anonymous";
      requestSession.markDone(this.requested);
      return true;
    });
  }

  drop(reason: "ended" | "superseded"): void {
    const { requestSession } = this;
    this.context.emitter.emit("dropped", {
      id: requestSession.presentedId,
      userId: requestSession.loaded?.record.userId,
      reason,
    });
    requestSession.detach();
  }

  async newest(id: string): Promise<LoadedRecord | undefined> {
    const loaded = await loadLatest(this.context, id, this.deadline);
    return loaded && loaded.expiresAt > this.context.now() ? loaded : undefined;
  }

  /** The changes of this request, applied to what others have stored meanwhile. */
  replayed(newest: Content): Content {
    const keep = this.requested.signIn?.keep;
    return replay(this.snapshot, keep ? only(newest, keep) : newest, this.context.limits);
  }

  /** A new secret has its whole time before it. */
  freshRotation(): Rotation | undefined {
    return this.context.rotation && { since: this.context.now() };
  }

  /** The fields of the record after a step in its rotation. */
  #turned(record: SessionRecord, step: Step): Partial<SessionRecord> {
    if (step === "none") return {};
    const { requestSession } = this;
    const seen = hashSecret(requestSession.token!.secret);
    const successor = () => new Uint8Array(hashSecret(requestSession.successor(record).secret));
    const previous = new Uint8Array(record.secretHash);
    const rotation = afterStep(step, record.rotation, issuedAt(record), this.context.now(), previous, successor);
    return step === "confirm" ? { secretHash: seen, rotation } : { rotation };
  }

  /** Cookies leave only after the record was compared and set: a sign-in that came first is not undone by them. */
  #issueCookie(step: Step): void {
    const { requestSession } = this;
    if (!this.#withResponse) return;
    if (step === "name" || step === "hand out") requestSession.handOutSuccessor();
    else if (requestSession.tokenByPreviousKey && requestSession.matchIn(requestSession.loaded!.record) === "current")
      requestSession.issueCookie();
    requestSession.tokenByPreviousKey = false;
  }

  #next(base: LoadedRecord, record: SessionRecord): LoadedRecord {
    const { requestSession, context } = this;
    const expiresAt = requestSession.passive ? base.expiresAt : extendedEnd(context.now(), record, context.timeouts);
    return { record, version: base.version + 1, expiresAt, byPreviousKey: false };
  }

  /** What was stored is what the visit goes on from. */
  applyCommit(token: Token, loaded: LoadedRecord, content: Content): void {
    const { requestSession } = this;
    requestSession.continueFrom(token, loaded);
    requestSession.journal.stored(this.snapshot, content);
    requestSession.markDone(this.requested);
    if (!requestSession.requested.signIn) requestSession.journal.unrestrict();
  }
}
