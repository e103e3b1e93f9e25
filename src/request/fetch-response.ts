import type { ResponseHeaders } from "./cache-headers.ts";

type Body = ConstructorParameters<typeof Response>[0];

/** The headers to set, in order. */
export type Writes = readonly (readonly [name: string, value: string])[];

/** Reads the headers of the application's response, and records what to write to a copy of it later. */
export function headToBe(response: Response): ResponseHeaders & { readonly writes: [name: string, value: string][] } {
  const writes: [name: string, value: string][] = [];
  const write = (name: string, value: string) => void writes.push([name, value]);
  const { headers } = response;
  return { get: (name) => headers.get(name), keys: () => headers.keys(), set: write, append: write, writes };
}

/**
 * Whether headers of the response can still be set. `Response.error()` has none. The headers of a WebSocket's response are
 * sent when the connection is upgraded, except on workerd, whose response has a property `webSocket`. Bun has no response
 * at all.
 */
export function hasHead(response: Response | undefined): response is Response {
  if (!response || response.status === 0) return false;
  return response.status !== 101 || "webSocket" in response;
}

/** @throws {TypeError} for a response that can't be sent, so that its session is not stored. */
export function refuseUsed(response: Response): void {
  // Reading more properties would turn @hono/node-server's Response into one that can be sent only once.
  if (keptBody(response) !== undefined || !response.bodyUsed) return;
  throw new TypeError(
    "The body of this response has been read or sent already; make a response for each request, or keep one and give response.clone()",
  );
}

/**
 * Creates a response with more headers, and with a body that reports its end. It is always a copy, because the application
 * may send its own response to other clients too. The body is passed on unread and unbuffered, so that a response that can
 * be sent twice can still be sent twice.
 */
export function answered(
  response: Response,
  writes: Writes,
  { done, replaces }: { done?: (() => void) | undefined; replaces?: string | undefined } = {},
): Response {
  if (writes.length === 0 && !done) return response;
  const kept = keptBody(response);
  const body = kept === undefined ? response.body : kept;
  const copy = copyResponse(response, done && body instanceof ReadableStream ? observeEnd(body, done) : body);
  if (replaces !== undefined) removeCookie(copy.headers, replaces);
  for (const [name, value] of writes) copy.headers[name === "Set-Cookie" ? "append" : "set"](name, value);
  if (!(body instanceof ReadableStream)) done?.();
  return copy;
}

function copyResponse(response: Response, body: Body): Response {
  const copy = new Response(body, response);
  const prototype = Object.getPrototypeOf(response) as object;
  // The application may test for a class of its own.
  if (Object.prototype.isPrototypeOf.call(Response.prototype, prototype)) Object.setPrototypeOf(copy, prototype);
  for (const [name, value] of Object.entries(response)) if (!(name in copy)) Object.assign(copy, { [name]: value });
  return copy;
}

/**
 * The body that was given to a Response of @hono/node-server. That class replaces the global one. It creates a real response
 * only if another property than its status or headers is read, and can be sent again until then.
 */
function keptBody(response: Response): Body {
  const symbol = Object.getOwnPropertySymbols(response).find(({ description }) => description === "cache");
  const cache: unknown = symbol && Reflect.get(response, symbol);
  return Array.isArray(cache) ? (cache[1] as Body) : undefined;
}

/** Passes on the chunks at the reader's pace, and calls `done` at the end, or if the reader cancels. */
function observeEnd(body: ReadableStream<Uint8Array>, done: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const chunk = await reader.read();
          if (!chunk.done) return controller.enqueue(chunk.value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        done();
      },
      cancel(reason) {
        done();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

function removeCookie(headers: Headers, cookie: string): void {
  const others = headers.getSetCookie().filter((line) => line !== cookie);
  headers.delete("set-cookie");
  for (const line of others) headers.append("set-cookie", line);
}
