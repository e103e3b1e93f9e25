import type { IncomingMessage, ServerResponse } from "node:http";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import { storeBeforeHeaders, setFailureHeaders } from "./node-response/store-before-headers.ts";
import { claimResponse, resolveAdapterOptions, type AdapterOptions } from "./adapter.ts";

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- the place that Express gives for this
  namespace Express {
    interface Request {
      /** The session; `sessions.of(req)` is the same one, typed by its data. */
      session: Session;
    }
  }
}

type Next = (error?: unknown) => void;

/**
 * Middleware for Express 5 and 4, and whatever else calls `(req, res, next)`: `app.use(sojourn(sessions))`, and
 * `req.session` is the session. It is stored before the first byte of the response leaves; what could not be read or
 * stored goes to `next(error)`.
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
