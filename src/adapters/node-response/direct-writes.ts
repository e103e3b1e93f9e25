import type { ServerResponse } from "node:http";
import type { ResponseProgress } from "../../request/response-progress.ts";
import { requestSessionOf } from "../../request/session-handle.ts";
import type { Session } from "../../session.ts";

type Methods = Record<"writeHead" | "write" | "end" | "flushHeaders", (...args: unknown[]) => unknown>;

/** Where a response has what watches it. */
const WATCHED = Symbol("sojourn.directWrites");
type Watched = Methods & { [WATCHED]: DirectWrites };

/**
 * Watches a response of a framework whose adapter commits the session in a hook before the headers: a program may write to the
 * response past the framework.
 *
 * @param hold - is called before such a write. It makes the response wait for its session, by `storeBeforeHeaders`.
 */
export function watchDirectWrites<Data extends object>(
  session: Session<Data>,
  res: ServerResponse,
  hold: () => void,
): void {
  const { progress } = requestSessionOf(session);
  progress.beforeHeaders = new DirectWrites(res, progress, hold);
}

/** Whether {@link watchDirectWrites} was called for a session. */
export function isWatchingDirectWrites<Data extends object>(session: Session<Data>): boolean {
  return requestSessionOf(session).progress.beforeHeaders !== undefined;
}

/**
 * Finds out that the headers of a response are about to leave while its session is not committed: a program writes to it past
 * its framework, or has changed the session since the framework's last hook that we know of.
 */
class DirectWrites {
  readonly #res: Watched;
  readonly #progress: ResponseProgress;
  readonly #hold: () => void;
  /** The response's own methods. Later those that hold it back. */
  #methods: Methods | undefined;
  #isHeld = false;

  /** @param hold - replaces the methods of the response by those that commit the session first. */
  constructor(res: ServerResponse, progress: ResponseProgress, hold: () => void) {
    this.#res = res as unknown as Watched;
    this.#progress = progress;
    this.#hold = hold;
  }

  /** Called at the first use of the session: before it, nothing of the session is in the response. */
  start(): void {
    const res = this.#res;
    if (this.#methods) return;
    this.#methods = { writeHead: res.writeHead, write: res.write, end: res.end, flushHeaders: res.flushHeaders };
    res[WATCHED] = this;
    // Object.assign would cost nearly twice as much.
    res.writeHead = WATCHING.writeHead;
    res.write = WATCHING.write;
    res.end = WATCHING.end;
    res.flushHeaders = WATCHING.flushHeaders;
  }

  method(name: keyof Methods): Methods[keyof Methods] {
    // The framework has sent a response, which waits for its session: these bytes would leave before that.
    if (this.#progress.isCommitting && !this.#isHeld) return refuse;
    if (this.#progress.canSetCookie && !this.#isHeld) this.#holdBelow();
    return this.#methods![name];
  }

  /** What others have put over our methods goes on calling them, and must not be called by them once more. */
  #holdBelow(): void {
    const res = this.#res;
    this.#isHeld = true;
    const { writeHead, write, end, flushHeaders } = res;
    Object.assign(res, this.#methods);
    this.#hold();
    this.#methods = { writeHead: res.writeHead, write: res.write, end: res.end, flushHeaders: res.flushHeaders };
    Object.assign(res, { writeHead, write, end, flushHeaders });
  }
}

/** Writes nothing, as Node after the end of a response. */
function refuse(this: Watched): Watched {
  return this;
}

/** One set for all responses: closures for each would cost more. */
const WATCHING: Methods & ThisType<Watched> = {
  writeHead(...args) {
    return this[WATCHED].method("writeHead").apply(this, args);
  },
  write(...args) {
    return this[WATCHED].method("write").apply(this, args);
  },
  end(...args) {
    return this[WATCHED].method("end").apply(this, args);
  },
  flushHeaders(...args) {
    return this[WATCHED].method("flushHeaders").apply(this, args);
  },
};
