import type { IncomingHttpHeaders } from "node:http";

/** A request of any framework: what Sojourn needs of a `Request`, an `IncomingMessage` or a wrapper around one. */
export type AnyRequest = FetchRequest | NodeRequest | { readonly raw: FetchRequest | NodeRequest };

interface FetchRequest {
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

interface NodeRequest {
  readonly headers: IncomingHttpHeaders;
  readonly socket: object;
}

/** The request that a framework's own object wraps: the one object that all of its layers share. */
export function innermost(request: AnyRequest): FetchRequest | NodeRequest {
  return "raw" in request ? request.raw : request;
}

function isFetch(request: FetchRequest | NodeRequest): request is FetchRequest {
  return typeof (request.headers as { get?: unknown }).get === "function";
}

type HeaderName = "cookie" | "forwarded" | "x-forwarded-proto" | "origin";

/** The value of a request's header, whatever kind of request it is. */
export function header(request: AnyRequest, name: HeaderName): string | undefined {
  const inner = innermost(request);
  if (isFetch(inner)) return inner.headers.get(name) ?? undefined;
  return inner.headers[name] as string | undefined;
}

export function cookieHeader(request: AnyRequest): string | undefined {
  return header(request, "cookie");
}

/**
 * Whether the client's connection was encrypted. Proxy headers count where they are trusted: by `trustProxy`, or by the
 * framework's own setting, which then shows in its `protocol`.
 */
export function isSecure(request: AnyRequest, trustProxy: boolean): boolean {
  const inner = innermost(request);
  if (isFetch(inner) ? inner.url.startsWith("https:") : (inner.socket as { encrypted?: boolean }).encrypted)
    return true;
  if ((request as { protocol?: unknown }).protocol === "https") return true;
  if (!trustProxy) return false;
  // The first entry is the one nearest to the client.
  const proto =
    forwardedProto(header(request, "forwarded")) ?? header(request, "x-forwarded-proto")?.split(",", 1)[0]?.trim();
  return proto?.toLowerCase() === "https";
}

/** The protocol in the first element of a Forwarded header (RFC 7239, section 4). */
function forwardedProto(forwarded: string | undefined): string | undefined {
  if (forwarded === undefined) return undefined;
  const pair = /[ \t]*([\w!#$%&'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)[ \t]*(;|,|$)/y;
  for (let found = pair.exec(forwarded); found; found = pair.exec(forwarded)) {
    const [, name, value, end] = found;
    if (name!.toLowerCase() === "proto") return value!.replace(/^"|"$/g, "").trim();
    if (end !== ";") return undefined;
  }
  return undefined;
}

/** What tells of its closing: a response, or a socket. */
export interface Closing {
  once(event: "close", listener: () => void): unknown;
}

/** Calls back when the response is done with, or for want of one, when the request's connection is closed. */
export function onDone(request: AnyRequest, response: Closing | undefined, done: () => void): void {
  const inner = innermost(request);
  if (response) response.once("close", done);
  else if (isFetch(inner)) {
    (inner as { signal?: AbortSignal }).signal?.addEventListener("abort", done, { once: true });
  } else {
    (inner.socket as Partial<Closing>).once?.("close", done);
  }
}

/** The host that a request is for. */
export function hostOf(request: AnyRequest): string | undefined {
  const inner = innermost(request);
  if (isFetch(inner)) return inner.headers.get("host") ?? new URL(inner.url).host;
  return inner.headers.host ?? (inner.headers[":authority"] as string | undefined);
}
