import { SessionError } from "../errors.ts";
import { answered, hasHead, headToBe } from "../request/fetch-response.ts";
import { requestSessionOf, type Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { ADAPTER_OPTIONS, claim, responseBehind, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";

/** A handler of any server that speaks Request and Response; what the server passes beside the request follows. */
export type SessionHandler<Data extends object, Rest extends unknown[]> = (
  request: Request,
  session: Session<Data>,
  ...rest: Rest
) => Response | Promise<Response>;

export interface FetchOptions extends AdapterOptions<Request> {
  /** Makes the response for a session that could not be read or stored. Default: plain text with the error's status. */
  onError?: (error: SessionError, request: Request) => Response | Promise<Response>;
}

/**
 * A fetch handler around one that is given a session as well. The session is read before it and stored after it, before
 * its response is handed on. Errors of the handler's own are passed on as they are.
 */
export function sojourn<Data extends object, Rest extends unknown[] = []>(
  sessions: Sessions<Data>,
  handler: SessionHandler<Data, Rest>,
  options: FetchOptions = {},
): (request: Request, ...rest: Rest) => Promise<Response> {
  const begin = resolveAdapterOptions(options, { ...ADAPTER_OPTIONS, onError: true });
  const { onError = (error: SessionError) => error.getResponse() } = options;
  return async (request, ...rest) => {
    const session = sessions.of(request);
    const isOutermost = claim(session);
    const behind = responseBehind(rest[0]);
    if (isOutermost && behind) sessions.finishesWith(session, behind);
    try {
      await begin(session, request);
      const response = await handler(request, session, ...rest);
      return isOutermost ? await sessions.commit(session, response) : response;
    } catch (error) {
      requestSessionOf(session).releaseSignal();
      if (!(error instanceof SessionError)) throw error;
      const response = await onError(error, request);
      if (!isOutermost || !hasHead(response)) return response;
      const head = headToBe(response);
      sessions.concludeFailure(session, head);
      return answered(response, head.writes);
    }
  };
}
