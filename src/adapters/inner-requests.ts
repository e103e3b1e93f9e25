import { AsyncLocalStorage } from "node:async_hooks";
import { linkReplacement, requestHeader, type AnyRequest } from "../request/request.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { Session } from "../session.ts";

interface Outer {
  readonly request: AnyRequest;
  /** An object of the framework that belongs to the request. */
  readonly key: object;
}

/** Knows within which request of a client a framework makes another one: for an internal fetch, or to render another page. */
const outers = new AsyncLocalStorage<Outer>();

/** Calls a function. Requests that the framework makes within it can be linked to this one. */
export function runWithin<Result>(request: AnyRequest, key: object, callback: () => Result): Result {
  return outers.run({ request, key }, callback);
}

/** The request within which this one is made. */
export function outerRequest(): Outer | undefined {
  return outers.getStore();
}

/**
 * Gives an inner request the session of the outer one, if it has the same token. `false` for another one, or none: its
 * caller wants to be somebody else, or nobody.
 */
export function joinOuter<Data extends object>(
  inner: Request,
  outer: AnyRequest,
  begin: (request: AnyRequest) => Session<Data>,
): boolean {
  const { context, request, bearer } = requestSessionOf(begin(outer));
  const tokensIn = (cookie: string | undefined) => context.cookie.values(cookie, request.isSecure).join(" ");
  const header = (name: string) => inner.headers.get(name) ?? undefined;
  if (tokensIn(header("cookie")) !== tokensIn(request.cookieHeader)) return false;
  if (bearer && header("authorization") !== requestHeader(outer, "authorization")) return false;
  linkReplacement(inner, outer);
  return true;
}
