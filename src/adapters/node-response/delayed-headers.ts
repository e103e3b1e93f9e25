import type { ServerResponse } from "node:http";
import { http2StreamOf } from "./abort.ts";

type HeadersGiven = Record<string, unknown> | unknown[];
export type WriteHeadArguments = [status: number, second?: string | HeadersGiven, third?: HeadersGiven];
export type Listener = (...args: unknown[]) => void;
/** Declared as a method, so that TypeScript accepts a function with narrower parameters. */
type Method<Arguments extends unknown[]> = { method(...args: Arguments): unknown }["method"];

/** The methods that we replace, with loosely typed arguments. */
export interface Methods {
  writeHead: Method<WriteHeadArguments>;
  write: Method<unknown[]>;
  end: Method<unknown[]>;
  flushHeaders: Method<[]>;
  on: Method<[event: string, listener: Listener]>;
}
export interface NodeResponse extends Omit<ServerResponse, keyof Methods | "setHeader" | "appendHeader">, Methods {
  setHeader(name: string, value: unknown): unknown;
  appendHeader(name: string, value: unknown): unknown;
}

/**
 * Refuses at once what Node would refuse when it makes the head: while that waits, the program could not be told.
 * Over HTTP/2 the status is checked when it is set, and there is no message. Returns the status.
 */
export function checkHead(res: NodeResponse, [status, second]: WriteHeadArguments): number {
  if (http2StreamOf(res)) return status;
  // As Node reads it: a text of digits is a number here.
  const code = Math.trunc(status) || 0;
  if (code < 100 || code > 999) {
    throw Object.assign(new RangeError(`Invalid status code: ${status}`), { code: "ERR_HTTP_INVALID_STATUS_CODE" });
  }
  const message = typeof second === "string" ? second : res.statusMessage;
  if (message && /[^\t -~\u0080-\u00ff]/.test(message)) {
    throw Object.assign(new TypeError("Invalid character in statusMessage"), { code: "ERR_INVALID_CHAR" });
  }
  return code;
}

/**
 * Sets the headers of a call of writeHead on the response, so that later ones add to them. Returns the other arguments.
 */
export function mergeHeaders(res: NodeResponse, [status, second, third]: WriteHeadArguments): WriteHeadArguments {
  const hasMessage = typeof second === "string";
  const headers = hasMessage ? third : (third ?? second);
  // Where nothing was set before, Node sends all that it is given here, line by line. Otherwise it sets the headers, one
  // after the other, and leaves out those without a name.
  const isFresh = res.getHeaderNames().length === 0;
  if (headers) {
    try {
      if (Array.isArray(headers)) setAll(res, pairs(headers), isFresh);
      else
        for (const name of Object.keys(headers))
          setOne(res, name, headers[name], isFresh, isFresh && res.hasHeader(name));
    } catch (error) {
      // An error's response gets no header of the one that could not be sent: a length above all.
      if (isFresh) {
        const { sendDate } = res;
        for (const name of res.getHeaderNames()) res.removeHeader(name);
        res.sendDate = sendDate;
      }
      throw error;
    }
  }
  return hasMessage ? [status, second] : [status];
}

/** Reads the arrays that writeHead accepts: pairs, or names and values in turn. */
function* pairs(list: readonly unknown[]): Generator<[string, unknown]> {
  if (Array.isArray(list[0])) {
    for (const pair of list) if (Array.isArray(pair)) yield [String(pair[0]), pair[1]];
    return;
  }
  if (list.length % 2 !== 0) {
    throw Object.assign(new TypeError("The list of headers given to writeHead ends with a name."), {
      code: "ERR_INVALID_ARG_VALUE",
    });
  }
  for (let i = 0; i < list.length; i += 2) yield [String(list[i]), list[i + 1]];
}

/** A name that comes again, in whatever case, is one more line. */
function setAll(res: NodeResponse, headers: Iterable<[string, unknown]>, isFresh: boolean): void {
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    setOne(res, name, value, isFresh, seen.has(key));
    seen.add(key);
  }
}

function setOne(res: NodeResponse, name: string, value: unknown, isFresh: boolean, comesAgain: boolean): void {
  if (!name && !isFresh) return;
  if (comesAgain) res.appendHeader(name, value);
  else res.setHeader(name, copyValue(value));
}

/** Copies an array: appendHeader pushes into the one that it finds, and the program may share it between responses. */
export function copyValue(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : value;
}

/** Makes a response look sent, so that nobody can set a header. */
export interface HeaderLock {
  /** Makes the response look ended, too. */
  end(): void;
  unlock(): void;
}

export function lockHeaders(res: NodeResponse): HeaderLock {
  return lockByHeaderField(res) ?? lockByProperties(res);
}

/** A program that replaces one of these on the response bypasses Node's own check. */
const OVERRIDABLE = ["headersSent", "writableEnded", "setHeader", "appendHeader", "removeHeader"];
const HEADER = "_header";
const SEND = "_send";

/**
 * Uses the field that Node itself checks: once `_header` is set, no header can be set. Adding properties to the
 * response and deleting them again costs far more, because V8 then treats the object as a dictionary.
 */
function lockByHeaderField(res: NodeResponse): HeaderLock | undefined {
  const node = res as { [HEADER]?: unknown; [SEND]?: unknown; finished: boolean };
  const send = node[SEND];
  // null: a node:http response whose headers were not sent yet. HTTP/2 has a getter instead.
  if (typeof send !== "function" || node[HEADER] !== null || OVERRIDABLE.some((name) => Object.hasOwn(res, name)))
    return undefined;
  node[HEADER] = "held";
  // Node writes the headers and the body with this method. Calls of Node's own methods, past ours, end up here.
  node[SEND] = throwBypass;
  let restore: (() => void) | undefined;
  const unlock = () => {
    node[HEADER] = null;
    node[SEND] = send;
    node.finished = false;
    restore?.();
  };
  const end = () => {
    node.finished = true;
    restore ??= keepConnection(res);
  };
  if (res.headersSent) return { end, unlock };
  unlock();
  return undefined;
}

const MESSAGE = "_httpMessage";

/**
 * A server that closes ends the connections whose response is finished. This one only looks finished. Returns the function
 * that puts the response back.
 */
function keepConnection(res: NodeResponse): (() => void) | undefined {
  const socket = res.socket as { [MESSAGE]?: unknown } | null;
  const node = res as { [WRITE_RAW]?: Listener };
  const writeRaw = node[WRITE_RAW];
  if (socket?.[MESSAGE] !== res || typeof writeRaw !== "function") return undefined;
  const unfinished = new Proxy(res, UNFINISHED);
  socket[MESSAGE] = unfinished;
  const restore = () => {
    if (socket[MESSAGE] === unfinished) socket[MESSAGE] = res;
  };
  // Informational responses leave at once, if the response is the one of its connection.
  node[WRITE_RAW] = (...args) => {
    restore();
    const written: unknown = writeRaw.apply(res, args);
    if (socket[MESSAGE] === res) socket[MESSAGE] = unfinished;
    return written;
  };
  return () => {
    restore();
    node[WRITE_RAW] = writeRaw;
  };
}

const WRITE_RAW = "_writeRaw";

const UNFINISHED: ProxyHandler<NodeResponse> = {
  get: (res, name) => (name === "finished" ? false : (Reflect.get(res, name) as unknown)),
  set: (res, name, value) => Reflect.set(res, name, value),
};

/** Replaces members of the response: for HTTP/2, and for runtimes other than Node. */
function lockByProperties(res: NodeResponse): HeaderLock {
  let ended = false;
  const sent: PropertyDescriptorMap = {
    headersSent: { get: () => true },
    writableEnded: { get: () => ended },
    setHeader: { value: throwHeadersSent },
    appendHeader: { value: throwHeadersSent },
    removeHeader: { value: throwHeadersSent },
  };
  const before = Object.keys(sent).map((name) => [name, Object.getOwnPropertyDescriptor(res, name)] as const);
  for (const [name, descriptor] of Object.entries(sent)) {
    Object.defineProperty(res, name, { ...descriptor, configurable: true });
  }
  return {
    end: () => void (ended = true),
    unlock() {
      for (const [name, descriptor] of before) {
        Reflect.deleteProperty(res, name);
        if (descriptor) Object.defineProperty(res, name, descriptor);
      }
    },
  };
}

const STREAM_METHODS = ["write", "end", "respond", "respondWithFD", "respondWithFile"] as const;

/**
 * Throws if a program writes to the stream of an HTTP/2 response instead of to the response: the bytes would be sent
 * before the session is stored. Returns the function that restores the methods.
 */
export function refuseStreamWrites(res: NodeResponse): (() => void) | undefined {
  const stream = http2StreamOf(res) as Record<string, unknown> | undefined;
  if (!stream) return undefined;
  const before = STREAM_METHODS.map((name) => [name, stream[name]] as const);
  for (const [name, method] of before) {
    // Node itself ends a stream that was closed by the client or by the program.
    stream[name] = (...args: unknown[]) =>
      stream["closed"] || stream["destroyed"] ? (method as Listener).apply(stream, args) : throwBypass();
  }
  return () => {
    for (const [name, method] of before) stream[name] = method;
  };
}

function throwBypass(): never {
  throw new Error(
    "This response waits until its session is stored, and something wrote past that, with a method of " +
      "ServerResponse.prototype or of the HTTP/2 stream; call res.write() and res.end()",
  );
}

export function throwHeadersSent(): never {
  throw Object.assign(new Error("Cannot set headers after they are sent to the client"), {
    code: "ERR_HTTP_HEADERS_SENT",
  });
}
