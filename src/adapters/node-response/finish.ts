import type { ServerResponse } from "node:http";
import { finishResponse } from "../../request/finish-response.ts";
import { requestSessionOf } from "../../request/session-handle.ts";
import type { Session } from "../../session.ts";
import { logSessionError } from "../log.ts";
import { abortOnDestroy, abortResponse } from "./abort.ts";
import { checkEnd, checkWrite } from "./check-chunk.ts";
import { endBelow, heldBodyOf, type HeldBody } from "./held-body.ts";

/**
 * Stores late changes of a session before the last byte of a streamed response, or cuts the response off. For an adapter that
 * commits the session in a hook before the headers.
 *
 * @param contentLength - gives the declared length, when the body begins.
 */
export function finishBeforeEnd<Data extends object>(
  session: Session<Data>,
  res: ServerResponse,
  contentLength: () => unknown,
): void {
  abortOnDestroy(res);
  const requestSession = requestSessionOf(session);
  const write = res.write as (...args: unknown[]) => boolean;
  const end = res.end as (...args: unknown[]) => ServerResponse;
  let body: HeldBody | undefined;
  let hasBegun = false;
  let isEnding = false;
  res.write = ((...args: unknown[]) => {
    checkWrite(res, args);
    if (!hasBegun && requestSession.progress.isAccessed) body = heldBodyOf(res, contentLength());
    hasBegun = true;
    return body ? body.write(write, args) : write.apply(res, args);
  }) as ServerResponse["write"];
  res.end = ((...args: unknown[]) => {
    checkEnd(res, args);
    if (isEnding) return res;
    isEnding = true;
    const passEnd = () =>
      hasBegun
        ? (endBelow(res, { write, end }, body?.endArguments(args) ?? args) as ServerResponse)
        : end.apply(res, args);
    // Of a body of one byte, even the headers wait for the end.
    const storing = hasBegun || res.headersSent ? finishResponse(requestSession) : undefined;
    if (!storing) return passEnd();
    storing.then(passEnd).catch((error: unknown) => {
      // Fastify has taken the response for sent, and reports nothing more.
      logSessionError(error);
      abortResponse(res);
    });
    return res;
  }) as ServerResponse["end"];
}
