import type { Context } from "../context.ts";
import type { Timeouts } from "../lifecycle/timeouts.ts";
import type { SessionsOptions } from "../options.ts";
import type { SessionStore } from "../store.ts";
import type { UserOperations } from "../users.ts";
import type { SessionCookie } from "./cookie.ts";
import type { OutgoingCookie } from "./outgoing-cookie.ts";
import type { PresentedLater } from "./presented-tokens.ts";

/** What one request has to do with a session that its client keeps. */
interface ClientHeld {
  /** Answers from the cookies of the request. What is written to it goes into the cookie of the response. */
  readonly store: SessionStore;
  readonly cookie: OutgoingCookie;
  /**
   * Decrypts the cookies and gives their authentic tokens. `undefined` for a request without such cookies. A route that does
   * not look at its session costs no decryption.
   */
  readonly presented: PresentedLater | undefined;
}

/** The part of a store that keeps each session with its client. Its operations on users need a server's memory. */
export interface ClientSide extends UserOperations {
  begin(context: Context, header: string | undefined, isSecure: boolean): ClientHeld;
  /** @throws TypeError for a call that needs the sessions on a server. */
  refuse(call: string): never;
  /** Whether a server keeps what was signed out or revoked. */
  readonly hasRevocations: boolean;
  /** @throws TypeError for a call that can't hold without revocations. */
  requireRevocations(call: string): void;
}

/** A store whose sessions are kept by their clients. */
export interface ClientSideStore extends SessionStore {
  /** @throws TypeError for an option of the application that can't hold without a server's memory. */
  clientSide(options: SessionsOptions, cookie: SessionCookie, timeouts: Timeouts): ClientSide;
}
