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
import { hashSecret, nextEpoch, randomPart, tokenFields, type Token } from "../record/token.ts";
import type { Host, Visit } from "../request/request-session.ts";
import type { Wishes } from "../request/requested.ts";
import { Patience } from "../waiting.ts";

/** What a commit is for: a call of `save()`, or a response whose head follows, and takes a cookie that is only renewed. */
type Occasion = "save" | "response";

/**
 * Stores what the visit did with its session. `undefined`, at once, where there is nothing to store.
 *
 * @throws only by the promise. TypeError for a value that can't be kept.
 * SessionError ERR_SESSION_STORE, ERR_SESSION_CONFLICT, ERR_SESSION_SUPERSEDED, ERR_SESSION_HEADERS_SENT
 */
export function commit(visit: Visit, occasion: Occasion, hasHead = !visit.headSent): Promise<void> | undefined {
  if (visit.committing) {
    const again = () => commit(visit, occasion, hasHead);
    return visit.committing.then(again, again);
  }
  const isSave = occasion === "save";
  let next: Plan;
  let attempt: Commit;
  try {
    if (isSave) visit.takeUp();
    next = planOf(visit, !isSave);
    if (next === "nothing") return undefined;
    if (!hasHead && needsCookie(next, visit.wishes)) throw headSent();
    attempt = new Commit(visit, !isSave);
  } catch (error) {
    if (isSave) visit.giveUp(visit.wishes);
    return Promise.reject(error);
  }
  visit.committing = visit.host.lanes
    .enter(visit.storedId, () => attempt.carryOut(next))
    .then(
      () => {
        visit.committing = undefined;
      },
      (error: unknown) => {
        visit.committing = undefined;
        attempt.undo();
        // Whoever saves deals with the failure too: the response does not try the same again.
        if (isSave) visit.giveUp(attempt.wishes);
        throw error;
      },
    );
  return visit.committing;
}

function headSent(): SessionError {
  return new SessionError(
    "ERR_SESSION_HEADERS_SENT",
    "The response's head has left: a session can no longer begin, end or change its token; do it before the first byte",
  );
}

/** One commit: what it takes from the visit it takes at its beginning. */
export class Commit {
  readonly visit: Visit;
  readonly host: Host;
  readonly wishes: Wishes;
  readonly snapshot: Snapshot;
  readonly patience: Patience;
  readonly #withResponse: boolean;

  constructor(visit: Visit, withResponse: boolean) {
    this.visit = visit;
    this.host = visit.host;
    this.wishes = visit.wishes;
    this.snapshot = visit.journal.snapshot();
    this.patience = new Patience(visit.host.storeTimeout);
    this.#withResponse = withResponse;
  }

  /** Nothing of it was stored: all of it is still to be stored. */
  undo(): void {
    this.visit.journal.restore(this.snapshot);
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
    const { host, visit } = this;
    const { id } = visit.token!;
    const loaded = visit.loaded!;
    const expiresAt = extendedEnd(host.now(), loaded.record, host.timeouts);
    try {
      if (await this.patience.ask("touch", () => host.store.touch(id, expiresAt)))
        visit.loaded = { ...loaded, expiresAt };
    } catch (error) {
      host.emitter.emit("fault", { id, error });
    }
    this.undo();
  }

  /** Whether there is more to store than a renewed token or seal. */
  get #changes(): boolean {
    return this.wishes.rotate !== undefined || this.snapshot.content !== this.snapshot.base;
  }

  /** Renewing is no change either. */
  async #renew(): Promise<void> {
    try {
      await this.#update();
    } catch (error) {
      this.undo();
      this.host.emitter.emit("fault", { id: this.visit.id, error });
    }
  }

  async #update(): Promise<void> {
    const { visit, host } = this;
    const began = visit.loaded!;
    const { id } = visit.token!;
    const token = this.wishes.rotate ? { id, secret: randomPart(), epoch: nextEpoch(began.record.epoch) } : undefined;

    let base = began;
    let { content } = this.snapshot;
    await untilDone(async () => {
      const step = token ? "none" : stepIn(visit, base, this.#withResponse);
      const next = this.#next(base, {
        ...base.record,
        ...(token ? { ...tokenFields(token), rotation: this.freshRotation() } : this.#turned(base.record, step)),
        data: content.data,
        flashes: content.flashes,
      });
      if (next.expiresAt > host.now() && (await this.#replacedToken(id, base, next, token !== undefined))) {
        this.settle(token ?? visit.token!, next, content);
        if (token) visit.handOut();
        else this.#handOut(step);
        if (token || step === "confirm") host.emitter.emit("rotated", { id, owner: next.record.owner });
        return true;
      }
      const newest = await this.newest(id);
      const superseded = newest !== undefined && newest.record.epoch !== began.record.epoch;
      switch (retry({ ended: newest === undefined, superseded }, this.#changes)) {
        case "drop":
          this.drop("ended");
          return true;
        case "let go":
          visit.fallSilent();
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
    const { host, visit } = this;
    try {
      return await this.replaced(id, base, next, visit.passive);
    } catch (error) {
      const { secretHash } = next.record;
      if (isNewToken) await putBack(host, id, base, (record) => record.secretHash.equals(secretHash), this.patience);
      throw error;
    }
  }

  /** Puts one record in the place of another, if that is still there. @param extendOnly - keeps a later expiry. */
  replaced(id: string, base: LoadedRecord, next: LoadedRecord, extendOnly = false): Promise<boolean> {
    const { store } = this.host;
    const stored = { ...storedSession(this.host, id, next), extendOnly };
    return this.patience.ask("update", () => store.update(id, stored, base.version));
  }

  async #delete(): Promise<void> {
    const { visit, host } = this;
    const { id } = visit.token!;
    const { epoch, owner } = visit.loaded!.record;
    let base = visit.loaded!;
    await untilDone(async () => {
      if (await endIfUnchanged(host, id, base, this.patience)) {
        visit.setCookie = host.cookie.clear(visit.secure);
        host.emitter.emit("signedOut", { id, owner });
      } else {
        const newest = await this.newest(id);
        // Signed in to meanwhile: neither the session nor the cookie are this request's to end.
        if (newest && newest.record.epoch !== epoch) {
          // A sign-in that fails after all must not put back what was to be signed out.
          if (newest.record.ended) await this.patience.ask("delete", () => host.store.delete(id));
          visit.fallSilent();
          return true;
        }
        base = newest ?? base;
        if (newest) return false;
        // Somebody else may be about to end it, and fail: what is left goes, so that it is not put back.
        await this.patience.ask("delete", () => host.store.delete(id));
        // Where it had ended already, the client may have another cookie by now: that one is not ours to clear.
      }
      visit.standing = "anonymous";
      visit.carriedOut(this.wishes);
      return true;
    });
  }

  drop(reason: "ended" | "superseded"): void {
    const { visit } = this;
    this.host.emitter.emit("dropped", { id: visit.presentedId, owner: visit.loaded?.record.owner, reason });
    visit.fallSilent();
  }

  async newest(id: string): Promise<LoadedRecord | undefined> {
    const loaded = await loadLatest(this.host, id, this.patience);
    return loaded && loaded.expiresAt > this.host.now() ? loaded : undefined;
  }

  /** The changes of this request, applied to what others have stored meanwhile. */
  replayed(newest: Content): Content {
    const keep = this.wishes.signIn?.keep;
    return replay(this.snapshot, keep ? only(newest, keep) : newest, this.host.limits);
  }

  /** A new secret has its whole time before it. */
  freshRotation(): Rotation | undefined {
    return this.host.rotation && { since: this.host.now() };
  }

  /** The fields of the record after a step in its rotation. */
  #turned(record: SessionRecord, step: Step): Partial<SessionRecord> {
    if (step === "none") return {};
    const { visit } = this;
    const seen = hashSecret(visit.token!.secret);
    const successor = () => new Uint8Array(hashSecret(visit.successor(record).secret));
    const previous = new Uint8Array(record.secretHash);
    const rotation = afterStep(step, record.rotation, issuedAt(record), this.host.now(), previous, successor);
    return step === "confirm" ? { secretHash: seen, rotation } : { rotation };
  }

  /** Cookies leave only after the record was compared and set: a sign-in that came first is not undone by them. */
  #handOut(step: Step): void {
    const { visit } = this;
    if (!this.#withResponse) return;
    if (step === "name" || step === "hand out") visit.handOutSuccessor();
    else if (visit.tokenByPreviousKey && visit.matchIn(visit.loaded!.record) === "current") visit.handOut();
    visit.tokenByPreviousKey = false;
  }

  #next(base: LoadedRecord, record: SessionRecord): LoadedRecord {
    const { visit, host } = this;
    const expiresAt = visit.passive ? base.expiresAt : extendedEnd(host.now(), record, host.timeouts);
    return { record, version: base.version + 1, expiresAt, byPreviousKey: false };
  }

  /** What was stored is what the visit goes on from. */
  settle(token: Token, loaded: LoadedRecord, content: Content): void {
    const { visit } = this;
    visit.goOn(token, loaded);
    visit.journal.stored(this.snapshot, content);
    visit.carriedOut(this.wishes);
    if (!visit.wishes.signIn) visit.journal.unrestrict();
  }
}
