import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";

/** RFC 9113, section 7: INTERNAL_ERROR. */
const INTERNAL_ERROR = 2;

/**
 * Ends a response that has begun so that the client can tell that it is not whole. Over HTTP/2 `destroy()` would do the
 * opposite: without an error it ends the stream as if it were complete.
 */
export function cut(res: ServerResponse): void {
  const stream = streamOf(res);
  if (stream) stream.close(INTERNAL_ERROR);
  else res.destroy();
}

/** Has whoever destroys a response of HTTP/2 cut it off: for errors in the middle of a body, frameworks do that. */
export function cutWhereDestroyed(res: ServerResponse): void {
  const stream = streamOf(res);
  if (stream) Object.assign(res, { destroy: () => void (stream.writableFinished ? stream.destroy() : cut(res)) });
}

/** What carries a response of HTTP/2, and no other. */
export function streamOf(res: object): ServerHttp2Stream | undefined {
  const { stream } = res as { stream?: ServerHttp2Stream };
  return typeof stream?.close === "function" && stream.rstCode !== undefined ? stream : undefined;
}
