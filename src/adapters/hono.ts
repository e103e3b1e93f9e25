import type { Context, MiddlewareHandler } from "hono";
import type { ResponseHeaders } from "../request/cache-headers.ts";
import { linkReplacement } from "../request/request.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  claimResponse,
  findResponse,
  resolveAdapterOptions,
  isBoundToResponse,
  type AdapterOptions,
} from "./adapter.ts";

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
  const prepare = resolveAdapterOptions(options);
  return async (c, next) => {
    const session = sessions.of(c.req.raw);
    const isOutermost = claimResponse(session);
    c.set("session", session);
    if (isOutermost) {
      followReplacements(c);
      const serverResponse = findResponse(c.env);
      if (serverResponse) sessions.finishesWith(session, serverResponse);
    }
    try {
      await prepare(session, c);
    } catch (error) {
      sessions.concludeFailure(session, headersOf(c));
      throw error;
    }
    await next();
    if (!isOutermost) return;
    let response: Response;
    try {
      response = await sessions.commit(session, c.res);
    } catch (error) {
      resetResponse(c);
      sessions.concludeFailure(session, headersOf(c));
      throw error;
    }
    if (response === c.res) return;
    // Assigning alone would carry the old headers over the new.
    c.res = undefined;
    c.res = response;
  };
}

/** bodyLimit and others put another request in the place of the first: that one has the same session. */
function followReplacements(c: Context): void {
  const { req } = c;
  const first = req.raw;
  if (Object.getOwnPropertyDescriptor(req, "raw")?.set) return;
  let current = first;
  Object.defineProperty(req, "raw", {
    configurable: true,
    enumerable: true,
    get: () => current,
    set(replacement: Request) {
      linkReplacement(replacement, first);
      current = replacement;
    },
  });
}

/** Makes way for the error's response, and leaves it what middleware before has set (CORS, the request's id). */
function resetResponse(c: Context): void {
  // Hono would carry them over.
  const names = [...c.res.headers.keys()].filter(isBoundToResponse);
  c.res = undefined;
  c.finalized = false;
  for (const name of names) c.header(name, undefined);
}

function headersOf(c: Context): ResponseHeaders {
  const { headers } = c.res;
  return {
    get: (name) => headers.get(name),
    keys: () => headers.keys(),
    set: (name, value) => c.header(name, value),
    append: (name, value) => c.header(name, value, { append: true }),
  };
}
