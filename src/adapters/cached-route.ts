/** Refuses the session of one user where a response is made that Nitro keeps for all. */
export function refuseCached(): never {
  throw new TypeError(
    "A session was used on a route whose response Nitro keeps for everybody: leave `cache`, `swr` and `isr` out of its route rules, or use the session on a route beside it, which the page fetches",
  );
}

/**
 * Refuses a session where Nitro 3 makes a response for its cache: it replaces the request by one that has only the headers by
 * which it finds the response again. Middleware such as `bodyLimit` replaces it by one that has them all.
 *
 * @param credentials - the headers that name a session.
 */
export function checkUnkept(request: Request, present: Request, credentials: readonly string[]): void {
  if (present === request) return;
  const { headers } = request;
  if (credentials.some((name) => present.headers.get(name) !== headers.get(name))) refuseCached();
  // A response that is found by the credentials is nobody else's. That of a visitor without any is for all visitors.
  if (credentials.some((name) => headers.has(name))) return;
  for (const name of headers.keys()) if (!present.headers.has(name)) refuseCached();
}
