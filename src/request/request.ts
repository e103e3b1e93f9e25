import { splitList, unquote } from "./header-list.ts";

/**
 * A request of any framework: a `Request`, an `IncomingMessage`, or the framework's own object that wraps one of them (a
 * Fastify request, a Hono context or its `c.req`).
 */
export type AnyRequest =
  | PlainRequest
  | { readonly raw: PlainRequest }
  | { readonly req: PlainRequest | { readonly raw: PlainRequest } };

export type PlainRequest = FetchRequest | NodeRequest;

interface FetchRequest {
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

interface NodeRequest {
  /** `IncomingHttpHeaders` of node:http. */
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  readonly socket: object;
}

/** Where a replacement keeps itself and the request that it replaces. */
const link = Symbol("sojourn.link");

interface Link {
  readonly replacement: PlainRequest;
  readonly first: PlainRequest;
}

/** Unwraps a framework's own object. All layers of a framework share the request that this returns. */
export function innermost(request: AnyRequest): PlainRequest {
  const plain = isPlain(request) ? request : unwrap(request);
  const found = (plain as { [link]?: Link })[link];
  return found && isSameRequest(plain, found.replacement) ? found.first : plain;
}

/**
 * Whether two objects stand for one request of a client. A Proxy of a request, or an object that inherits from it, has
 * everything that was kept on it, also where it stands for a request with other headers.
 */
export function isSameRequest(one: AnyRequest, other: AnyRequest): boolean {
  return one === other || (one as PlainRequest).headers === (other as PlainRequest).headers;
}

/**
 * Whether an object is a request itself. Such an object is never unwrapped: other middleware may keep anything in
 * `req.raw`. A request of Fastify and a context of Koa look like a request of node:http, but have no HTTP version.
 */
function isPlain(request: unknown): request is PlainRequest {
  if (typeof request !== "object" || request === null) return false;
  const { headers, url, socket } = request as { headers?: object; url?: unknown; socket?: unknown };
  if (typeof headers !== "object" || headers === null) return false;
  if (typeof (headers as { get?: unknown }).get === "function") return typeof url === "string";
  return (
    typeof socket === "object" &&
    socket !== null &&
    ("httpVersion" in request || !("raw" in request || "req" in request))
  );
}

function unwrap(wrapper: unknown): PlainRequest {
  const { raw, req } = (wrapper ?? {}) as { raw?: unknown; req?: { raw?: unknown } | null };
  if (isPlain(raw)) return raw;
  if (isPlain(req)) return req;
  if (isPlain(req?.raw)) return req.raw;
  throw new TypeError("This is not a request; pass the request, or the framework's object that has it");
}

/** Links a request to the one that it replaces, so that both have the same session. */
export function linkReplacement(replacement: object, request: AnyRequest): void {
  const first = innermost(request);
  const value: Link = { replacement: replacement as PlainRequest, first };
  if (replacement !== first) Object.defineProperty(replacement, link, { value, configurable: true });
}

function isFetch(request: FetchRequest | NodeRequest): request is FetchRequest {
  return typeof (request.headers as { get?: unknown }).get === "function";
}

type HeaderName = "cookie" | "forwarded" | "x-forwarded-proto" | "origin" | "upgrade";

/** Reads a header from any kind of request. */
export function header(request: AnyRequest, name: HeaderName): string | undefined {
  const inner = innermost(request);
  if (isFetch(inner)) return inner.headers.get(name) ?? undefined;
  return inner.headers[name] as string | undefined;
}

/** The value of any header, by its name in lower case; several values are joined. */
export function requestHeader(request: AnyRequest, name: string): string | undefined {
  const inner = innermost(request);
  if (isFetch(inner)) return inner.headers.get(name) ?? undefined;
  const value = inner.headers[name];
  return typeof value === "string" ? value : value?.join(", ");
}

/** The client's network address: as the framework tells it, by a trusted proxy's header, or of the connection. */
export function addressOf(request: AnyRequest, trustProxy: boolean): string | undefined {
  if (trustProxy) {
    // The last entry is of our own proxy. Clients can send the others.
    const forwarded = requestHeader(request, "x-forwarded-for")?.split(",").at(-1)?.trim();
    if (forwarded) return forwarded;
  }
  const { ip } = request as { ip?: unknown };
  if (typeof ip === "string") return ip;
  const inner = innermost(request);
  return isFetch(inner) ? undefined : (inner.socket as { remoteAddress?: string }).remoteAddress;
}

/** Whether a request asks for a WebSocket, whose connection outlives the response. */
export function isWebSocketRequest(request: AnyRequest): boolean {
  return header(request, "upgrade")?.toLowerCase() === "websocket";
}

export function cookieHeader(request: AnyRequest): string | undefined {
  return header(request, "cookie");
}

/**
 * Whether the client's connection was encrypted. Headers of a proxy count if they are trusted: by `trustProxy`, or by the
 * framework's own setting, which then shows in its `protocol`.
 */
export function isSecure(request: AnyRequest, trustProxy: boolean, inner = innermost(request)): boolean {
  if (isFetch(inner) ? inner.url.startsWith("https:") : (inner.socket as { encrypted?: boolean }).encrypted)
    return true;
  if ((request as { protocol?: unknown }).protocol === "https") return true;
  return trustProxy && claimsHttps(inner);
}

/** Whether a proxy's headers say that the client used HTTPS. */
export function claimsHttps(request: AnyRequest): boolean {
  // The first entry is the one nearest to the client.
  const proto =
    forwardedProto(header(request, "forwarded")) ?? header(request, "x-forwarded-proto")?.split(",", 1)[0]?.trim();
  return proto?.toLowerCase() === "https";
}

/** The protocol in the first element of a Forwarded header (RFC 7239, section 4). Of a malformed one nothing is believed. */
function forwardedProto(forwarded: string | undefined): string | undefined {
  if (forwarded === undefined) return undefined;
  let proto: string | undefined;
  for (const pair of splitList(splitList(forwarded, ",")[0]!, ";")) {
    // A pair may be empty.
    if (pair === "") continue;
    const [, name, value] = FORWARDED_PAIR.exec(pair) ?? [];
    if (name === undefined || value === undefined) return undefined;
    if (name.toLowerCase() !== "proto") continue;
    // Each name may come once. Two would be read in two ways.
    if (proto !== undefined) return undefined;
    proto = unquote(value);
  }
  return proto;
}

/** More than the standard allows in a value, since addresses often come without their quotes; blanks too. */
const FORWARDED_PAIR = /^([\w!#$%&'*+\-.^`|~]+)[ \t]*=[ \t]*("(?:[^"\\]|\\[^])*"|[^\s"\\]*)$/;

/** An object that reports when it is closed: a response, or a socket. */
export interface CloseSource {
  /** Calls the listener when it is closed. */
  once(event: "close", listener: () => void): unknown;
  /** The same, where it is closed once only: `once` makes three objects for each listener. */
  on?(event: "close", listener: () => void): unknown;
  /** Whether it is closed, or about to be. */
  readonly destroyed?: boolean;
  /** An HTTP/2 response has this flag on its stream. */
  readonly stream?: { readonly destroyed?: boolean } | undefined;
  /** Whether the headers of the response were sent. */
  readonly headersSent?: boolean;
  /** Whether the response was ended, by `end()`. */
  readonly writableEnded?: boolean;
  /** `false`: it reports only that the client disconnects. The body reports a normal end. */
  readonly reportsNormalEnd?: boolean;
}

/** The source that reports that the client of a fetch request disconnects, by its signal. */
export function disconnectionOf({ signal }: { readonly signal: AbortSignal }): CloseSource {
  return {
    once: (_event, listener) => signal.addEventListener("abort", listener, { once: true }),
    get destroyed() {
      return signal.aborted;
    },
    reportsNormalEnd: false,
  };
}

/** Calls back when the response is closed. Without a response, it calls back when the request's connection is closed. */
export function onResponseEnd(request: AnyRequest, response: CloseSource | undefined, done: () => void): void {
  const inner = innermost(request);
  if (response?.on) response.on("close", done);
  else if (response) response.once("close", done);
  else if (isFetch(inner)) signalOf(inner)?.addEventListener("abort", done, { once: true });
  else (inner.socket as Partial<CloseSource>).once?.("close", done);
}

/** Whether that has happened already, so that no event will follow. */
export function hasResponseEnded(request: AnyRequest, response: CloseSource | undefined): boolean {
  const inner = innermost(request);
  if (!response && isFetch(inner)) return signalOf(inner)?.aborted === true;
  const closing = response ?? ((inner as NodeRequest).socket as Partial<CloseSource>);
  return closing.destroyed === true || closing.stream?.destroyed === true;
}

/** Whether a normal end is reported too. A fetch request is notified only if the client disconnects. */
export function reportsNormalEnd(request: AnyRequest, response: CloseSource | undefined): boolean {
  return response ? response.reportsNormalEnd !== false : !isFetch(innermost(request));
}

/** Whether the response to a request may have a body: one to HEAD has none. */
export function canHaveBody(request: AnyRequest): boolean {
  return (innermost(request) as { method?: unknown }).method !== "HEAD";
}

function signalOf(request: FetchRequest): AbortSignal | undefined {
  return (request as { signal?: AbortSignal }).signal;
}

/** Names a request's route for a message: its pattern where the framework tells it, else its path without the query. */
export function routeOf(request: AnyRequest): string {
  const { method, route, baseUrl, routeOptions } = request as Partial<RoutedRequest>;
  const inner = innermost(request) as { readonly method?: string; readonly url?: string };
  const pattern = typeof route?.path === "string" ? `${baseUrl ?? ""}${route.path}` : routeOptions?.url;
  // Not parsed as a URL: a client may send a path that is none, such as "//".
  const path = pattern ?? (inner.url ?? "/").replace(/^https?:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0];
  return `${method ?? inner.method ?? "GET"} ${path}`;
}

/** A request of Express, or one of Fastify. */
interface RoutedRequest {
  readonly method: string;
  readonly route: { readonly path?: unknown };
  readonly baseUrl: string;
  readonly routeOptions: { readonly url?: string };
}

/** The host that a request is for. */
export function hostOf(request: AnyRequest): string | undefined {
  const inner = innermost(request);
  if (isFetch(inner)) return inner.headers.get("host") ?? new URL(inner.url).host;
  const { host, ":authority": authority } = inner.headers;
  return (host ?? authority) as string | undefined;
}
