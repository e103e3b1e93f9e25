import type { IncomingHttpHeaders } from "node:http";
import { splitList, unquote } from "./header-list.ts";

/**
 * A request of any framework: what Sojourn needs of a `Request` or an `IncomingMessage`, or the framework's own object
 * that wraps one (a Fastify request, a Hono context or its `c.req`).
 */
export type AnyRequest =
  | PlainRequest
  | { readonly raw: PlainRequest }
  | { readonly req: PlainRequest | { readonly raw: PlainRequest } };

type PlainRequest = FetchRequest | NodeRequest;

interface FetchRequest {
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

interface NodeRequest {
  readonly headers: IncomingHttpHeaders;
  readonly socket: object;
}

/** The request that a replacement stands for. */
const original = Symbol("sojourn.original");

/** The request that a framework's own object wraps: the one object that all of its layers share. */
export function innermost(request: AnyRequest): PlainRequest {
  const plain = isPlain(request) ? request : unwrap(request);
  return (plain as { [original]?: PlainRequest })[original] ?? plain;
}

/**
 * Only an object that is no request itself wraps one: other middleware may keep anything in `req.raw`. A Fastify request
 * looks like one of node:http, but has no HTTP version.
 */
function isPlain(request: unknown): request is PlainRequest {
  if (typeof request !== "object" || request === null) return false;
  const { headers, url, socket } = request as { headers?: object; url?: unknown; socket?: unknown };
  if (typeof headers !== "object" || headers === null) return false;
  if (typeof (headers as { get?: unknown }).get === "function") return typeof url === "string";
  return typeof socket === "object" && socket !== null && ("httpVersion" in request || !("raw" in request));
}

function unwrap(wrapper: unknown): PlainRequest {
  const { raw, req } = (wrapper ?? {}) as { raw?: unknown; req?: { raw?: unknown } | null };
  for (const inner of [raw, req, req?.raw]) if (isPlain(inner)) return inner;
  throw new TypeError("This is not a request; pass the request, or the framework's object that has it");
}

/** Has a request that a framework puts in the place of another stand for that one: both have one session. */
export function linkReplacement(replacement: object, request: AnyRequest): void {
  const first = innermost(request);
  if (replacement !== first) Object.defineProperty(replacement, original, { value: first, configurable: true });
}

function isFetch(request: FetchRequest | NodeRequest): request is FetchRequest {
  return typeof (request.headers as { get?: unknown }).get === "function";
}

type HeaderName = "cookie" | "forwarded" | "x-forwarded-proto" | "origin" | "upgrade";

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

/** What tells of its closing: a response, or a socket. */
export interface Closing {
  once(event: "close", listener: () => void): unknown;
  /** Whether it is closed, or about to be. */
  readonly destroyed?: boolean;
  /** Where HTTP/2 keeps that. */
  readonly stream?: { readonly destroyed?: boolean } | undefined;
  readonly headersSent?: boolean;
  readonly writableEnded?: boolean;
}

/** Calls back when the response is done with, or for want of one, when the request's connection is closed. */
export function onDone(request: AnyRequest, response: Closing | undefined, done: () => void): void {
  const inner = innermost(request);
  if (response) response.once("close", done);
  else if (isFetch(inner)) signalOf(inner)?.addEventListener("abort", done, { once: true });
  else (inner.socket as Partial<Closing>).once?.("close", done);
}

/** Whether that has been already: no event would come any more. */
export function isDone(request: AnyRequest, response: Closing | undefined): boolean {
  const inner = innermost(request);
  if (!response && isFetch(inner)) return signalOf(inner)?.aborted === true;
  const closing = response ?? ((inner as NodeRequest).socket as Partial<Closing>);
  return closing.destroyed === true || closing.stream?.destroyed === true;
}

/** Whether something tells of the end even if it is a good one: a fetch request is only told of the client's leaving. */
export function tellsOfEnd(request: AnyRequest, response: Closing | undefined): boolean {
  return response !== undefined || !isFetch(innermost(request));
}

/** Whether the response to a request has a body that somebody reads. */
export function hasBody(request: AnyRequest): boolean {
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
  const path = pattern ?? new URL(inner.url ?? "/", "http://localhost").pathname;
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
  return inner.headers.host ?? (inner.headers[":authority"] as string | undefined);
}
