import { SessionError } from "./errors.ts";

/**
 * Limits the time that one open or one commit waits for the store. The limit includes retries and the wait for other commits
 * of the same session.
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
   * Runs an operation of the store. A result or an error that arrives after the deadline is ignored.
   *
   * @param what - the verb for the error message, such as "read".
   * @throws {SessionError} `ERR_SESSION_STORE` if the store fails, with its error as the cause, or if the time is over.
   */
  run<T>(what: string, operation: () => Promise<T>): Promise<T> {
    const left = this.#end - performance.now();
    if (left <= 0 || this.#isOver) return Promise.reject(this.#tooLate());
    return withTimeout(operation, left, {
      late: () => {
        // A timer may fire slightly before the clock reaches its time.
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

/** Options of {@link withTimeout}. */
interface TimeoutOptions {
  /** Creates the error for a timeout. Default: an error with the limit in its message. */
  late?(): Error;
  /** Converts the error of an operation that fails. Default: the same error. */
  failed?(cause: unknown): unknown;
  /** Whether the timer keeps the process alive. Default `true`. */
  readonly keepAlive?: boolean;
}

/**
 * Rejects if an operation does not settle within so many milliseconds. A later result is ignored, and a later error causes no
 * unhandled rejection. The operation itself is not cancelled.
 */
export function withTimeout<T>(
  operation: () => PromiseLike<T>,
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
      operation().then((result) => {
        clearTimeout(timer);
        resolve(result);
      }, fail);
    } catch (cause) {
      fail(cause);
    }
  });
}

/** The reason for the error message: some programs, such as Express, print an error without its cause. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  // Node.js throws an AggregateError for a host with several addresses, which may have no message.
  const { code } = cause as { code?: unknown };
  const reason = cause.message || (typeof code === "string" ? code : "");
  return reason && `: ${reason}`;
}
