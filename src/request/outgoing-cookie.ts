import { absoluteEnd } from "../lifecycle/timeouts.ts";
import type { SessionRecord } from "../record/record.ts";
import { signToken, type Token } from "../record/token.ts";
import type { Context } from "../context.ts";
import type { ResponseHeaders } from "./cache-headers.ts";

/** The Set-Cookie values of one request's response, or the token for the header in place of a cookie. */
export interface OutgoingCookie {
  /** Stands for the values that wait for the response's headers. Another one has taken its place if it is not the same. */
  readonly pending: unknown;
  /** The values that were written to the headers last. */
  readonly written: readonly string[] | undefined;
  /** Prepares the cookie of a session. */
  issue(token: Token, record: SessionRecord, isSecure: boolean): void;
  /** Prepares the removal of the client's cookie. */
  clear(isSecure: boolean): void;
  withdraw(): void;
  /** Gives the pending values to the headers that are written now. */
  take(): readonly string[] | undefined;
  /** Another response takes the place of the one that has the cookie. */
  repeat(): void;
  /** Writes what {@link take} gave, where it does not go into Set-Cookie. */
  write?(headers: ResponseHeaders, values: readonly string[]): void;
}

/** The cookie that carries a token. */
export class TokenCookie implements OutgoingCookie {
  readonly #context: Context;
  #pending: readonly string[] | undefined;
  #written: readonly string[] | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  get pending(): unknown {
    return this.#pending;
  }

  get written(): readonly string[] | undefined {
    return this.#written;
  }

  /** The current key signs the token. */
  issue(token: Token, record: SessionRecord, isSecure: boolean): void {
    const { cookie, keyring, timeouts, now } = this.#context;
    const lifetime = absoluteEnd(record, timeouts) - now();
    this.#pending = [cookie.set(signToken(keyring, token), lifetime, isSecure, record.absolute !== undefined)];
  }

  clear(isSecure: boolean): void {
    this.#pending = [this.#context.cookie.clear(isSecure)];
  }

  /** No response may carry the cookie any more. */
  withdraw(): void {
    this.#pending = this.#written = undefined;
  }

  take(): readonly string[] | undefined {
    const cookie = this.#pending;
    if (cookie === undefined) return undefined;
    this.#pending = undefined;
    this.#written = cookie;
    return cookie;
  }

  repeat(): void {
    this.#pending ??= this.#written;
  }
}
