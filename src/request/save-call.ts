/** A call of `save()`. */
export interface SaveCall {
  /** Somebody has looked at its promise, and deals with a failure. */
  isAwaited: boolean;
  /** A response is to come, which fails if it can't store the changes either. */
  isLeftToResponse: boolean;
}

/**
 * The promise of `save()`. A failure that nobody looks at is the response's, and must not end the process as an unhandled
 * rejection.
 */
export class SaveOutcome extends Promise<void> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static of(save: (call: SaveCall) => Promise<void>): Promise<void> {
    const call = { isAwaited: false, isLeftToResponse: false };
    const saving = save(call);
    const outcome = new SaveOutcome((resolve) => resolve(saving));
    outcome.#call = call;
    saving.catch(() => {
      if (call.isLeftToResponse) void Promise.prototype.then.call(outcome, undefined, () => {});
    });
    return outcome;
  }

  #call: SaveCall | undefined;

  // oxlint-disable-next-line unicorn/no-thenable -- it is a promise, which notices this call
  override then<A = void, B = never>(
    onFulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (this.#call) this.#call.isAwaited = true;
    return super.then(onFulfilled, onRejected);
  }
}
