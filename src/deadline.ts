import { syncOf, type OperationArguments, type OperationName, type OperationResult } from "./capabilities.ts";
import { SessionError } from "./errors.ts";
import type { SessionStore } from "./store.ts";
import type { Answer } from "./coroutine.ts";

/** The part of a deadline that is added for undoing a step that has failed. */
const UNDO_SHARE = 1 / 4;

/**
 * Limits the time that one open or one commit waits for the store. The limit includes retries and the wait for other
 * commits of the same session. Undoing a step that has failed may take a quarter longer.
 */
export class Deadline {
  readonly #limit: number;
  readonly #end: number;
  #isOver = false;

  #forUndo: Deadline | undefined;

  /** @param limit - in milliseconds. @param end - by `performance.now()`. */
  constructor(limit: number, end = performance.now() + limit) {
    this.#limit = limit;
    this.#end = end;
  }

  /** The same deadline, and a little longer: a step that did not answer in time is undone within it. */
  get forUndo(): Deadline {
    const more = this.#limit * UNDO_SHARE;
    return (this.#forUndo ??= new Deadline(this.#limit + more, this.#end + more));
  }

  /**
   * Runs an operation of the store. A result or an error that arrives after the deadline is ignored.
   *
   * @param what - the verb for the error message, such as "read".
   * @throws SessionError `ERR_SESSION_STORE` if the store fails, with its error as the cause, or if the time is over.
   */
  run<T>(what: string, operation: () => Promise<T>): Promise<T> {
    const left = this.#left;
    if (left <= 0) return Promise.reject(this.#tooLate());
    return withTimeout(operation, left, {
      late: () => {
        // A timer may fire slightly before the clock reaches its time.
        this.#isOver = true;
        return this.#tooLate();
      },
      failed: (cause) => failureOf(what, cause),
    });
  }

  /**
   * Calls an operation of the store as `run` does. One that can answer at once needs no promise and no timer.
   *
   * @throws SessionError `ERR_SESSION_STORE`, only by the promise.
   */
  ask<Name extends OperationName>(
    store: SessionStore,
    name: Name,
    ...args: OperationArguments<Name>
  ): Answer<OperationResult<Name>> {
    const operation = store[name] as (...given: unknown[]) => Promise<OperationResult<Name>>;
    const sync = syncOf(store, name);
    if (!sync) return this.run(name, () => operation.apply(store, args));
    if (this.#left <= 0) return Promise.reject(this.#tooLate());
    try {
      return sync.apply(store, args);
    } catch (cause) {
      return Promise.reject(failureOf(name, cause));
    }
  }

  /** The milliseconds that are left. */
  get #left(): number {
    return this.#isOver ? 0 : this.#end - performance.now();
  }

  #tooLate(): SessionError {
    return new SessionError("ERR_SESSION_STORE", `The session store did not answer within ${this.#limit} ms`);
  }
}

function failureOf(what: string, cause: unknown): SessionError {
  // A store whose sessions are in cookies tells itself whether one is too large, or a revocation damaged.
  if (cause instanceof SessionError) return cause;
  const message = `The session store failed to ${what} a session${reasonOf(cause)}`;
  return new SessionError("ERR_SESSION_STORE", message, { cause });
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
