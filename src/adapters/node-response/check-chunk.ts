import { isUint8Array } from "node:util/types";
import { http2StreamOf } from "./abort.ts";

/**
 * Refuses at once the arguments of `write` that Node would refuse. While a response waits for its session, its program
 * could not be told, and a client may have chosen the chunk or its encoding.
 */
export function checkWrite(res: object, [chunk, encoding]: readonly unknown[]): void {
  const isText = typeof chunk === "string";
  if (!isText && !isBytes(res, chunk)) throw coded("ERR_INVALID_ARG_TYPE", "A chunk must be a string or a Uint8Array");
  if (!encoding || typeof encoding === "function") return;
  if (!Buffer.isEncoding(encoding as string) && (isText || encoding !== "buffer")) {
    throw coded("ERR_UNKNOWN_ENCODING", "The encoding of a chunk is unknown");
  }
}

/** The same for `end`, which needs no chunk. Over HTTP/1.1, Node takes everything falsy for none. */
export function checkEnd(res: object, args: readonly unknown[]): void {
  const [chunk] = args;
  if (chunk === undefined || chunk === null || typeof chunk === "function") return;
  if (chunk || http2StreamOf(res)) checkWrite(res, args);
}

/** Over HTTP/2, Node takes every view of a buffer. */
function isBytes(res: object, chunk: unknown): boolean {
  return isUint8Array(chunk) || (ArrayBuffer.isView(chunk) && http2StreamOf(res) !== undefined);
}

function coded(code: string, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}
