import { AsyncLocalStorage } from "node:async_hooks";
import { linkReplacement, type AnyRequest } from "../request/request.ts";
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
 * Gives an inner request the session of the outer one, if it has the same cookie. `false` for another cookie, or none: its
 * caller wants to be somebody else, or nobody.
 */
export function joinOuter<Data extends object>(
  inner: AnyRequest,
  outer: AnyRequest,
  begin: (request: AnyRequest) => Session<Data>,
): boolean {
  const { context, request } = requestSessionOf(begin(outer));
  const tokensOf = (header: string | undefined) => context.cookie.values(header, request.isSecure).join(" ");
  const header = (inner as Request).headers.get("cookie") ?? undefined;
  if (tokensOf(header) !== tokensOf(request.cookieHeader)) return false;
  linkReplacement(inner, outer);
  return true;
}

/** Whether the browser asks for a page that the user may never see. */
export function isPrefetch(request: Request): boolean {
  return request.headers.get("sec-purpose")?.startsWith("prefetch") === true;
}
