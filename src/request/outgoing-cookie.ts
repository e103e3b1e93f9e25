import { absoluteEnd } from "../lifecycle/timeouts.ts";
import type { SessionRecord } from "../record/record.ts";
import { signToken, type Token } from "../record/token.ts";
import type { Context } from "../context.ts";

/** The Set-Cookie value of one request's response. */
export class OutgoingCookie {
  readonly #context: Context;
  #pending: string | undefined;
  #written: string | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** The value that waits for the response's headers. */
  get pending(): string | undefined {
    return this.#pending;
  }

  /** The value that was written to the headers last. */
  get written(): string | undefined {
    return this.#written;
  }

  /** Prepares a cookie with a token, signed by the current key. */
  issue(token: Token, record: SessionRecord, isSecure: boolean): void {
    const { cookie, keyring, timeouts, now } = this.#context;
    const lifetime = absoluteEnd(record, timeouts) - now();
    this.#pending = cookie.set(signToken(keyring, token), lifetime, isSecure, record.absolute !== undefined);
  }

  /** Prepares the removal of the client's cookie. */
  clear(isSecure: boolean): void {
    this.#pending = this.#context.cookie.clear(isSecure);
  }

  /** No response may carry the cookie any more. */
  withdraw(): void {
    this.#pending = this.#written = undefined;
  }

  /** Gives the pending value to the headers that are written now. */
  take(): string | undefined {
    const cookie = this.#pending;
    if (cookie === undefined) return undefined;
    this.#pending = undefined;
    this.#written = cookie;
    return cookie;
  }

  /** Another response takes the place of the one that has the cookie. */
  repeat(): void {
    this.#pending ??= this.#written;
  }
}
