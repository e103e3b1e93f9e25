import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import {
  claimResponse,
  commitSession,
  failResponse,
  logSessionError,
  releaseSession,
  type CloseSource,
  type Prepare,
} from "./adapter.ts";
import type { SessionContext } from "./context.ts";

/** Makes the response for a session that could not be read or stored. */
type AnswerError<Given> = (error: SessionError, given: Given) => Response | Promise<Response>;

/** The parts of {@link answerRequest} that an adapter makes once. */
export interface Answering<Given> {
  readonly prepare: Prepare<Given>;
  readonly context: SessionContext | undefined;
  readonly onError: AnswerError<Given>;
}

/**
 * Reads a session, calls the handler, and commits the session to its response: a whole adapter for frameworks whose
 * handlers return a `Response`. The handler's own errors are passed on.
 *
 * @param given - what the adapter's options are asked about: the request, or the framework's context.
 * @param source - tells of the response's end, where the body does not.
 */
export async function answerRequest<Data extends object, Given>(
  { prepare, context, onError }: Answering<Given>,
  session: Session<Data>,
  given: Given,
  handle: () => Response | Promise<Response>,
  source?: CloseSource,
): Promise<Response> {
  const isOutermost = claimResponse(session, source);
  try {
    const reading = prepare(session, given);
    if (reading) await reading;
    const response = await (context ? context.run(session, handle) : handle());
    context?.bindStream(session, response);
    // For a client that has gone, a framework answers before the handler is done. Its changes are stored without a response.
    const isGone = source?.reportsNormalEnd === false && source.destroyed;
    return isOutermost && !isGone ? await commitSession(session, response) : response;
  } catch (error) {
    releaseSession(session);
    if (!(error instanceof SessionError)) throw error;
    const response = await onError(error, given);
    return isOutermost ? await failResponse(session, response) : response;
  }
}

/** Answers with plain text and the error's status, and logs the error. */
export function answerSessionError(error: SessionError): Response {
  logSessionError(error);
  return error.getResponse();
}
