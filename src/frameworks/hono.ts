import type { EventEmitter } from "node:events";
import type { Context, MiddlewareHandler } from "hono";
import { NEVER_CACHED } from "../errors.ts";
import type { Session } from "../session.ts";
import { headToBe, withHead, type Sessions } from "../sessions.ts";
import { begin, checkAdapterOptions, tellsOfResponse, type AdapterOptions } from "./adapter.ts";

/** What the middleware adds to a context: `c.var.session`, typed by the sessions that it was given. */
export interface SessionVariables<Data extends object> {
  Variables: { session: Session<Data> };
}

/**
 * Middleware for Hono 4: `app.use(sojourn(sessions))`, and `c.var.session` is the session. What could not be read or
 * stored goes to `app.onError`.
 */
export function sojourn<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<Context> = {},
): MiddlewareHandler<SessionVariables<Data>> {
  checkAdapterOptions(options);
  return async (c, next) => {
    const session = sessions.of(c.req.raw);
    if (c.get("session") === session) return next();
    c.set("session", session);
    // On Node there is a response behind the context; elsewhere the request's own signal has to do.
    const { outgoing } = (c.env ?? {}) as { outgoing?: EventEmitter };
    if (outgoing) sessions.finishesWith(session, outgoing);
    try {
      await begin(session, options, c);
    } catch (error) {
      neverCached(c);
      throw error;
    }
    await next();
    const head = headToBe(c.res);
    try {
      await sessions.conclude(session, head);
    } catch (error) {
      discard(c);
      throw error;
    }
    const response = withHead(c.res, head.writes);
    if (response === c.res) return;
    // Assigning alone would carry the old headers over the new.
    c.res = undefined;
    c.res = response;
  };
}

/** Makes way for the error's response, and leaves it what middleware before has set (CORS, the request's id). */
function discard(c: Context): void {
  // Hono would carry them over.
  const names = [...c.res.headers.keys()].filter(tellsOfResponse);
  c.res = undefined;
  c.finalized = false;
  for (const name of names) c.header(name, undefined);
  neverCached(c);
}

function neverCached(c: Context): void {
  for (const [name, value] of Object.entries(NEVER_CACHED)) c.header(name, value);
}
