import type { Closing } from "../request/request.ts";
import { requestSessionOf, type Session } from "../session.ts";

/** What every adapter takes. Of adapters that are mounted within another, for some routes, each one's options hold there. */
export interface AdapterOptions<Request> {
  /**
   * Routes that do not pay for reading the session: `true` for all, or a function that says so of a request. Their
   * handlers call `await session.load()` before they use it. Default: the session is read before every handler, where
   * the request carries a token.
   */
  lazy?: boolean | ((request: Request) => boolean);
  /** Requests that are no sign of life, such as polling: they read their session without extending it. Default: none. */
  passive?: (request: Request) => boolean;
  /**
   * Routes that may look at the session for the first time when the response is under way (streamed rendering): `true` for
   * all, or a function that says so of a request. Caches are told from the start that their pages depend on it. Default:
   * none, and such a look throws.
   */
  personal?: boolean | ((request: Request) => boolean);
}

/** Prepares the session of a request; the promise of its being read, where it has to be. */
export type Prepare<Request> = (session: Session, request: Request) => Promise<unknown> | undefined;

/** @throws TypeError for an option that no adapter knows. */
export function resolveAdapterOptions<Request>(options: AdapterOptions<Request>, ...more: string[]): Prepare<Request> {
  const known = ["lazy", "passive", "personal", ...more];
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`sojourn has no option ${name}; there is ${known.join(", ")}`);
  }
  const { lazy = false, passive, personal = false } = options;
  const isTrueFor = (option: boolean | ((request: Request) => boolean), request: Request) =>
    typeof option === "function" ? option(request) : option;

  return (session, request) => {
    if (passive) session.passive = passive(request);
    if (isTrueFor(personal, request)) requestSessionOf(session).accessed = true;
    if (session.isLoaded || isTrueFor(lazy, request)) return undefined;
    return session.load();
  };
}

/** Whether this adapter is the outermost of a request's, and so in charge of its response. */
export function claimResponse(session: Session): boolean {
  const requestSession = requestSessionOf(session);
  if (requestSession.claimed) return false;
  requestSession.claimed = true;
  return true;
}

/**
 * What tells of a response's end, where a server of fetch handlers passes it beside the request: @hono/node-server has
 * the response of node:http, Deno a promise.
 */
export function findResponse(serverArgument: unknown): Closing | undefined {
  const { outgoing, completed } = (serverArgument ?? {}) as { outgoing?: Partial<Closing>; completed?: unknown };
  if (typeof outgoing?.once === "function") return outgoing as Closing;
  if (!(completed instanceof Promise)) return undefined;
  return { once: (_event, listener) => void completed.then(listener, listener) };
}

/** What tells of a response that could not be given, and must not get into the error's. */
export function isBoundToResponse(header: string): boolean {
  return /^(content-.*|etag|expires|last-modified|link|location|refresh|set-cookie)$/.test(header);
}
