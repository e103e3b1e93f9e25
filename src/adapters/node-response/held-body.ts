import type { ServerResponse } from "node:http";
import { lastByteOf, type LastByte } from "../../request/last-byte.ts";
import { http2StreamOf } from "./abort.ts";

type Callback = (error?: Error) => void;
type Write = (...args: never[]) => unknown;
type Method = (...args: unknown[]) => unknown;

/** Writes a body of a declared length to a response of node:http, but for its last byte, which waits for the end. */
export class HeldBody {
  readonly #res: ServerResponse;
  readonly #lastByte: LastByte;

  constructor(res: ServerResponse, lastByte: LastByte) {
    this.#res = res;
    this.#lastByte = lastByte;
  }

  /** @param write - the response's own method. It is given what may leave. Gives what it returns. */
  write(write: Write, args: unknown[]): unknown {
    const pass = (...passed: unknown[]): unknown => write.apply(this.#res, passed as never[]);
    const bytes = bytesOf(args);
    // Node refuses it.
    if (!bytes) return pass(...args);
    const callback = callbackIn(args);
    if (this.#lastByte.passes(bytes.byteLength)) return pass(bytes, callback);
    const { left, held } = this.#lastByte;
    // Node refuses it then, if it was asked to.
    if (bytes.byteLength > left && this.#res.strictContentLength)
      return pass(held ? Buffer.concat([held, bytes]) : bytes);
    const part = this.#lastByte.hold(bytes);
    if (part.length > 0) return pass(part, callback);
    // Nobody may wait for the held byte before calling end.
    if (callback) process.nextTick(callback);
    return true;
  }

  /** The arguments with which `end` sends the last byte, too. */
  endArguments(args: unknown[]): unknown[] {
    const { held } = this.#lastByte;
    return held ? [held, callbackIn(args)] : args;
  }
}

/** Decodes a text: of base64 with line breaks, and of bad digits, `Buffer.byteLength` gives more than there is. */
function bytesOf([chunk, encoding]: unknown[]): Uint8Array | undefined {
  if (typeof chunk === "string") {
    return Buffer.from(chunk, typeof encoding === "string" && encoding ? (encoding as BufferEncoding) : undefined);
  }
  if (!ArrayBuffer.isView(chunk)) return undefined;
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

/**
 * Ends a response by methods that others were put over. Over HTTP/2, Node's `end` gives its chunk to `res.write`, which is the
 * outermost method: the chunk would be held back once more, or be discarded. So it is written first, and `end` gets none.
 */
export function endBelow(
  res: ServerResponse,
  { write, end }: Record<"write" | "end", Method>,
  args: unknown[],
): unknown {
  const stream = http2StreamOf(res);
  const [chunk, encoding] = args;
  if (!stream || chunk === undefined || chunk === null || typeof chunk === "function") return end.apply(res, args);
  // `end` does nothing then, but `write` would destroy the stream with an error.
  if (!stream.closed && !res.writableEnded) write.call(res, chunk, typeof encoding === "string" ? encoding : undefined);
  return end.call(res, undefined, undefined, callbackIn(args));
}

function callbackIn(args: unknown[]): Callback | undefined {
  return args.find((arg): arg is Callback => typeof arg === "function");
}

/**
 * Prepares to hold back the last byte of a response. `undefined` where the end alone completes it.
 *
 * @param contentLength - as the response declares it.
 */
export function heldBodyOf(res: ServerResponse, contentLength: unknown): HeldBody | undefined {
  if (contentLength === undefined || res.req.method === "HEAD" || res.statusCode === 204 || res.statusCode === 304)
    return undefined;
  const lastByte = lastByteOf(contentLength);
  return lastByte && new HeldBody(res, lastByte);
}
