import type { ServerResponse } from "node:http";
import { finishResponse } from "../../request/respond.ts";
import { requestSessionOf } from "../../request/session-handle.ts";
import type { Session } from "../../session.ts";
import { logSessionError } from "../log.ts";
import { abortResponse } from "./abort.ts";

/** Stores late changes of a session before the last byte of a streamed response, or cuts the response off. */
export function finishBeforeEnd<Data extends object>(session: Session<Data>, res: ServerResponse): void {
  const end = res.end as (...args: unknown[]) => ServerResponse;
  let isEnding = false;
  res.end = ((...args: unknown[]) => {
    if (isEnding) return res;
    isEnding = true;
    const storing = res.headersSent ? finishResponse(requestSessionOf(session)) : undefined;
    if (!storing) return end.apply(res, args);
    storing.then(
      () => void end.apply(res, args),
      (error: unknown) => {
        // Fastify has taken the response for sent, and reports nothing more.
        logSessionError(error);
        abortResponse(res);
      },
    );
    return res;
  }) as ServerResponse["end"];
}
