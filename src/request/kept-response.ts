export type Body = ConstructorParameters<typeof Response>[0];

/** What a program gave to the constructor of a response: its status, body and headers. */
interface KeptParts {
  readonly 0: number;
  readonly 1: Body;
  readonly 2: unknown;
}

/** Where the responses of the last such class keep their parts: to ask for it is cheaper than to search each response's symbols. */
let lastSymbol: symbol | undefined;

/**
 * The parts of a Response of @hono/node-server. That class replaces the global one. It creates a real response only if another
 * property than its status or headers is read, and can be sent again until then.
 */
function partsOf(response: Response): KeptParts | undefined {
  const known: unknown = lastSymbol && Reflect.get(response, lastSymbol);
  if (Array.isArray(known)) return known as unknown as KeptParts;
  if (isOfPlatform(response)) return undefined;
  const symbol = Object.getOwnPropertySymbols(response).find(({ description }) => description === "cache");
  const parts: unknown = symbol && Reflect.get(response, symbol);
  if (!Array.isArray(parts)) return undefined;
  lastSymbol = symbol;
  return parts as unknown as KeptParts;
}

/** Whether a response is of the platform's own class, which is derived from no other. */
function isOfPlatform(response: Response): boolean {
  return Object.getPrototypeOf(Object.getPrototypeOf(response)) === Object.prototype;
}

/** The body that a response was given, where it has kept it. */
export function keptBody(response: Response): Body {
  return partsOf(response)?.[1];
}

/** Each name once, in whatever case. */
export type PlainHeaders = Record<string, string>;

/**
 * A copy of the headers that a response was given, as a plain object: a `Headers` object costs more to make, to copy and to send
 * than all else of a copy. `undefined` where the response has not kept them, or where a plain object can't say the same.
 */
export function plainHeadersOf(response: Response): PlainHeaders | undefined {
  const parts = partsOf(response);
  if (!parts || Object.getPrototypeOf(response) !== Response.prototype) return undefined;
  // An own property, such as headers that somebody has defined, takes the place of what it was given.
  if (Object.getOwnPropertyNames(response).length > 0) return undefined;
  const { 1: body, 2: given } = parts;
  if (typeof body !== "string" && body !== null) return undefined;
  if (given === undefined) return body === null ? {} : { "content-type": TEXT };
  const plain: PlainHeaders = {};
  if (given instanceof Headers) {
    for (const [name, value] of given) if (!add(plain, name, value)) return undefined;
  } else {
    if (!isPlainObject(given)) return undefined;
    for (const name of Object.keys(given)) if (!add(plain, name, given[name])) return undefined;
  }
  // A text without a type gets one where its headers are sent, but only from a Headers object.
  return body === null || nameIn(plain, "content-type") !== undefined ? plain : undefined;
}

/** The type that the class gives to a text without headers. */
const TEXT = "text/plain; charset=UTF-8";

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** What `Headers` refuses or trims. A server would refuse it when the session is stored already. */
const NOT_AS_IS = /^[\t ]|[\t ]$|[^\t\x20-\x7e\x80-\xff]/;
const NAME = /^[\w!#$%&'*+.^`|~-]+$/;

/** @returns `false` for a header that a plain object can't hold as `Headers` does. */
function add(plain: PlainHeaders, name: string, value: unknown): boolean {
  if (typeof value !== "string" || NOT_AS_IS.test(value) || !NAME.test(name)) return false;
  if (name === "__proto__" || nameIn(plain, name) !== undefined) return false;
  plain[name] = value;
  return true;
}

/** The name of a header, in the case in which it is there. */
export function nameIn(plain: PlainHeaders, name: string): string | undefined {
  // Object.keys would make an array for each header that is asked for.
  for (const one in plain) {
    if (one === name || (one.length === name.length && one.toLowerCase() === name.toLowerCase())) return one;
  }
  return undefined;
}

/** What a copy of a response is made of. */
export class CopyInit implements ResponseInit {
  readonly status: number;
  readonly headers: PlainHeaders;
  readonly #of: Response;

  constructor(response: Response, headers: PlainHeaders) {
    this.status = response.status;
    this.headers = headers;
    this.#of = response;
  }

  /** No server sends it from here. If somebody reads it, it is read from a copy: the response itself could not be sent again after that. */
  get statusText(): string {
    return new Response(null, this.#of).statusText;
  }
}
