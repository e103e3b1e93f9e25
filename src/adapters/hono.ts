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

/** The variables that the middleware adds to a context: `c.var.session`, typed by the data of `sessions`. */
export interface SessionVariables<Data extends object> {
  Variables: { session: Session<Data> };
}

/**
 * Creates middleware for Hono 4. It sets `c.var.session`.
 *
 * The session is read before the handlers and stored after them, before the response is returned. An error goes to
 * `app.onError`: `ERR_SESSION_STORE` if the session could not be read or stored.
 *
 * @example
 * const app = new Hono().use(sojourn(sessions)).get("/", (c) => {
 *   c.var.session.update("visits", (n = 0) => n + 1);
 *   return c.text("Hello");
 * });
 *
 * @throws {TypeError} for an unknown option.
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
    // Hono copies the old headers over the new ones unless the old response is removed first.
    c.res = undefined;
    c.res = response;
  };
}

/** Gives the same session to a request that replaces the first one, as `bodyLimit` and other middleware do. */
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

/**
 * Removes the response for the error response, which keeps the headers of earlier middleware (CORS, the request's id).
 */
function resetResponse(c: Context): void {
  // Hono would copy these headers to the error response.
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
