/** No reply came in time. */
export class NoReply extends Error {
  constructor(timeoutMs: number) {
    super(`no reply within ${timeoutMs} ms`);
  }
}

/**
 * Waits for a promise for a limited time.
 *
 * @param options.keepsAlive - whether the process must not end before then; default `false`
 * @throws {NoReply} when the time is over.
 */
export function withTimeout<T>(promise: Promise<T>, timeoutMs: number, { keepsAlive = false } = {}): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoReply(timeoutMs)), timeoutMs);
    if (!keepsAlive) timer.unref();
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
