import { commit } from "../lifecycle/commit.ts";
import { beginsAfterEnd, needsCookie, planOf } from "../lifecycle/plan.ts";
import { finishResponse } from "./finish-response.ts";
import type { RequestSession } from "./request-session.ts";
import { requestSignOut } from "./sign-in-and-out.ts";

/** Time until changes in place of objects that a handler keeps are first looked for: nothing else tells of them. */
const FIRST_PAUSE_MS = 1000;

/** The pauses between such looks double up to this one, so that the last look comes a good minute after the first use. */
const LAST_PAUSE_MS = 32_000;

/**
 * Stores the changes of a request whose response closes before its end, because the client has gone or the handler has
 * destroyed it. Nothing else would: many handlers end no response then.
 */
export class ClosedResponse {
  readonly #requestSession: RequestSession;
  #isClosed = false;
  #isDue = false;
  #look: NodeJS.Timeout | undefined;

  constructor(requestSession: RequestSession) {
    this.#requestSession = requestSession;
    const { progress } = requestSession;
    if (progress.isDisconnected) {
      // No event follows. The caller is about to change something.
      this.#isClosed = true;
      this.note();
    } else progress.onDone(() => this.#close());
  }

  /** The handler asks for something more. */
  note(): void {
    if (!this.#isClosed) return;
    this.#storeSoon();
    this.#lookAfter(FIRST_PAUSE_MS);
  }

  #close(): void {
    this.#isClosed = true;
    const { changes, progress } = this.#requestSession;
    if (progress.hasEndedItself) return;
    void this.#store();
    if (progress.canSetCookie && changes.hasGivenObjects) this.#lookAfter(FIRST_PAUSE_MS);
  }

  /** The handler may be about to end the response, which stores the changes as well. */
  #storeSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => {
      this.#isDue = false;
      void this.#store();
    }, 0);
  }

  /** Looks for changes in place, and again later, for as long as a handler may work on. A new use begins anew. */
  #lookAfter(pause: number): void {
    clearTimeout(this.#look);
    this.#look = setTimeout(() => {
      if (this.#requestSession.progress.hasEndedItself) return;
      void this.#store();
      if (pause < LAST_PAUSE_MS) this.#lookAfter(pause * 2);
    }, pause);
    this.#look.unref?.();
  }

  async #store(): Promise<void> {
    const requestSession = this.#requestSession;
    const { progress, changes, context } = requestSession;
    while (requestSession.committing) await requestSession.committing.catch(() => {});
    // Otherwise the response's own end has stored them, or a connection of its own is left to save().
    if (progress.hasEndedItself || progress.isAttached || !requestSession.isLoaded || changes.isSetAside) return;
    try {
      if (!progress.canSetCookie) return await finishResponse(requestSession);
      changes.dropSetAside();
      dropUndeliverable(requestSession);
      if (changes.isAnythingRequested || changes.hasDataChanges) await commit(requestSession, "save");
    } catch (error) {
      context.emitter.emit("error", { id: requestSession.presentedId, error });
      drop(requestSession);
    }
  }
}

/**
 * Drops the changes that give the client a new cookie, since no response can bring it: as if the request had not come. The
 * client's session stays as it is, and no token is left behind that nobody has.
 *
 * @returns whether something was dropped.
 */
export function dropUndeliverable(requestSession: RequestSession): boolean {
  if (!isUndeliverable(requestSession)) return false;
  drop(requestSession);
  return true;
}

function isUndeliverable(requestSession: RequestSession): boolean {
  const { changes, context } = requestSession;
  try {
    if (!changes.isAnythingRequested && !changes.hasDataChanges) return false;
    const next = planOf(requestSession, false);
    if (next !== "delete") return needsCookie(next, changes, context);
    // The cookie itself is the session, where nothing on the server says that it has ended.
    return context.clientSide?.hasRevocations === false || beginsAfterEnd(changes);
  } catch {
    // A value that can't be kept: the commit says so.
    return false;
  }
}

/** A sign-out stays, where a server knows of it. It may have come while a commit was under way, whose failure is no failure of it. */
function drop(requestSession: RequestSession): void {
  const { changes, context, presentedId, loaded } = requestSession;
  const { signIn, signOut } = changes.requested;
  if (signIn) context.moves.delete(signIn.id);
  changes.forget();
  context.emitter.emit("dropped", { id: presentedId, userId: loaded?.record.userId, reason: "disconnected" });
  if (signOut && context.clientSide?.hasRevocations !== false) requestSignOut(requestSession);
}
