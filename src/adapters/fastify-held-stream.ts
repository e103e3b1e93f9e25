import type { EventEmitter } from "node:events";

/** A body that is a stream and waits until its session is stored. Until it is sent, Fastify does not look after it. */
export class HeldStream {
  readonly #body: Partial<EventEmitter & { destroy(): unknown } & ReadableStream>;
  /** The error of the body, which has nothing to send then. */
  error: Error | undefined;

  constructor(body: object) {
    this.#body = body;
    // Of a file that is missing, for example. An error that nobody listens to ends the process.
    this.#body.on?.("error", (error: Error) => void (this.error ??= error));
  }

  /** Closes what is behind it: it is not sent. */
  discard(): void {
    if (this.#body.destroy) this.#body.destroy();
    // It rejects for a stream that the program reads itself.
    else this.#body.cancel?.().catch(() => {});
  }
}
