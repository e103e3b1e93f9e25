import type { Context, MiddlewareHandler } from "hono";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  checkUnreplaced,
  claimResponse,
  commitSession,
  createRecentSignInGuard,
  createUserGuard,
  describesResponse,
  endSession,
  expectFramework,
  failSession,
  linkReplacement,
  logSessionError,
  resolveAdapterOptions,
  findAddress,
  findResponse,
  sessionFactory,
  tellAddress,
  type AdapterOptions,
  type DeclaredData,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
  type ResponseHeaders,
} from "./adapter.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

/** The variables that the middleware adds to a context: `c.var.session`, typed by the data of `sessions`. */
export interface SessionVariables<Data extends object = DeclaredData> {
  Variables: { session: Session<Data> };
}

/**
 * Middleware for Hono 4. `c.var.session` is the session. It is stored before the response is returned. Errors of reading and
 * storing go to `app.onError`.
 *
 * @example
 * const app = new Hono().use(sessionMiddleware(sessions));
 * app.get("/", (c) => c.text(`Hello ${c.var.session.data.username ?? "stranger"}`));
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<Context> = {},
): MiddlewareHandler<SessionVariables<Data>> {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const prepare = resolveAdapterOptions<Context, AdapterOptions<Context>>(
    "sessionMiddleware",
    options,
    ADAPTER_OPTIONS,
  );
  const { context } = options;
  return async (c, next) => {
    if (typeof c.set !== "function" || !c.req?.raw) expectFramework("hono", "sessionMiddleware", c);
    const session = beginSession(c.req.raw);
    const isOutermost = claimResponse(session, findResponse(c.env));
    tellAddress(session, () => findAddress(c.env, c.req.raw));
    c.set("session", session);
    if (isOutermost) followReplacements(c);
    try {
      const reading = prepare(session, c);
      if (reading) await reading;
    } catch (error) {
      logWhenAnswered(error);
      await failSession(session, headersOf(c));
      if (isOutermost) endSession(session);
      throw error;
    }
    await (context ? context.run(session, next) : next());
    if (c.finalized) context?.bindStream(session, c.res);
    if (!isOutermost) return;
    let response: Response;
    try {
      checkUnreplaced({ session: c.get("session") }, "c.var.session");
      const committing = commitSession(session, c.res);
      response = "then" in committing ? await committing : committing;
    } catch (error) {
      logWhenAnswered(error);
      resetResponse(c);
      await failSession(session, headersOf(c));
      endSession(session);
      throw error;
    }
    if (response === c.res) return;
    // Hono copies the old headers over the new ones unless the old response is removed first.
    c.res = undefined;
    c.res = response;
  };
}

/** Hono's own error handler answers with the response of an error, and logs nothing then. An application's own may log it. */
function logWhenAnswered(error: unknown): void {
  if (!(error instanceof SessionError)) return;
  Object.defineProperty(error, "getResponse", {
    configurable: true,
    value: () => {
      logSessionError(error);
      return SessionError.prototype.getResponse.call(error);
    },
  });
}

/** Gives the same session to a request that replaces the first one, as `bodyLimit` and other middleware do. */
function followReplacements(c: Context): void {
  const req = c.req as Context["req"] & Followed;
  if (Object.getOwnPropertyDescriptor(req, "raw")?.set) return;
  req[CURRENT] = req.raw;
  Object.defineProperty(req, "raw", FOLLOWING);
}

/** Where a request of Hono has the one that it stands for, of which it makes the first one known to the others. */
const CURRENT = Symbol("sojourn.current");

interface Followed {
  [CURRENT]: Request;
}

/** One accessor for all: with functions of its own, V8 would make a hidden class of each request. */
const FOLLOWING: PropertyDescriptor & ThisType<Followed> = {
  configurable: true,
  enumerable: true,
  get() {
    return this[CURRENT];
  },
  set(replacement: Request) {
    linkReplacement(replacement, this[CURRENT]);
    this[CURRENT] = replacement;
  },
};

/**
 * Removes the response for the error response, which keeps the headers of earlier middleware (CORS, the request's id).
 */
function resetResponse(c: Context): void {
  // Hono would copy these headers to the error response.
  const names = [...c.res.headers.keys()].filter(describesResponse);
  c.res = undefined;
  c.finalized = false;
  for (const name of names) c.header(name, undefined);
}

function headersOf(c: Context): ResponseHeaders {
  const { headers } = c.res;
  return {
    status: c.res.status,
    get: (name) => headers.get(name),
    keys: () => headers.keys(),
    set: (name, value) => c.header(name, value),
    append: (name, value) => c.header(name, value, { append: true }),
  };
}

/**
 * Middleware for routes that need a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by `app.onError`),
 * or a redirect to `loginPage`.
 *
 * @example app.get("/account", requireUser({ loginPage: "/login" }), (c) => c.text(c.var.session.userId!));
 */
export function requireUser(options: GuardOptions = {}): MiddlewareHandler {
  return guard("requireUser", createUserGuard("hono", options));
}

/**
 * Middleware for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}.
 *
 * @example app.post("/pay", requireRecentSignIn({ within: "10m", loginPage: "/login" }), pay);
 */
export function requireRecentSignIn(options: RecentSignInOptions): MiddlewareHandler {
  return guard("requireRecentSignIn", createRecentSignInGuard("hono", options));
}

function guard(name: string, decide: Guard): MiddlewareHandler {
  const check: MiddlewareHandler = async (c, next) => {
    const location = await decide(c, (c.var as { session?: unknown }).session);
    return location === undefined ? next() : c.redirect(location, 303);
  };
  return (c, next) => {
    expectFramework("hono", name, c);
    return check(c, next);
  };
}
