import { STATUS_CODES, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { tie, tieFailure } from "./node-response/tie.ts";
import { ADAPTER_OPTIONS, claim, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";
import { cut } from "./node-response/cut.ts";

export interface NodeOptions extends AdapterOptions<IncomingMessage> {
  /**
   * Answers a request whose session could not be read or stored, or whose handler threw. Default: plain text with the
   * error's status, or 500 and the error on the console; a response that has begun is cut off.
   */
  onError?: (error: unknown, req: IncomingMessage, res: ServerResponse) => void;
}

/**
 * A listener for `http.createServer` around a handler that is given the session as well. The session is read before
 * the handler and stored before the first byte of its response leaves.
 */
export function sojourn<Data extends object>(
  sessions: Sessions<Data>,
  handler: (req: IncomingMessage, res: ServerResponse, session: Session<Data>) => unknown,
  options: NodeOptions = {},
): RequestListener {
  const begin = resolveAdapterOptions(options, { ...ADAPTER_OPTIONS, onError: true });
  const { onError = answer } = options;

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const session = sessions.of(req);
    const isOutermost = claim(session);
    try {
      await begin(session, req);
    } catch (error) {
      tieFailure(sessions, session, res);
      throw error;
    }
    if (isOutermost) tie(sessions, session, res, (error) => onError(error, req, res));
    await handler(req, res, session);
  }

  return (req, res) => {
    serve(req, res).catch((error: unknown) => onError(error, req, res));
  };
}

function answer(error: unknown, _req: IncomingMessage, res: ServerResponse): void {
  if (!(error instanceof SessionError)) console.error(error);
  if (res.headersSent) {
    cut(res);
    return;
  }
  const status = error instanceof SessionError ? error.status : 500;
  const message = error instanceof SessionError && error.expose ? error.message : STATUS_CODES[status];
  res.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${message}\n`);
}
