import { STATUS_CODES, type ServerResponse } from "node:http";
import { SessionError } from "../../errors.ts";
import { abortResponse } from "./abort.ts";

/** Answers with plain text and the error's status, or 500. A response that has begun is cut off. */
export function respondWithError(error: unknown, res: ServerResponse): void {
  if (res.headersSent) {
    abortResponse(res);
    return;
  }
  const status = error instanceof SessionError ? error.status : 500;
  const message = error instanceof SessionError && error.expose ? error.message : STATUS_CODES[status];
  res.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${message}\n`);
}
