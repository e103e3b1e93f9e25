import { NEVER, type RequestModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { Effect } from "./shared-store.ts";
import type { Actor } from "./virtual-time.ts";

/** The observer's knowledge of what calls of the store have done. */
export class StoreEffects {
  readonly #observer: Observer;

  #seen = 0;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  /** Of several sign-ins at once the one that replaced the former session's record takes its data along. */
  hasMoved(id: string, actor: Actor): boolean {
    let mover: Actor | undefined;
    let newcomer: Actor | undefined;
    let rotation: Effect | undefined;
    let ender: Actor | undefined;
    for (const effect of this.#observer.store.effects) {
      if (effect.id !== id) continue;
      if (effect.operation === "create" && effect.isSigningIn) newcomer = effect.actor;
      // The sign-in that the session began with.
      if (effect.actor === newcomer) continue;
      if (effect.operation !== "update") continue;
      // A second write of the same rotate() takes back the first. After a sign-out it concerns another session.
      if (effect.rotation && !effect.isEnding) rotation = rotation?.rotation === effect.rotation ? undefined : effect;
      // A second write of the same sign-out or revocation takes back the first. One that signs in after it moves nothing.
      if (effect.isEnding) ender = ender === effect.actor ? undefined : effect.actor;
      if (effect.isEnding || !effect.isSigningIn) continue;
      // A sign-in that meets such an end only keeps it from being taken back.
      if (ender && mover !== effect.actor) continue;
      // A sign-in that meets another request's rotate() only keeps that from being taken back.
      if (rotation && rotation.actor !== effect.actor && rotation.at >= effect.actor!.beganAt) continue;
      // A second write of the same sign-in takes back the first.
      mover = mover === undefined ? effect.actor : mover === effect.actor ? undefined : mover;
    }
    return mover === actor;
  }

  /** Whether a request has stored anything. */
  hasEffect({ actor }: RequestModel): boolean {
    return this.#observer.store.effects.some(
      (one) => one.actor === actor && (one.operation === "create" || one.operation === "update"),
    );
  }

  /** Whether others have written to its session since it came. */
  isByOthers({ session, actor, openedAt }: RequestModel): boolean {
    return this.#observer.store.effects.some(
      (one) => one.id === session?.id && one.operation === "update" && one.actor !== actor && one.at >= openedAt,
    );
  }

  /** A request has replaced its session's record: its token is one that the record knows by now, if nothing was taken back. */
  confirm({ token, actor, hasFailed }: RequestModel): void {
    if (!token || hasFailed || token.confirmedAt !== NEVER) return;
    const effect = this.#observer.store.effects.find(
      (one) => one.actor === actor && one.id === token.session.id && one.operation === "update",
    );
    if (effect) token.confirmedAt = effect.at;
  }

  /** Signs of life that are possible: whatever was written by a request that is none is not one. */
  learn(): void {
    const { effects, reusedIds } = this.#observer.store;
    for (const id of reusedIds)
      this.#observer.breach("id used twice", `another session is stored as ${this.#observer.short(id)}`);
    for (const id of this.#observer.store.brokenTouches)
      this.#observer.breach("touch", `session ${this.#observer.short(id)} is shortened by one`);
    for (; this.#seen < effects.length; this.#seen++) this.#learnOne(effects[this.#seen]!);
  }

  #learnOne({ id, operation, actor, calledAt, expiresAt, clock }: Effect): void {
    const session = this.#observer.model.sessions.get(id);
    if (!session || operation === "delete" || expiresAt === undefined) return;
    if (this.#observer.passiveActors.has(actor) && session.request.actor !== actor) return;
    session.seen.possible = Math.max(session.seen.possible, calledAt);
    if (expiresAt > clock + session.idle + this.#observer.scenario.skew)
      this.#observer.breach(
        "timeout too late",
        `session ${this.#observer.short(id)} is extended by ${expiresAt - clock} ms`,
      );
  }
}
