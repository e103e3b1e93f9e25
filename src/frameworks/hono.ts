import type { Context, MiddlewareHandler } from "hono";
import { NEVER_CACHED } from "../errors.ts";
import type { Session } from "../session.ts";
import type { ResponseHead, Sessions } from "../sessions.ts";
import { begin, checkAdapterOptions, type AdapterOptions } from "./adapter.ts";

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
    await begin(session, options, c);
    await next();
    try {
      await sessions.conclude(session, headOf(c));
    } catch (error) {
      discard(c);
      throw error;
    }
  };
}

/** What tells of the response that could not be given. Hono would carry its headers over to the error's. */
const OF_THE_RESPONSE = /^(content-.*|etag|expires|last-modified|link|location|refresh|set-cookie)$/;

/** Makes way for the error's response, and leaves it what middleware before has set (CORS, the request's id). */
function discard(c: Context): void {
  const names = [...c.res.headers.keys()].filter((name) => OF_THE_RESPONSE.test(name));
  c.res = undefined;
  c.finalized = false;
  for (const name of names) c.header(name, undefined);
  for (const [name, value] of Object.entries(NEVER_CACHED)) c.header(name, value);
}

function headOf(c: Context): ResponseHead {
  const write = (how: "set" | "append") => (name: string, value: string) => {
    try {
      c.res.headers[how](name, value);
    } catch {
      // The headers of Response.redirect() and of a fetched response can't be changed; Hono makes a copy that can.
      c.header(name, value, { append: how === "append" });
    }
  };
  return { get: (name) => c.res.headers.get(name), set: write("set"), append: write("append") };
}
