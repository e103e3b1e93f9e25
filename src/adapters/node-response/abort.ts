import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";

/** RFC 9113, section 7: INTERNAL_ERROR. */
const INTERNAL_ERROR = 2;

/**
 * Ends a response in such a way that the client can tell that it is incomplete. Over HTTP/2, `destroy()` does the
 * opposite: without an error, it ends the stream as if the response were complete.
 */
export function abortResponse(res: ServerResponse): void {
  const stream = http2StreamOf(res);
  if (stream) stream.close(INTERNAL_ERROR);
  else res.destroy();
}

/** Makes `destroy()` abort an HTTP/2 response. Frameworks call it for an error in the middle of a body. */
export function abortOnDestroy(res: ServerResponse): void {
  const stream = http2StreamOf(res);
  if (stream)
    Object.assign(res, { destroy: () => void (stream.writableFinished ? stream.destroy() : abortResponse(res)) });
}

/** The stream of an HTTP/2 response; `undefined` for HTTP/1.1. */
export function http2StreamOf(res: object): ServerHttp2Stream | undefined {
  const { stream } = res as { stream?: ServerHttp2Stream };
  return typeof stream?.close === "function" && stream.rstCode !== undefined ? stream : undefined;
}
