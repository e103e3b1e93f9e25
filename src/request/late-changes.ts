import type { GivenUpValues } from "../changes/given-up-values.ts";
import { warnOnce } from "../warnings.ts";
import type { PendingChanges } from "./pending-changes.ts";
import type { RequestSession } from "./request-session.ts";

/**
 * Time after an access to an answered request's session, within which `save()` has to be called. In a connection of its own, time
 * after `reload()`, within which given-up values are kept for a check.
 */
const CHECK_MS = 1000;

/** Checks of one request, after which a response that has not ended is left alone: its own end stores the changes. */
const MAX_CHECKS = 60;

/** Values of data that the handler has given up, and the session that they were of. */
interface GivenUp {
  readonly values: GivenUpValues;
  readonly id: string;
  readonly userId: string | undefined;
}

/**
 * Reports changes that come after the response. Nothing stores them by itself: a moment later they are stored by `save()`, or
 * lost.
 */
export class LateChanges {
  readonly #requestSession: RequestSession;
  #isExpected = false;
  #checks = 0;
  #awaitsClose = false;
  #givenUp: GivenUp | undefined;
  #release: NodeJS.Timeout | undefined;

  constructor(requestSession: RequestSession) {
    this.#requestSession = requestSession;
  }

  /** The handler has lost its data, and may change an object of them that it has kept. */
  watchGivenUp(values: GivenUpValues | undefined): void {
    // The former ones may be in the data that are lost now.
    this.#checkGivenUp();
    if (!values) return this.#givenUp?.values.restart();
    const { id, visibleRecord } = this.#requestSession;
    this.#givenUp = { values, id, userId: visibleRecord?.userId };
    this.expect();
    if (this.#requestSession.progress.isAttached) this.#releaseSoon();
  }

  /** A connection may be open for days: it must not keep data that nobody can change any more. */
  #releaseSoon(): void {
    clearTimeout(this.#release);
    this.#release = setTimeout(() => this.#releaseGivenUp(), CHECK_MS);
    this.#release.unref?.();
  }

  /** The handler has taken something from which a change may come. */
  expect(): void {
    const { progress } = this.#requestSession;
    // In a connection of its own a change may wait for `save()` for as long as the connection is open.
    if (progress.isAttached && !progress.hasEnded) this.#awaitClose();
    else if (!this.#isExpected) this.#checkSoon();
  }

  #awaitClose(): void {
    if (this.#awaitsClose) return;
    this.#awaitsClose = true;
    this.#requestSession.progress.onClose(() => this.expect());
  }

  #checkSoon(): void {
    this.#isExpected = true;
    const timer: NodeJS.Timeout = setTimeout(() => {
      this.#isExpected = false;
      this.#check();
    }, CHECK_MS);
    timer.unref?.();
  }

  #check(): void {
    const { progress, committing } = this.#requestSession;
    this.#checks += 1;
    if (progress.hasEnded && committing === undefined) {
      this.#checkGivenUp();
      if (this.#areUnreported) this.drop(this.#lateness);
      return;
    }
    // A commit under way may store the change, or have begun before it.
    if (this.#checks < MAX_CHECKS) return this.expect();
    this.#releaseGivenUp();
    // The end of some responses is never known here, because the server has given up their body.
    if (this.#checks === MAX_CHECKS && this.#areUnreported) this.#warnOfUnsaved();
  }

  #releaseGivenUp(): void {
    this.#checkGivenUp();
    this.#givenUp?.values.release();
    this.#requestSession.changes.releaseGiven();
  }

  #checkGivenUp(): void {
    const { changes, context, request } = this.#requestSession;
    if (!this.#givenUp || !isChangeLost(changes, this.#givenUp.values)) return;
    const { id, userId, values } = this.#givenUp;
    values.restart();
    context.emitter.emit("dropped", { id, userId, reason: "late" });
    const { route } = request;
    warnOnce(
      "SOJOURN_GIVEN_UP_CHANGE",
      route,
      `${route}: an object of session.data was kept over signOut() or reload() and changed after that, and the change is lost: read session.data anew after such a call. If the change is not meant for the session, change a copy`,
    );
  }

  get #lateness(): string {
    const { isAttached } = this.#requestSession.progress;
    return isAttached ? "in a connection that closed before session.save()" : "after its response had ended";
  }

  get areThere(): boolean {
    try {
      return this.#requestSession.changes.hasDataChanges;
    } catch {
      // A value that can't be kept is one that was not there.
      return true;
    }
  }

  /** Of changes that a commit failed to store, its caller or the client was told. */
  get #areUnreported(): boolean {
    return this.areThere && !this.#requestSession.changes.isSetAside;
  }

  /** Reports changes that nobody stores any more. @param when - the end of "The session was changed …". */
  drop(when: string): void {
    this.#requestSession.changes.forget();
    this.#report(when);
  }

  /** The handler changes data that it has kept since before a sign-out or reload(). @throws TypeError before the response. */
  refuseForgotten(): void {
    const { progress } = this.#requestSession;
    if (progress.hasEnded || progress.isWritten) return this.#report(this.#lateness);
    throw new TypeError(
      "These data were given up, by signOut(), reload() or a sign-out elsewhere, and a change of them would be lost: " +
        "read session.data anew",
    );
  }

  #report(when: string): void {
    const { context, id, loaded, request } = this.#requestSession;
    const { route } = request;
    context.emitter.emit("dropped", { id, userId: loaded?.record.userId, reason: "late" });
    warnOnce(
      "SOJOURN_LATE_CHANGE",
      route,
      `${route}: the session was changed ${when}, and the change is lost. Change it before the response, or, where the session is stored already, call await session.save() after the change`,
    );
  }

  #warnOfUnsaved(): void {
    const { route } = this.#requestSession.request;
    warnOnce(
      "SOJOURN_UNSAVED_CHANGE",
      route,
      `${route}: the session was changed while its response was sent, and the response has not ended after a minute. The change is stored at its end, and lost if there is none: call await session.save() after the change`,
    );
  }
}

function isChangeLost(changes: PendingChanges, values: GivenUpValues): boolean {
  try {
    return changes.isChangeLost(values);
  } catch {
    // A cycle, for example: which objects are in it can't be told.
    return false;
  }
}
