import type { Session } from "sojourn";
import type { RequestModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import { STORE_TIMEOUT } from "./scenario.ts";

/**
 * Requests whose client goes away before their handler is done. Changes of data are stored, and a sign-out ends the session.
 * Whatever would need a new cookie is dropped: the client's session is as if it had not been asked for.
 */
export class Departures {
  readonly #observer: Observer;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  leaves(request: RequestModel): void {
    request.leftAt = this.#observer.now;
    // What save() is storing at this moment takes its course.
    if (request.isSaving) return;
    request.actor.isSigningIn = false;
    request.actor.rotation = undefined;
  }

  /** The handler is done, and its response was given to nobody. */
  answered(
    request: RequestModel,
    { session, at }: { readonly session: Session<Record<string, unknown>>; readonly at: number },
    code: string | undefined,
  ): void {
    const { commits, effects, now } = this.#observer;
    // Nobody is told of a failure that comes before the handler is done.
    const isCertain = request.actor.faults.length === 0 && now - request.leftAt! < STORE_TIMEOUT - 5;
    const isStored = isCertain && !request.needsCookie && !this.#observer.isEndedByOthers(request);
    if (code === undefined && isStored) return commits.stored(request, session, at);
    effects.learn();
    // What was stored when the client went away is not refused with the rest.
    for (const mark of request.marks) if (mark.state === "pending") mark.state = "unknown";
    if (code !== undefined) return commits.failed(request, code, at);
    for (const ending of request.pending) {
      if (ending.kind !== "sign-out") ending.takenBackAt = -1;
      else if (isCertain) ending.ackedAt = now;
    }
    if (request.signIn && request.signInCall) request.signInCall.failedAt = now;
    request.pending = [];
    request.removed = [];
  }
}
