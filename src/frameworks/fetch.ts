import { NEVER_CACHED, SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import { withHead, type Sessions } from "../sessions.ts";
import { begin, checkAdapterOptions, type AdapterOptions } from "./adapter.ts";

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
  checkAdapterOptions(options, "onError");
  const { onError = (error: SessionError) => error.getResponse() } = options;
  return async (request, ...rest) => {
    try {
      const session = sessions.of(request);
      await begin(session, options, request);
      return await sessions.commit(session, await handler(request, session, ...rest));
    } catch (error) {
      if (error instanceof SessionError) return withHead(await onError(error, request), Object.entries(NEVER_CACHED));
      throw error;
    }
  };
}
