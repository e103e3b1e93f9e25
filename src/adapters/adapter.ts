import { checkOptions, type OptionNames } from "../checks.ts";
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
export type Begin<Request> = (session: Session, request: Request) => Promise<unknown> | undefined;

/** The options that every adapter takes; an adapter adds its own. */
export const ADAPTER_OPTIONS: OptionNames<AdapterOptions<never>> = { lazy: true, passive: true, personal: true };

/** @throws TypeError for an option that the adapter doesn't know. */
export function resolveAdapterOptions<Request, Options extends object>(
  options: AdapterOptions<Request> & Options,
  names: OptionNames<Options>,
): Begin<Request> {
  checkOptions<Options>("sojourn", options, names);
  const { lazy = false, passive, personal = false } = options;
  const holds = (option: boolean | ((request: Request) => boolean), request: Request) =>
    typeof option === "function" ? option(request) : option;

  return (session, request) => {
    if (passive) session.passive = passive(request);
    if (holds(personal, request)) requestSessionOf(session).markAccessed();
    if (session.isLoaded || holds(lazy, request)) return undefined;
    return session.load();
  };
}

/** Whether this adapter is the outermost of a request's, and so in charge of its response. */
export function claim(session: Session): boolean {
  return requestSessionOf(session).claim();
}

/**
 * What tells of a response's end, where a server of fetch handlers passes it beside the request: @hono/node-server has
 * the response of node:http, Deno a promise.
 */
export function responseBehind(beside: unknown): Closing | undefined {
  const { outgoing, completed } = (beside ?? {}) as { outgoing?: Partial<Closing>; completed?: unknown };
  if (typeof outgoing?.once === "function") return outgoing as Closing;
  if (!(completed instanceof Promise)) return undefined;
  return { once: (_event, listener) => void completed.then(listener, listener) };
}

/** What tells of a response that could not be given, and must not get into the error's. */
export function tellsOfResponse(header: string): boolean {
  return /^(content-.*|etag|expires|last-modified|link|location|refresh|set-cookie)$/.test(header);
}
