// A history: what clients asked of the servers, when, and what they were told. It knows nothing of stores.

/**
 * `ok`: acknowledged. `failed`: refused, so that it has had no effect and will have none. `unknown`: the answer was lost, or
 * was a 503; it may have had its effect, may still have it, or never.
 */
export type Outcome = "ok" | "failed" | "unknown";

/** Elements are appended to an array, added to a Set, or set as a Map's key. Each is asked for once in a whole history. */
export type Container = "list" | "set" | "map";
export const CONTAINERS: readonly Container[] = ["list", "set", "map"];

/** What a read has shown. */
export type Seen = { readonly count: number } & Readonly<Record<Container, readonly string[]>>;

interface Timed {
  /** When the client has sent the request. */
  readonly began: number;
  /** When the client has seen the first byte of the answer, or has given up. */
  readonly ended: number;
  readonly outcome: Outcome;
  /** The answer's status, if there was an answer. It is for whoever reads the history. */
  readonly status?: number | undefined;
}

/** A request with the cookie of a session. */
export interface SessionRequest extends Timed {
  readonly kind: "sign-in" | "add" | "count" | "read" | "sign-out";
  /** The client's name for a session: from its first sign-in to its end, over later sign-ins and rotations. */
  readonly session: string;
  /** How many sign-ins had been acknowledged to the client when it got the cookie that it sent. 0: it sent none. */
  readonly generation: number;
  /** The how-manieth different cookie of the session the client sent. */
  readonly cookie: number;
  /** Of a sign-in: the user. Of what is `ok` otherwise: the user that the server took the client for. */
  readonly user?: string | undefined;
  /** Of a sign-in that is `ok`: the public id that the session has from then on. */
  readonly id?: string | undefined;
  /** The server answered that nobody is signed in. The outcome is `failed`. */
  readonly signedOut?: true | undefined;
  readonly container?: Container | undefined;
  readonly element?: string | undefined;
  readonly seen?: Seen | undefined;
}

interface Revocation extends Timed {
  readonly kind: "revoke";
  readonly session: string;
}

export interface RevocationOfAll extends Timed {
  readonly kind: "revoke-all";
  readonly user: string;
}

export interface Listing extends Timed {
  readonly kind: "list";
  readonly user: string;
  readonly ids: readonly string[];
}

export type Operation = SessionRequest | Revocation | RevocationOfAll | Listing;

export function isSessionRequest(operation: Operation): operation is SessionRequest {
  return operation.kind !== "revoke" && operation.kind !== "revoke-all" && operation.kind !== "list";
}
