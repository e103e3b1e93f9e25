/** What every adapter takes. */
export interface AdapterOptions<Request> {
  /**
   * Routes that do not pay for reading the session: `true` for all, or a function that says so of a request. Their
   * handlers call `await session.load()` before they use it. Default: the session is read before every handler, where
   * the request carries a token.
   */
  lazy?: boolean | ((request: Request) => boolean);
}

export function isLazy<Request>({ lazy = false }: AdapterOptions<Request>, request: Request): boolean {
  return typeof lazy === "function" ? lazy(request) : lazy;
}

/** @throws TypeError for an option that no adapter knows. */
export function checkAdapterOptions(options: object, known: readonly string[] = ["lazy"]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`sojourn has no option ${name}; there is ${known.join(", ")}`);
  }
}
