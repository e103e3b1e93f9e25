import type { Closing } from "../request/request.ts";
import { requestSessionOf, type Session } from "../session.ts";

/**
 * The options of every adapter. Where an adapter is mounted within another for some routes, the options of both hold
 * there.
 */
export interface AdapterOptions<Request> {
  /**
   * Leaves out reading the session before the handler: `true` for every route, or a function that decides for a
   * request. The handler calls `await session.load()` before it uses the session. Default `false`: the session is read
   * before every handler, if the request carries a token.
   */
  lazy?: boolean | ((request: Request) => boolean);
  /**
   * Decides whether a request, such as polling, reads its session without extending it. Default: every request extends
   * it.
   */
  passive?: (request: Request) => boolean;
  /**
   * Allows the first access to the session after the headers were sent (streamed rendering): `true` for every route, or
   * a function that decides for a request. The headers then say from the start that the page depends on the session.
   * Default `false`: such an access throws.
   */
  personal?: boolean | ((request: Request) => boolean);
}

/** Applies the options to a request's session. Returns a promise if the session has to be read first. */
export type Prepare<Request> = (session: Session, request: Request) => Promise<unknown> | undefined;

/** @throws {TypeError} for an unknown option. */
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

/**
 * Takes charge of the response. `true` for the first adapter that asks, which is the outermost one; `false` for the
 * others.
 */
export function claimResponse(session: Session): boolean {
  const requestSession = requestSessionOf(session);
  if (requestSession.claimed) return false;
  requestSession.claimed = true;
  return true;
}

/**
 * Finds the object that reports the end of the response. Servers pass it to fetch handlers beside the request:
 * @hono/node-server passes the response of node:http, Deno a promise.
 */
export function findResponse(serverArgument: unknown): Closing | undefined {
  const { outgoing, completed } = (serverArgument ?? {}) as { outgoing?: Partial<Closing>; completed?: unknown };
  if (typeof outgoing?.once === "function") return outgoing as Closing;
  if (!(completed instanceof Promise)) return undefined;
  return { once: (_event, listener) => void completed.then(listener, listener) };
}

/** Whether a header describes one response, so that it must not stay on the error response that replaces it. */
export function isBoundToResponse(header: string): boolean {
  return /^(content-.*|etag|expires|last-modified|link|location|refresh|set-cookie)$/.test(header);
}
