import { STATUS_CODES, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { storeBeforeHeaders, setFailureHeaders } from "./node-response/store-before-headers.ts";
import { claimResponse, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";
import { abortResponse } from "./node-response/abort.ts";

/** The options of {@link sojourn} for node:http. */
export interface NodeOptions extends AdapterOptions<IncomingMessage> {
  /**
   * Sends the response if the session could not be read or stored, or if the handler threw. Default: plain text with
   * the status of a `SessionError`. For another error: status 500, and the error on the console. If the headers were
   * sent already, the response is aborted.
   */
  onError?: (error: unknown, req: IncomingMessage, res: ServerResponse) => void;
}

/**
 * Wraps a handler for `http.createServer`, so that it gets the session as its third argument.
 *
 * The session is read before the handler, and stored before the first byte of the response is sent. If that fails
 * (`ERR_SESSION_STORE` and the other codes), `onError` sends the response.
 *
 * @example
 * createServer(sojourn(sessions, (req, res, session) => res.end(`Hello ${session.data.username ?? "visitor"}`)));
 *
 * @throws {TypeError} for an unknown option.
 */
export function sojourn<Data extends object>(
  sessions: Sessions<Data>,
  handler: (req: IncomingMessage, res: ServerResponse, session: Session<Data>) => unknown,
  options: NodeOptions = {},
): RequestListener {
  const prepare = resolveAdapterOptions(options, "onError");
  const { onError = respondWithError } = options;

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const session = sessions.of(req);
    const isOutermost = claimResponse(session);
    try {
      await prepare(session, req);
    } catch (error) {
      setFailureHeaders(sessions, session, res);
      throw error;
    }
    if (isOutermost) storeBeforeHeaders(sessions, session, res, (error) => onError(error, req, res));
    await handler(req, res, session);
  }

  return (req, res) => {
    serve(req, res).catch((error: unknown) => onError(error, req, res));
  };
}

function respondWithError(error: unknown, _req: IncomingMessage, res: ServerResponse): void {
  if (!(error instanceof SessionError)) console.error(error);
  if (res.headersSent) {
    abortResponse(res);
    return;
  }
  const status = error instanceof SessionError ? error.status : 500;
  const message = error instanceof SessionError && error.expose ? error.message : STATUS_CODES[status];
  res.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${message}\n`);
}
