import type { Session } from "../session.ts";
import type { ResponseHeaders } from "./cache-headers.ts";
import type { AnyRequest } from "./request.ts";

/** Lets sessions come in the header `Authorization: Bearer`. `bearerTokens()` of "sojourn/bearer" makes it. */
export interface BearerTokens {
  /** For adapters: takes the token of a request from the header. A rejection refuses a request that has two tokens. */
  begin<Data extends object>(request: AnyRequest, session: Session<Data>): Promise<never> | undefined;
}

/** One request whose session may come in the header. Its class is in "sojourn/bearer", so that nobody else loads it. */
export interface BearerRequest {
  readonly tokens: BearerTokens;
  /** The headers of the request that the response depends on, for `Vary`. */
  readonly vary: string;
  /** The header has an authentic token, and no cookie counts: no page of another origin has made a browser send this. */
  readonly isProven: boolean;
  /** Adds to an error the headers that its response needs. @param maxAge - the seconds that a sign-in may be old. */
  explain<Thrown>(error: Thrown, maxAge?: number): Thrown;
  /** Says how to sign in, on a response with 401. */
  challenge(headers: ResponseHeaders): void;
}

/** The header of a response that carries a token to a native client. */
export const TOKEN_HEADER = "Session-Token";

/**
 * Checks the option `bearer` of an adapter or a call.
 *
 * @param call - for the message of an error.
 * @throws TypeError for anything but what `bearerTokens` made.
 */
export function expectBearer(call: string, bearer: BearerTokens | null): BearerTokens {
  if (typeof (bearer as Partial<BearerTokens> | null)?.begin === "function") return bearer!;
  throw new TypeError(`${call}: bearer takes bearerTokens() of "sojourn/bearer"`);
}
