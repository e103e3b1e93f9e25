/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  createRecentSignInGuard,
  createUserGuard,
  expectFramework,
  isEngineRequest,
  type AdapterOptions,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
  type SessionHolder,
} from "./adapter.ts";
import { nodeAdapter, useDictionaryMode } from "./node-response/entry.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

type Next = (error?: unknown) => void;
type Middleware = (req: IncomingMessage, res: ServerResponse, next: Next) => void;

/**
 * Middleware for Express 5 and 4, and for other frameworks that call `(req, res, next)`. `req.session` is the session. It
 * is stored before the first byte of the response leaves. Errors of reading and storing go to `next(error)`.
 *
 * `import "sojourn/express/types"` declares `req.session` for TypeScript.
 *
 * @example
 * app.use(sessionMiddleware(sessions));
 * app.get("/", (req, res) => res.send(`Hello ${req.session.data.username ?? "stranger"}`));
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object, Request extends IncomingMessage = IncomingMessage>(
  sessions: Sessions<Data>,
  options: AdapterOptions<Request> = {},
): (req: Request, res: ServerResponse, next: Next) => void {
  const serve = nodeAdapter<Data, Request, AdapterOptions<Request>>(sessions, {
    name: "sessionMiddleware",
    options,
    names: ADAPTER_OPTIONS,
  });
  return (req, res, next) => {
    if (typeof next !== "function" || typeof res?.setHeader !== "function" || isEngineRequest(req)) {
      expectFramework("express", "sessionMiddleware", req);
    }
    if ("app" in req) {
      useDictionaryMode(req);
      useDictionaryMode(res);
    }
    const holder: SessionHolder = req as object;
    // The result of some frameworks' `next` is a promise, whose rejection they handle themselves.
    const handle = () => {
      next();
    };
    const serving = serve({ request: req, res, holder, onFailure: next, handle });
    if (serving) serving.catch(next);
  };
}

/**
 * Middleware for routes that need a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by
 * `next(error)`), or a redirect to `loginPage`.
 *
 * @example app.get("/account", requireUser({ loginPage: "/login" }), (req, res) => res.send(req.session.userId));
 */
export function requireUser(options: GuardOptions = {}): Middleware {
  return guard("requireUser", createUserGuard("express", options));
}

/**
 * Middleware for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}.
 *
 * @example app.post("/pay", requireRecentSignIn({ within: "10m", loginPage: "/login" }), pay);
 */
export function requireRecentSignIn(options: RecentSignInOptions): Middleware {
  return guard("requireRecentSignIn", createRecentSignInGuard("express", options));
}

function guard(name: string, decide: Guard): Middleware {
  return (req, res, next) => {
    if (typeof next !== "function") expectFramework("express", name, req);
    const proceed = (location: string | undefined) => {
      if (location === undefined) next();
      else res.writeHead(303, { location }).end();
    };
    try {
      const location = decide(req, (req as { session?: unknown }).session);
      if (typeof location === "object") location.then(proceed).catch(next);
      else proceed(location);
    } catch (error) {
      next(error);
    }
  };
}
