import type { Session } from "../session.ts";

/** What every adapter takes. */
export interface AdapterOptions<Request> {
  /**
   * Routes that do not pay for reading the session: `true` for all, or a function that says so of a request. Their
   * handlers call `await session.load()` before they use it. Default: the session is read before every handler, where
   * the request carries a token.
   */
  lazy?: boolean | ((request: Request) => boolean);
  /** Requests that are no sign of life, such as polling: they read their session without extending it. Default: none. */
  passive?: (request: Request) => boolean;
}

/** Prepares the session of a request; the promise of its being read, where it has to be. */
export function begin<Request>(
  session: Session,
  options: AdapterOptions<Request>,
  request: Request,
): Promise<unknown> | undefined {
  const { lazy = false, passive } = options;
  if (passive?.(request)) session.passive = true;
  if (session.isLoaded || (typeof lazy === "function" ? lazy(request) : lazy)) return undefined;
  return session.load();
}

/** What tells of a response that could not be given, and must not get into the error's. */
export function tellsOfResponse(header: string): boolean {
  return /^(content-.*|etag|expires|last-modified|link|location|refresh|set-cookie)$/.test(header);
}

/** @throws TypeError for an option that no adapter knows. */
export function checkAdapterOptions(options: object, ...more: string[]): void {
  const known = ["lazy", "passive", ...more];
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`sojourn has no option ${name}; there is ${known.join(", ")}`);
  }
}
