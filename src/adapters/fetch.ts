import { SessionError } from "../errors.ts";
import { answered, hasHead, headToBe } from "../request/fetch-response.ts";
import { requestSessionOf, type Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { claimResponse, findResponse, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";

/** A handler of a server that works with Request and Response. `rest` is what the server passes beside the request. */
export type SessionHandler<Data extends object, Rest extends unknown[]> = (
  request: Request,
  session: Session<Data>,
  ...rest: Rest
) => Response | Promise<Response>;

/** The options of {@link sojourn} for fetch handlers. */
export interface FetchOptions extends AdapterOptions<Request> {
  /** Creates the response if the session could not be read or stored. Default: plain text with the error's status. */
  onError?: (error: SessionError, request: Request) => Response | Promise<Response>;
}

/**
 * Wraps a handler of Request and Response, so that it gets the session as its second argument.
 *
 * The session is read before the handler and stored after it, before the response is returned. If that fails
 * (`ERR_SESSION_STORE` and the other codes), `onError` creates the response. Other errors of the handler are passed on.
 *
 * @example
 * const handle = sojourn(sessions, (request, session) => new Response(`Hello ${session.data.username ?? "visitor"}`));
 *
 * @throws {TypeError} for an unknown option.
 */
export function sojourn<Data extends object, Rest extends unknown[] = []>(
  sessions: Sessions<Data>,
  handler: SessionHandler<Data, Rest>,
  options: FetchOptions = {},
): (request: Request, ...rest: Rest) => Promise<Response> {
  const prepare = resolveAdapterOptions(options, "onError");
  const { onError = (error: SessionError) => error.getResponse() } = options;
  return async (request, ...rest) => {
    const session = sessions.of(request);
    const isOutermost = claimResponse(session);
    const serverResponse = findResponse(rest[0]);
    if (isOutermost && serverResponse) sessions.finishesWith(session, serverResponse);
    try {
      await prepare(session, request);
      const response = await handler(request, session, ...rest);
      return isOutermost ? await sessions.commit(session, response) : response;
    } catch (error) {
      requestSessionOf(session).letGo();
      if (!(error instanceof SessionError)) throw error;
      const response = await onError(error, request);
      if (!isOutermost || !hasHead(response)) return response;
      const head = headToBe(response);
      sessions.concludeFailure(session, head);
      return answered(response, head.writes);
    }
  };
}
