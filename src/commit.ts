import { timingSafeEqual } from "node:crypto";
import { SessionError } from "./errors.ts";
import { extendedEnd } from "./expiry.ts";
import { loadLatest } from "./load.ts";
import { needsCookie, planOf, turnOf, type Turn } from "./intent.ts";
import { EMPTY, replay, type Content, type Snapshot } from "./journal.ts";
import { retry, type Plan } from "./lifecycle.ts";
import { withinLimit } from "./owners.ts";
import type { Rotation } from "./rotation.ts";
import { storedSession, type LoadedRecord, type SessionRecord } from "./record.ts";
import { EPOCHS, hashSecret, randomPart, type Token } from "./token.ts";
import { NO_WISHES, type Visit, type Wishes } from "./visit.ts";
import { Patience } from "./waiting.ts";

/** Writers of other processes that may come first before a commit gives up. */
const MAX_ATTEMPTS = 256;
/** Short, and it does not grow: whoever has lost often would otherwise lose to those who have just begun. */
const MAX_PAUSE_MS = 4;

/**
 * Stores what the visit did with its session. `undefined`, at once, where there is nothing to store.
 *
 * @throws TypeError for a value that can't be kept.
 * @throws SessionError ERR_SESSION_STORE, ERR_SESSION_CONFLICT, ERR_SESSION_SUPERSEDED, ERR_SESSION_HEADERS_SENT
 */
export function commit(visit: Visit, hasHead = !visit.headSent): Promise<void> | undefined {
  if (visit.committing) {
    const again = () => commit(visit, hasHead);
    return visit.committing.then(again, again);
  }
  const next = planOf(visit);
  if (next === "nothing") return undefined;
  if (!hasHead && needsCookie(next, visit.wishes)) {
    throw new SessionError(
      "ERR_SESSION_HEADERS_SENT",
      "The response's head has left: a session can no longer begin, end or change its token; do it before the first byte",
    );
  }
  const patience = new Patience(visit.host.storeTimeout);
  const attempt = new Commit(visit, patience);
  visit.committing = visit.host.lanes
    .enter(visit.id, () => attempt.carryOut(next))
    .then(
      () => {
        visit.committing = undefined;
      },
      (error: unknown) => {
        visit.committing = undefined;
        attempt.undo();
        throw error;
      },
    );
  return visit.committing;
}

function tokenFields({ secret, epoch }: Token): Pick<SessionRecord, "secretHash" | "epoch"> {
  return { secretHash: hashSecret(secret), epoch };
}

/** One commit: what it takes from the visit it takes at its beginning. */
class Commit {
  readonly #visit: Visit;
  readonly #patience: Patience;
  readonly #wishes: Wishes;
  readonly #snapshot: Snapshot;
  readonly #turn: Turn;
  readonly #now: number;

  constructor(visit: Visit, patience: Patience) {
    this.#visit = visit;
    this.#patience = patience;
    this.#wishes = visit.wishes;
    this.#snapshot = visit.journal.snapshot();
    this.#turn = turnOf(visit);
    this.#now = visit.host.now();
  }

  /** Nothing of it was stored: all of it is still to be stored. */
  undo(): void {
    this.#visit.journal.restore(this.#snapshot);
  }

  async carryOut(next: Plan): Promise<void> {
    switch (next) {
      case "nothing":
        return;
      case "touch":
        return this.#touch();
      case "create":
        return this.#create(this.#snapshot.content);
      case "update":
        return this.#changes ? this.#update() : this.#renew();
      case "replace":
        return this.#replace();
      case "delete":
        return this.#delete();
      case "drop":
        return this.#drop("superseded");
    }
  }

  /** Extending is no change: if it fails the response goes on, and the next request tries again. */
  async #touch(): Promise<void> {
    const { host, token, loaded } = this.#visit;
    const expiresAt = extendedEnd(this.#now, loaded!.record, host.timeouts);
    try {
      if (await this.#patience.ask("touch", () => host.store.touch(token!.id, expiresAt)))
        this.#visit.loaded = { ...loaded!, expiresAt };
    } catch (error) {
      host.emitter.emit("fault", { id: token!.id, error });
    }
    this.undo();
  }

  async #create(content: Content): Promise<void> {
    const visit = this.#visit;
    const { host } = visit;
    const token = { id: visit.newId(), secret: randomPart(), epoch: 1 };
    const loaded = this.#loaded(1, undefined, {
      ...tokenFields(token),
      createdAt: this.#now,
      signedInAt: undefined,
      owner: undefined,
      rotation: this.#freshRotation(),
      ...this.#signInFields(),
      data: content.data,
      flashes: content.flashes,
    });
    const { id } = token;
    const stored = storedSession(host, id, loaded);
    const created = await this.#within(
      id,
      () => this.#patience.ask("create", () => host.store.create(id, stored)),
      () => this.#patience.ask("delete", () => host.store.delete(id)),
    );
    if (!created) throw new SessionError("ERR_SESSION_STORE", "The session store says that a random id exists already");
    this.#settle(token, loaded, content);
    host.emitter.emit("created", { id: token.id, owner: loaded.record.owner });
    this.#announceSignIn();
  }

  /** Whether there is more to store than a renewed token or seal. */
  get #changes(): boolean {
    const { signIn, rotate } = this.#wishes;
    return signIn !== undefined || rotate === true || this.#snapshot.content !== this.#snapshot.base;
  }

  /** Renewing is no change either. */
  async #renew(): Promise<void> {
    try {
      await this.#update();
    } catch (error) {
      this.undo();
      this.#visit.host.emitter.emit("fault", { id: this.#visit.id, error });
    }
  }

  async #update(): Promise<void> {
    const visit = this.#visit;
    const { host } = visit;
    const wishes = this.#wishes;
    const { id } = visit.token!;
    const began = visit.loaded!;
    const epoch = (began.record.epoch + 1) % EPOCHS;
    const token = wishes.signIn || wishes.rotate ? { id, secret: randomPart(), epoch } : undefined;

    let base = began;
    let content = this.#snapshot.content;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const loaded = this.#loaded(base.version + 1, base, {
        ...base.record,
        ...(token ? { ...tokenFields(token), rotation: this.#freshRotation() } : this.#turned(base.record)),
        ...this.#signInFields(),
        data: content.data,
        flashes: content.flashes,
      });
      if (loaded.expiresAt > this.#now && (await this.#replaced(id, base, loaded))) {
        this.#settle(token ?? visit.token!, loaded, content, token !== undefined);
        if (!token) this.#handOutTurned();
        if (wishes.signIn) this.#announceSignIn();
        else if (token) host.emitter.emit("rotated", { id, owner: loaded.record.owner });
        return;
      }

      const newest = await this.#newest(id);
      const superseded = newest !== undefined && newest.record.epoch !== began.record.epoch;
      switch (retry({ ended: newest === undefined, superseded }, wishes.signIn !== undefined, this.#changes)) {
        case "begin anew":
          return this.#create(this.#replayed(EMPTY));
        case "drop":
          return this.#drop("ended");
        case "let go":
          return visit.fallSilent();
        case "refuse":
          throw new SessionError(
            "ERR_SESSION_SUPERSEDED",
            "The session was signed in to, or its token replaced, while this request was under way; its changes were refused",
          );
        case "again":
          base = newest!;
          content = this.#replayed(base.record);
          await this.#pause(attempt);
      }
    }
    throw new SessionError(
      "ERR_SESSION_CONFLICT",
      `Other requests changed the session first, ${MAX_ATTEMPTS} times in a row; nothing of this one was stored`,
    );
  }

  /** Puts one record in the place of another, if that is still there. */
  #replaced(id: string, base: LoadedRecord, next: LoadedRecord): Promise<boolean> {
    const { host } = this.#visit;
    const update = (loaded: LoadedRecord, version: number) =>
      this.#patience.ask("update", () => host.store.update(id, storedSession(host, id, loaded), version));
    // Whoever had the session before a sign-in that is taken back has it again.
    const former = { ...base, version: next.version + 1 };
    return this.#within(
      id,
      () => update(next, base.version),
      () => update(former, next.version),
    );
  }

  /** Does what stores the session, within the owner's limit where somebody signs in. */
  #within(id: string, store: () => Promise<boolean>, takeBack: () => Promise<unknown>): Promise<boolean> {
    const { signIn } = this.#wishes;
    if (!signIn) return store();
    return withinLimit(this.#visit.host, { owner: signIn.owner, id }, this.#patience, store, takeBack);
  }

  /** Another owner gets another session: nothing of the one before may come along. */
  async #replace(): Promise<void> {
    const { host, token } = this.#visit;
    await this.#create(this.#snapshot.content);
    await this.#patience.ask("delete", () => host.store.delete(token!.id));
  }

  async #delete(): Promise<void> {
    const visit = this.#visit;
    const { host, loaded } = visit;
    const { id } = visit.token!;
    const ended = await this.#patience.ask("delete", () => host.store.delete(id));
    visit.standing = "anonymous";
    // Where it had ended already, the client may have another cookie by now: that one is not ours to clear.
    if (!ended) return;
    visit.setCookie = host.cookie.clear(visit.secure);
    host.emitter.emit("signedOut", { id, owner: loaded!.record.owner });
  }

  #drop(reason: "ended" | "superseded"): void {
    const visit = this.#visit;
    visit.host.emitter.emit("dropped", { id: visit.presentedId, owner: visit.loaded?.record.owner, reason });
    visit.fallSilent();
  }

  async #newest(id: string): Promise<LoadedRecord | undefined> {
    const loaded = await loadLatest(this.#visit.host, id, this.#patience);
    return loaded && loaded.expiresAt > this.#now ? loaded : undefined;
  }

  #replayed(newest: Content): Content {
    return replay(this.#snapshot, newest, this.#visit.host.limits);
  }

  #signInFields(): Partial<SessionRecord> {
    const { signIn } = this.#wishes;
    if (!signIn) return {};
    const { owner, note, idle, absolute } = signIn;
    return { owner, note, idle, absolute, signedInAt: this.#now, client: this.#visit.client };
  }

  /** A new secret has its whole time before it. */
  #freshRotation(): Rotation | undefined {
    return this.#visit.host.rotation && { since: this.#now };
  }

  /** The record after this visit's step in a rotation, if nobody has taken it already. */
  #turned(record: SessionRecord): Partial<SessionRecord> {
    const { rotation, secretHash } = record;
    const { token, match } = this.#visit;
    if (this.#turn === "confirm") {
      const seen = new Uint8Array(hashSecret(token!.secret));
      if (!rotation?.next || !timingSafeEqual(seen, rotation.next)) return {};
      return { secretHash: Buffer.from(seen), rotation: { since: this.#now, previous: new Uint8Array(secretHash) } };
    }
    if (this.#turn !== "name" || match !== "current" || rotation?.next) return {};
    const since = rotation?.since ?? record.signedInAt ?? record.createdAt;
    return { rotation: { ...rotation, since, next: new Uint8Array(hashSecret(this.#visit.successor().secret)) } };
  }

  /** Cookies leave only after the record was compared and set: a sign-in that came first is not undone by them. */
  #handOutTurned(): void {
    const visit = this.#visit;
    if (this.#turn === "name" || this.#turn === "hand out") visit.handOutSuccessor();
    else if (visit.tokenByPreviousKey) visit.handOut();
    visit.tokenByPreviousKey = false;
    if (this.#turn !== "confirm") return;
    visit.match = "current";
    visit.host.emitter.emit("rotated", { id: visit.id, owner: visit.loaded!.record.owner });
  }

  #loaded(version: number, base: LoadedRecord | undefined, record: SessionRecord): LoadedRecord {
    const visit = this.#visit;
    const rests = base && visit.passive && !this.#wishes.signIn;
    const expiresAt = rests ? base.expiresAt : extendedEnd(this.#now, record, visit.host.timeouts);
    return { record, version, expiresAt, byPreviousKey: false };
  }

  /** What was stored is what the visit goes on from. */
  #settle(token: Token, loaded: LoadedRecord, content: Content, newToken = true): void {
    const visit = this.#visit;
    visit.token = token;
    visit.loaded = loaded;
    visit.standing = "live";
    if (newToken) visit.match = "current";
    visit.journal.stored(this.#snapshot, content);
    if (visit.wishes === this.#wishes) visit.wishes = NO_WISHES;
    if (newToken) visit.handOut();
  }

  #announceSignIn(): void {
    const { signIn } = this.#wishes;
    if (signIn) this.#visit.host.emitter.emit("signedIn", { id: this.#visit.id, owner: signIn.owner });
  }

  /** Before another try: nothing at first, then a random wait, so that rivals fall out of step. */
  async #pause(attempt: number): Promise<void> {
    if (attempt < 3) return;
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS));
  }
}
