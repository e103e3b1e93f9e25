import { STATUS_CODES, type ServerResponse } from "node:http";
import { SessionError } from "../../errors.ts";
import { describesResponse } from "../adapter.ts";
import { logSessionError } from "../log.ts";
import { abortResponse } from "./abort.ts";

/**
 * Answers with plain text and the error's status, or 500. A response that has begun is cut off, unless the program has ended it:
 * then it leaves when its session is stored. It throws nothing.
 */
export function respondWithError(error: unknown, res: ServerResponse): void {
  if (res.headersSent) {
    if (!res.writableEnded) abortResponse(res);
    return;
  }
  const status = error instanceof SessionError ? error.status : 500;
  const message = error instanceof SessionError && error.expose ? error.message : STATUS_CODES[status];
  const body = `${message}\n`;
  try {
    for (const name of res.getHeaderNames()) if (isOfGivenResponse(name)) res.removeHeader(name);
    // HTTP/2 has none, and Node warns of it.
    if (res.req.httpVersionMajor < 2) res.statusMessage = "";
    const headers = { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(body) };
    res.writeHead(status, headers).end(res.req.method === "HEAD" ? undefined : body);
  } catch (failure) {
    // Middleware may throw for reasons of its own, and nobody else would catch it.
    logSessionError(failure);
    abortResponse(res);
  }
}

/**
 * Whether a header would make the error's response wrong: its length, its encoding, or trailers that Node refuses. A token is not among
 * them: its session may be stored.
 */
function isOfGivenResponse(name: string): boolean {
  if (name === "set-cookie" || name === "session-token") return false;
  return name === "trailer" || name === "transfer-encoding" || describesResponse(name);
}
