/// <reference types="node" preserve="true" />
import type { ServerResponse } from "node:http";
import type { DefaultState, Middleware, ParameterizedContext } from "koa";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  checkUnread,
  createRecentSignInGuard,
  createUserGuard,
  expectFramework,
  type AdapterOptions,
  type DeclaredData,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
} from "./adapter.ts";
import { nodeAdapter } from "./node-response/entry.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

/** The properties that the middleware adds to a context: `ctx.session`, typed by the data of `sessions`. */
export interface SessionProperties<Data extends object = DeclaredData> {
  /** The session of the request. */
  session: Session<Data>;
}

/**
 * Middleware for Koa 3. `ctx.session` is the session. It is stored before the first byte of the response leaves, also where
 * the handler writes to `ctx.res` itself. Errors of reading and storing go to `ctx.onerror`.
 *
 * @example
 * const app = new Koa().use(sessionMiddleware(sessions));
 * app.use((ctx) => {
 *   ctx.body = `Hello ${ctx.session.data.username ?? "stranger"}`;
 * });
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<ParameterizedContext> = {},
): Middleware<DefaultState, SessionProperties<Data>> {
  const { context } = options;
  const serve = nodeAdapter<Data, ParameterizedContext, AdapterOptions<ParameterizedContext>>(sessions, {
    name: "sessionMiddleware",
    options,
    names: ADAPTER_OPTIONS,
  });
  return async (ctx, next) => {
    if (typeof ctx?.onerror !== "function") expectFramework("koa", "sessionMiddleware", ctx);
    const { res } = ctx;
    let read: Session<Data> | undefined;
    const handle = (session: Session<Data>) => {
      read = session;
      return next();
    };
    const onFailure = (error: unknown) => {
      ctx.onerror(withHeaders(error, res) as Error);
    };
    try {
      await serve({ request: ctx, res, holder: ctx, onFailure, handle });
      // Koa sends the body after all middleware.
      const body = ctx.body as unknown;
      if (body instanceof Response) checkUnread(body);
      context?.bindStream(read!, body);
    } catch (error) {
      throw read ? error : withHeaders(error, res);
    }
  };
}

/**
 * Gives an error the headers of its response. Koa takes all of them off, also those of middleware before us, and sets those of
 * the error.
 */
function withHeaders(error: unknown, res: ServerResponse): unknown {
  if (typeof error !== "object" || error === null) return error;
  const headers = { ...(error as { headers?: object }).headers, ...res.getHeaders() };
  if (error instanceof SessionError) return Object.assign(error, { headers });
  // The application may throw one error for many clients, who must not get each other's cookies.
  return Object.create(error, { headers: { value: headers, enumerable: true, writable: true, configurable: true } });
}

/**
 * Middleware for routes that need a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by `ctx.onerror`),
 * or a redirect to `loginPage`.
 *
 * @example router.get("/account", requireUser({ loginPage: "/login" }), (ctx) => void (ctx.body = ctx.session.userId));
 */
export function requireUser(options: GuardOptions = {}): Middleware {
  return guard("requireUser", createUserGuard("koa", options));
}

/**
 * Middleware for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}.
 *
 * @example router.post("/pay", requireRecentSignIn({ within: "10m", loginPage: "/login" }), pay);
 */
export function requireRecentSignIn(options: RecentSignInOptions): Middleware {
  return guard("requireRecentSignIn", createRecentSignInGuard("koa", options));
}

function guard(name: string, decide: Guard): Middleware {
  return async (ctx, next) => {
    if (typeof ctx?.onerror !== "function") expectFramework("koa", name, ctx);
    const location = await decide(ctx, (ctx as { session?: unknown }).session);
    if (location === undefined) return next();
    ctx.status = 303;
    return ctx.redirect(location);
  };
}
