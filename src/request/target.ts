import { innermost, type AnyRequest } from "./request.ts";

/**
 * The path and the query of a request as the client has sent them: neither decoded nor normalised, and whole also where an
 * application is mounted in another. Of node:http it may be a whole URL, which clients send to proxies.
 */
export function targetOf(request: AnyRequest): string {
  const inner = innermost(request) as { readonly originalUrl?: string; readonly url?: string };
  const url = inner.originalUrl ?? inner.url ?? "";
  // A server may give a fetch request the URL as it came, so it is not parsed here.
  return "socket" in inner ? url : url.replace(/^https?:\/\/[^/?#\\]*/i, "");
}

/** The path alone. */
export function pathOf(request: AnyRequest): string {
  return targetOf(request).split("?", 1)[0]!;
}
