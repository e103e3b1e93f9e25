import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";

/** RFC 9113, section 7: INTERNAL_ERROR. */
const INTERNAL_ERROR = 2;

/**
 * Ends a response that has begun so that the client can tell that it is not whole. Over HTTP/2 `destroy()` would do the
 * opposite: without an error it ends the stream as if it were complete.
 */
export function abortResponse(res: ServerResponse): void {
  const stream = http2StreamOf(res);
  if (stream) stream.close(INTERNAL_ERROR);
  else res.destroy();
}

/** Has whoever destroys a response of HTTP/2 cut it off: for errors in the middle of a body, frameworks do that. */
export function abortOnDestroy(res: ServerResponse): void {
  const stream = http2StreamOf(res);
  if (stream)
    Object.assign(res, { destroy: () => void (stream.writableFinished ? stream.destroy() : abortResponse(res)) });
}

/** What carries a response of HTTP/2, and no other. */
export function http2StreamOf(res: object): ServerHttp2Stream | undefined {
  const { stream } = res as { stream?: ServerHttp2Stream };
  return typeof stream?.close === "function" && stream.rstCode !== undefined ? stream : undefined;
}
