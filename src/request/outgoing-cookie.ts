import { absoluteEnd } from "../lifecycle/timeouts.ts";
import type { SessionRecord } from "../record/record.ts";
import { signToken, type Token } from "../record/token.ts";
import type { Context } from "../context.ts";
import type { ResponseHeaders } from "./cache-headers.ts";

/** Set-Cookie values, or the token for a header in place of a cookie. */
type Values = readonly string[];

/** Values that are made when the response takes them: the session may still change. */
type ValuesLater = () => Values;

const NONE: Values = [];

/** How a token goes to its client. */
export interface TokenWriter {
  /** Makes the values for the client of a session. */
  issue(context: Context, token: Token, record: SessionRecord, isSecure: boolean): Values | ValuesLater | undefined;
  /** Makes the values that remove the client's token. */
  clear(context: Context, isSecure: boolean): Values | ValuesLater;
  /** Writes the values to the headers, where they do not go into Set-Cookie. @param isRenewal - see {@link OutgoingCookie.isRenewal}. */
  readonly writeHeader?: (headers: ResponseHeaders, values: Values, isRenewal: boolean) => void;
}

/** Writes the token to the cookie. */
export const tokenInCookie: TokenWriter = {
  /** The current key signs the token. */
  issue({ cookie, keyring, timeouts, now }, token, record, isSecure) {
    const lifetime = absoluteEnd(record, timeouts) - now();
    return [cookie.set(signToken(keyring, token), lifetime, isSecure, record.absolute !== undefined)];
  },

  clear: ({ cookie }, isSecure) => [cookie.clear(isSecure)],
};

/** The cookie of one request's response, or the token for the header in place of a cookie. */
export class OutgoingCookie {
  readonly writer: TokenWriter;
  readonly #context: Context;
  #pending: Values | ValuesLater | undefined;
  #written: Values | undefined;
  /** Values that remove the cookies of a former library, once. */
  #former = NONE;
  #isRenewal = false;

  constructor(context: Context, writer: TokenWriter) {
    this.#context = context;
    this.writer = writer;
  }

  /** Stands for the values that wait for the response's headers. Others have taken their place if it is not the same. */
  get pending(): unknown {
    return this.#pending;
  }

  /** The values that were written to the headers last. */
  get written(): Values | undefined {
    return this.#written;
  }

  /** The client's own token stays valid, and the response to its next request has the new one too. */
  get isRenewal(): boolean {
    return this.#isRenewal;
  }

  /** Prepares the cookie of a session. */
  issue(token: Token, record: SessionRecord, isSecure: boolean, isRenewal: boolean): void {
    const values = this.writer.issue(this.#context, token, record, isSecure);
    if (values === undefined) return;
    // The renewal of a token that the client was not sent yet is no renewal for the client.
    const isFirst = this.#pending === undefined && this.#written === undefined;
    this.#isRenewal = isRenewal && (isFirst || this.#isRenewal);
    this.#pending = values;
  }

  /** Prepares the removal of the client's cookie. */
  clear(isSecure: boolean): void {
    this.#pending = this.writer.clear(this.#context, isSecure);
  }

  /** Adds the removal of the cookies of a former library, whatever becomes of the session's own. */
  clearFormer(values: Values): void {
    this.#former = values;
  }

  /** The store has changed a session that its client keeps. */
  replace(values: ValuesLater): void {
    this.#pending = values;
  }

  /** No response may carry the cookie any more. */
  withdraw(): void {
    this.#pending = this.#written = undefined;
    this.#former = NONE;
  }

  /** Gives the pending values to the headers that are written now. */
  take(): Values | undefined {
    const values = this.#pending;
    if (values === undefined && this.#former.length === 0) return undefined;
    const own = typeof values === "function" ? values() : (values ?? []);
    this.#written = this.#former.length > 0 ? [...own, ...this.#former] : own;
    this.#pending = undefined;
    this.#former = NONE;
    return this.#written;
  }

  /** Another response takes the place of the one that has the cookie. */
  repeat(): void {
    this.#pending ??= this.#written;
  }
}
