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
    return new Promise<T>((resolve, reject) => {
      if (left <= 0 || this.#isOver) return reject(this.#tooLate());
      const timer = setTimeout(() => {
        // A timer may be a little ahead of the clock.
        this.#isOver = true;
        reject(this.#tooLate());
      }, left);
      const failed = (cause: unknown) => {
        clearTimeout(timer);
        reject(new SessionError("ERR_SESSION_STORE", `The session store failed to ${what} a session`, { cause }));
      };
      try {
        question().then((answer) => {
          clearTimeout(timer);
          resolve(answer);
        }, failed);
      } catch (cause) {
        failed(cause);
      }
    });
  }

  #tooLate(): SessionError {
    return new SessionError("ERR_SESSION_STORE", `The session store did not answer within ${this.#limit} ms`);
  }
}
