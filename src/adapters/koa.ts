/// <reference types="node" preserve="true" />
import type { ServerResponse } from "node:http";
import type { DefaultState, Middleware, ParameterizedContext } from "koa";
import { streamBodyOf } from "../request/fetch-response.ts";
import { expectFramework } from "../request/frameworks.ts";
import type { DeclaredData, Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  claimResponse,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
} from "./adapter.ts";
import { createRecentSignInGuard, createUserGuard, type GuardOptions, type RecentSignInOptions } from "./guards.ts";
import { setFailureHeaders, storeBeforeHeaders } from "./node-response/store-before-headers.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./guards.ts";

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
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const prepare = resolveAdapterOptions<ParameterizedContext, AdapterOptions<ParameterizedContext>>(
    "sessionMiddleware",
    options,
    ADAPTER_OPTIONS,
  );
  const { context } = options;
  return async (ctx, next) => {
    if (typeof ctx?.onerror !== "function") expectFramework("koa", "sessionMiddleware", ctx);
    const { req, res } = ctx;
    const session = beginSession(req);
    ctx.session = session;
    const isOutermost = claimResponse(session, res);
    try {
      await prepare(session, ctx);
    } catch (error) {
      setFailureHeaders(session, res);
      giveHeaders(error, res);
      throw error;
    }
    // Koa may send what the handler has put into the context, or the handler writes to the response itself.
    if (isOutermost) {
      storeBeforeHeaders(session, res, (error) => {
        giveHeaders(error, res);
        ctx.onerror(error as Error);
      });
    }
    if (!context) return next();
    context.bindEvents(session, req, res);
    await context.run(session, next);
    // Koa sends the body after all middleware.
    const body = ctx.body as unknown;
    context.bindStream(session, body instanceof Response ? streamBodyOf(body) : body);
  };
}

/** Koa takes all headers off the response to an error, also those of middleware before us, and sets those of the error. */
function giveHeaders(error: unknown, res: ServerResponse): void {
  if (typeof error !== "object" || error === null || !Object.isExtensible(error)) return;
  const { headers } = error as { headers?: object };
  Object.assign(error, { headers: { ...headers, ...res.getHeaders() } });
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

function guard(name: string, decide: ReturnType<typeof createUserGuard>): Middleware {
  return async (ctx, next) => {
    if (typeof ctx?.onerror !== "function") expectFramework("koa", name, ctx);
    const location = await decide(ctx, (ctx as { session?: unknown }).session);
    if (location === undefined) return next();
    ctx.status = 303;
    return ctx.redirect(location);
  };
}
