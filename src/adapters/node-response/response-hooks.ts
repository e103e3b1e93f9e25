import type { ServerResponse } from "node:http";

/** The functions that `delayResponse` calls for one response. */
export interface ResponseHooks {
  /**
   * Called once, synchronously, before the headers are sent. The headers that the program passed to `writeHead` are set
   * on `res` already.
   *
   * Returns `undefined` to send the response at once. Returns a promise to delay the response until it is fulfilled. If
   * it is fulfilled with a function, that is called first, to set headers that were not known before. In between,
   * `res.setHeader` throws, as it does after the headers were sent.
   *
   * Add a cookie with `setHeader` and a new array: `appendHeader` would push it into an array that the program may
   * share between responses.
   */
  beforeHeaders(res: ServerResponse): Promise<(() => void) | void> | undefined;
  /**
   * Called when the response ends by another call than the one that sent its headers. The last byte waits for the promise,
   * also where the headers declare a length. A failure keeps the response from looking complete.
   */
  beforeEnd?(): Promise<void> | undefined;
  /** Asked when the headers are sent: whether `beforeEnd` could have something to do. Default: yes. */
  expectsEnd?(): boolean;
  /**
   * Called if the response can't be sent, while it is still delayed. What follows waits for the promise, which must not
   * reject.
   */
  prepareFailure?(): Promise<void> | undefined;
  /** Sets the headers of the error response, after `res` was reset and before `onFailure`. */
  beforeFailure?(): void;
  /**
   * Called if the response can't be sent. If `res.headersSent` is false, `res` was reset, and takes an error response,
   * which is sent without delay. If it is true, a part of the response was sent, and it is aborted after this call. If
   * it throws, that is logged, and the response is aborted: nobody else would catch it.
   */
  onFailure(error: unknown): void;
}
