import { TOKEN_HEADER } from "./bearer.ts";
import type { ResponseHeaders } from "./cache-headers.ts";
import { CopyInit, keptBody, nameIn, plainHeadersOf, type Body, type PlainHeaders } from "./kept-response.ts";
import { lastByteOf } from "./last-byte.ts";

/** The headers to set, in order. */
type HeaderWrites = readonly (readonly [name: string, value: string])[];

/** The headers of an application's response as they are, and what to write to a copy of it later. */
export class CopyHeaders implements ResponseHeaders {
  readonly #response: Response;
  #plain: PlainHeaders | false | undefined;
  readonly writes: [name: string, value: string][] = [];

  constructor(response: Response) {
    this.#response = response;
  }

  /** The headers as a plain object, where that is possible. It is this request's own. */
  get plain(): PlainHeaders | undefined {
    return (this.#plain ??= plainHeadersOf(this.#response) ?? false) || undefined;
  }

  /**
   * Takes the headers as they are now: the application may change the object that it has given, and one that can't be sent is
   * an error before anything is stored.
   */
  keep(): void {
    if (!this.plain) void this.#response.headers;
  }

  get status(): number {
    return this.#response.status;
  }

  get(name: string): string | null | undefined {
    const { plain } = this;
    if (!plain) return this.#response.headers.get(name);
    const found = nameIn(plain, name);
    return found === undefined ? undefined : plain[found];
  }

  keys(): Iterable<string> {
    const { plain } = this;
    return plain ? Object.keys(plain) : this.#response.headers.keys();
  }

  set(name: string, value: string): void {
    this.writes.push([name, value]);
  }

  append(name: string, value: string): void {
    this.writes.push([name, value]);
  }
}

/**
 * Whether headers of the response can still be set. `Response.error()` has none. The headers of a WebSocket's response are
 * sent when the connection is upgraded, except on workerd, whose response has a property `webSocket`. Bun has no response
 * at all.
 */
export function canSetHeaders(response: Response | undefined): response is Response {
  if (!response || response.status === 0) return false;
  return response.status !== 101 || "webSocket" in response;
}

/** Whether a value is a response. Its class may be of another module, such as the one of @hono/node-server. */
export function isResponse(value: unknown): value is Response {
  return typeof value === "object" && Object.prototype.toString.call(value) === "[object Response]";
}

/** @throws TypeError for a response that can't be sent, so that its session is not stored. */
export function checkUnread(response: Response): void {
  // Reading more properties would turn @hono/node-server's Response into one that can be sent only once.
  if (keptBody(response) !== undefined || !response.bodyUsed) return;
  throw new TypeError(
    "The body of this response has been read or sent already; make a response for each request, or keep one and give response.clone()",
  );
}

/** The body of a response, if it is a stream, whose program may run on while it is sent. */
export function streamBodyOf(response: Response): ReadableStream | undefined {
  const kept = keptBody(response);
  const body = kept === undefined ? response.body : kept;
  return body instanceof ReadableStream ? body : undefined;
}

/**
 * A copy of a response, with more headers and a body that calls `finish` before it ends. It is always another one: the
 * application may keep its own and give it to the next client as well. The body is handed over as it is, so that it is
 * neither buffered nor read. A response that could be sent again without us can be sent again.
 *
 * @param finish - a rejection breaks the body off, so that it does not look complete.
 * @param replaces - Set-Cookie values, or a token, that the copy leaves out.
 */
export function copyWithHeaders(
  response: Response,
  headers: CopyHeaders,
  { finish, replaces }: { finish?: Finish | undefined; replaces?: readonly string[] | undefined } = {},
): Response {
  const { writes } = headers;
  if (writes.length === 0 && !finish && replaces === undefined) return response;
  const light = finish || replaces ? undefined : lightCopy(response, headers);
  if (light) return light;
  const kept = keptBody(response);
  const body = kept === undefined ? response.body : kept;
  const isStream = body instanceof ReadableStream;
  const copy = copied(
    response,
    finish && isStream ? finished(body, finish, response.headers.get("content-length")) : body,
  );
  if (replaces !== undefined) withoutCookies(copy.headers, replaces);
  for (const [name, value] of writes) copy.headers[name === "Set-Cookie" ? "append" : "set"](name, value);
  if (!isStream) void finish?.();
  return copy;
}

/** The same copy, where the headers are plain ones and stay so. */
function lightCopy(response: Response, { plain, writes }: CopyHeaders): Response | undefined {
  if (!plain) return undefined;
  const body = keptBody(response);
  // Somebody may have read it meanwhile: it then keeps nothing.
  if (body === undefined) return undefined;
  const headers = withWrites(plain, writes);
  return headers && new Response(body, new CopyInit(response, headers));
}

/** `undefined` where a header comes twice. The headers are written to, because they are the copy's own. */
function withWrites(plain: PlainHeaders, writes: HeaderWrites): PlainHeaders | undefined {
  for (const [name, value] of writes) {
    const found = nameIn(plain, name);
    if (found !== undefined && name === "Set-Cookie") return undefined;
    plain[found ?? name] = value;
  }
  return plain;
}

type Finish = () => Promise<void> | void;

function copied(response: Response, body: Body): Response {
  const copy = new Response(body, response);
  const prototype = Object.getPrototypeOf(response) as object;
  const own = Object.getPrototypeOf(copy) as object;
  // The application may test for a class of its own.
  if (prototype !== own && Object.prototype.isPrototypeOf.call(Response.prototype, prototype)) {
    Object.setPrototypeOf(copy, prototype);
    if (!isReadable(copy)) Object.setPrototypeOf(copy, own);
  }
  for (const [name, value] of Object.entries(response)) if (!(name in copy)) Object.assign(copy, { [name]: value });
  return copy;
}

/** Whether the class of a copy can read it. One with private fields can't: no constructor of it has made the copy. */
function isReadable(copy: Response): boolean {
  try {
    return copy.headers !== undefined && copy.status > 0 && copy.body !== undefined;
  } catch {
    return false;
  }
}

/**
 * The same chunks at the same pace. `finish` is called before the end, and when the reader cancels. Where a length is
 * declared, the last byte waits for it, too.
 */
function finished(
  body: ReadableStream<Uint8Array>,
  finish: Finish,
  contentLength: string | null,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const lastByte = lastByteOf(contentLength);
  async function read(): Promise<Awaited<ReturnType<typeof reader.read>>> {
    for (;;) {
      const chunk = await reader.read();
      const { value } = chunk;
      if (!lastByte || !(value instanceof Uint8Array) || lastByte.passes(value.byteLength)) return chunk;
      const part = lastByte.hold(value);
      if (part.byteLength > 0) return { done: false, value: part };
    }
  }
  return new ReadableStream(
    {
      async pull(controller) {
        let chunk: Awaited<ReturnType<typeof read>>;
        try {
          chunk = await read();
        } catch (error) {
          controller.error(error);
          return settled(finish);
        }
        if (!chunk.done) return controller.enqueue(chunk.value);
        try {
          await finish();
        } catch (error) {
          controller.error(error);
          return;
        }
        if (lastByte?.held) controller.enqueue(lastByte.held);
        controller.close();
      },
      async cancel(reason) {
        await settled(finish);
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** The response is broken off already: a failure changes nothing more. */
async function settled(finish: Finish): Promise<void> {
  try {
    await finish();
  } catch {
    // The client can tell that the response is not complete.
  }
}

/** Takes Set-Cookie values, or a token, out of headers. */
export function withoutCookies(headers: Headers, cookies: readonly string[]): void {
  // Nor is it sure that they can be written: those of fetch() and of Response.redirect() can't.
  if (cookies.length === 0) return;
  if (cookies.includes(headers.get(TOKEN_HEADER) ?? "")) headers.delete(TOKEN_HEADER);
  const others = headers.getSetCookie().filter((line) => !cookies.includes(line));
  headers.delete("set-cookie");
  for (const line of others) headers.append("set-cookie", line);
}
