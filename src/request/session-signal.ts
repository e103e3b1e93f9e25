import type { WatchedSignal } from "../signals.ts";
import type { RequestSession } from "./request-session.ts";

/** A signal that aborts when a request's session ends. It is released when the request's connection is done. */
export class SessionSignal {
  readonly #requestSession: RequestSession;
  #watched: WatchedSignal | undefined;

  constructor(requestSession: RequestSession) {
    this.#requestSession = requestSession;
  }

  get(): AbortSignal {
    return this.#watched?.signal ?? this.#watch();
  }

  #watch(): AbortSignal {
    const { token, progress, context, isSignedOut } = this.#requestSession;
    if (isSignedOut) return AbortSignal.abort();
    // Without a session nothing ends, and after the end nobody listens.
    if (!token || progress.isDisconnected) return new AbortController().signal;
    if (progress.endIsUnknown) {
      throw new TypeError(
        "session.signal was asked for after the response was returned, and nothing tells when that ends: ask for it before",
      );
    }
    this.#watched = context.live.watch(token.id, () => this.#requestSession.token?.epoch);
    progress.onDone(this.#watched.release);
    return this.#watched.signal;
  }

  /** The session has another id from now on. */
  moveTo(id: string): void {
    this.#watched?.moveTo(id);
  }

  /** Nobody listens to the signal any more. */
  release(): void {
    this.#watched?.release();
  }
}
