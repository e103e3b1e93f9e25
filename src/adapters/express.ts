import type { IncomingMessage, ServerResponse } from "node:http";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { storeBeforeHeaders, setFailureHeaders } from "./node-response/store-before-headers.ts";
import { claimResponse, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- the place that Express gives for this
  namespace Express {
    interface Request {
      /** The session. `sessions.of(req)` returns the same one, typed by its data. */
      session: Session;
    }
  }
}

type Next = (error?: unknown) => void;

/**
 * Creates middleware for Express 5 and 4, and for other frameworks that call `(req, res, next)`. It sets `req.session`.
 *
 * The session is read before the handlers, and stored before the first byte of the response is sent. An error goes to
 * `next(error)`: `ERR_SESSION_STORE` if the session could not be read or stored.
 *
 * @example
 * app.use(sojourn(sessions));
 * app.get("/", (req, res) => res.send(`Hello ${req.session.data.username ?? "visitor"}`));
 *
 * @throws {TypeError} for an unknown option.
 */
export function sojourn<Data extends object, Request extends IncomingMessage = IncomingMessage>(
  sessions: Sessions<Data>,
  options: AdapterOptions<Request> = {},
): (req: Request, res: ServerResponse, next: Next) => void {
  const prepare = resolveAdapterOptions(options);
  return (req, res, next) => {
    const session = sessions.of(req);
    (req as { session?: unknown }).session = session;
    const isOutermost = claimResponse(session);
    const proceed = () => {
      if (isOutermost) storeBeforeHeaders(sessions, session, res, next);
      next();
    };
    const reading = prepare(session, req);
    if (!reading) return proceed();
    reading.then(proceed, (error: unknown) => {
      setFailureHeaders(sessions, session, res);
      next(error);
    });
  };
}
