import { SessionError } from "./errors.ts";

/**
 * The wait for a store, bounded for everything that one open or one commit asks of it, retries and the wait for other
 * commits of the same session included.
 */
export class Deadline {
  readonly #limit: number;
  readonly #end: number;
  #isOver = false;

  /** @param limit - in milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
    this.#end = performance.now() + limit;
  }

  /**
   * The store's answer. An answer that comes too late is taken and forgotten, be it a failure.
   *
   * @throws SessionError ERR_SESSION_STORE when the store fails, with its error as the cause, and when time is up.
   */
  run<T>(what: string, question: () => Promise<T>): Promise<T> {
    const left = this.#end - performance.now();
    if (left <= 0 || this.#isOver) return Promise.reject(this.#tooLate());
    return withTimeout(question, left, {
      late: () => {
        // A timer may be a little ahead of the clock.
        this.#isOver = true;
        return this.#tooLate();
      },
      failed: (cause) =>
        new SessionError("ERR_SESSION_STORE", `The session store failed to ${what} a session${reasonOf(cause)}`, {
          cause,
        }),
    });
  }

  #tooLate(): SessionError {
    return new SessionError("ERR_SESSION_STORE", `The session store did not answer within ${this.#limit} ms`);
  }
}

/** The errors of {@link withTimeout}, and whether it keeps the process alive. */
interface TimeoutOptions {
  /** The error for an answer that is late. Default: one that says for how long it was waited for. */
  late?(): Error;
  /** The error for a question that fails. Default: its own. */
  failed?(cause: unknown): unknown;
  /** Whether the process stays alive until then. Default `true`. */
  readonly keepAlive?: boolean;
}

/**
 * An answer that comes within so many milliseconds. The answer that is late is dropped, and so is its failure: nothing
 * stays unhandled. The question itself is not cancelled.
 */
export function withTimeout<T>(
  question: () => PromiseLike<T>,
  milliseconds: number,
  { late, failed = (cause) => cause, keepAlive = true }: TimeoutOptions = {},
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(late ? late() : new Error(`no answer within ${milliseconds} ms`));
    }, milliseconds);
    if (!keepAlive) timer.unref();
    const fail = (cause: unknown) => {
      clearTimeout(timer);
      reject(failed(cause));
    };
    try {
      question().then((answer) => {
        clearTimeout(timer);
        resolve(answer);
      }, fail);
    } catch (cause) {
      fail(cause);
    }
  });
}

/** In the message too: Express, for one, prints an error without its cause. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  // An AggregateError, as Node throws it for a host with several addresses, may have no message.
  const { code } = cause as { code?: unknown };
  const reason = cause.message || (typeof code === "string" ? code : "");
  return reason && `: ${reason}`;
}
