/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  claimResponse,
  resolveAdapterOptions,
  ADAPTER_OPTIONS,
  sessionFactory,
  type AdapterOptions,
} from "../adapters/adapter.ts";
import { useDictionaryMode } from "../adapters/dictionary-mode.ts";
import { setFailureHeaders, storeBeforeHeaders } from "../adapters/node-response/store-before-headers.ts";
import type { Dictionary } from "../changes/codec.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import { pathOf } from "../request/target.ts";
import { contextOf, sessionsWith, type Sessions } from "../sessions.ts";
import { resolve, type SessionOptions } from "./options.ts";
import { RequestState, type SessionRequest } from "./session-request.ts";
import { SessionView } from "./session-view.ts";
import type { StoreRequest } from "./store.ts";

type Next = (error?: unknown) => void;

/** The middleware that `session()` makes. */
export interface SessionMiddleware {
  (req: IncomingMessage, res: ServerResponse, next: Next): void;
  /** The sessions of Sojourn behind it: `list`, `revoke`, `revokeAll`, `on`, `close` and the others. */
  readonly sessions: Sessions<Dictionary>;
  /** The sessions by their ids, as `req.sessionStore` has them. */
  readonly store: SessionView;
}

/** What one secret makes of the options. */
interface Runtime {
  readonly sessions: Sessions<Dictionary>;
  readonly view: SessionView;
  readonly begin: ReturnType<typeof sessionFactory<Dictionary>>;
}

/** Where a request has its state, for the calls of a store that are given a request. */
const STATE = Symbol("sojourn.expressSession.state");

/**
 * The middleware of express-session on Sojourn's core: the same options, `req.session`, `req.sessionID` and
 * `req.sessionStore`. No parallel request loses an update, a sign-out is final, and the response leaves when its session is
 * stored.
 *
 * @example
 * import session from "sojourn/express-session";
 * app.use(session({ secret: process.env.SECRET_KEY, resave: false, saveUninitialized: false }));
 *
 * @throws TypeError for an option that can't be meant.
 */
export function session(options: SessionOptions = {}): SessionMiddleware {
  const { passive, personal, bearer, csrf, context, ...rest } = options;
  const given = Object.entries({ passive, personal, bearer, csrf, context }).filter(([, value]) => value !== undefined);
  const resolved = resolve(rest);
  const prepare = resolveAdapterOptions<IncomingMessage, AdapterOptions<IncomingMessage>>(
    "session",
    Object.fromEntries(given),
    ADAPTER_OPTIONS,
  );
  const runtimes = new Map<unknown, Runtime>();
  let isDisconnected = false;
  resolved.given?.on?.("disconnect", () => (isDisconnected = true));
  resolved.given?.on?.("connect", () => (isDisconnected = false));

  function runtimeFor(secret: unknown): Runtime | undefined {
    const found = runtimes.get(secret);
    if (found) return found;
    const settings = resolved.settings(secret);
    if (!settings) return undefined;
    const sessions = sessionsWith<Dictionary>(settings);
    const view = new SessionView(sessions, contextOf(sessions), generate);
    for (const event of ["connect", "disconnect"])
      resolved.given?.on?.(event, (...args: unknown[]) => void view.emit(event, ...args));
    const runtime = { sessions, view, begin: sessionFactory(sessions, "session") };
    runtimes.set(secret, runtime);
    return runtime;
  }
  const own = runtimeFor(undefined);

  const middleware = (req: SessionRequest & { secret?: unknown }, res: ServerResponse, next: Next): void => {
    if (req.session || (isDisconnected && resolved.skipsDisconnected)) return next();
    const path = resolved.cookieFor(req).path ?? "/";
    if (!(pathOf(req) || "/").startsWith(path)) return next();
    const runtime = own ?? runtimeFor(req.secret);
    if (!runtime) return next(new Error("secret option required for sessions"));
    if ("app" in req) {
      useDictionaryMode(req);
      useDictionaryMode(res);
    }
    const core = runtime.begin(req);
    const state = new RequestState(req, core, resolved);
    (req as { [STATE]?: RequestState })[STATE] = state;
    req.sessionStore = runtime.view;
    // A WebSocket has none: ws and Socket.IO give an object in its place.
    const hasResponse = typeof (res as Partial<ServerResponse>).getHeaderNames === "function";
    const isOutermost = hasResponse && claimResponse(core, res);
    const proceed = (): void => {
      if (!hasResponse) requestSessionOf(core).progress.attach();
      state.start();
      if (isOutermost) {
        res.on("error", ignoreSecondEnd);
        storeBeforeHeaders(core, res, next, undefined, state);
      }
      if (!context) return next();
      context.bindEvents(core, req, res);
      context.run(core, next);
    };
    const reading = prepare(core, req);
    if (!reading) return proceed();
    reading
      .then(proceed, (error: unknown) => {
        if (hasResponse) setFailureHeaders(core, res);
        next(error);
      })
      .catch(next);
  };

  const found = (): Runtime => {
    const runtime = own ?? runtimes.values().next().value;
    if (!runtime) throw new TypeError("session() has no secret yet: give it the option secret");
    return runtime;
  };
  return Object.defineProperties(middleware, {
    sessions: { get: () => found().sessions },
    store: { get: () => found().view },
  }) as unknown as SessionMiddleware;
}

/**
 * A handler that ends its response twice goes unnoticed with express-session. Nobody else may listen: the error of Node would end
 * the process.
 */
function ignoreSecondEnd(this: ServerResponse, error: Error & { code?: string }): void {
  if (error.code !== "ERR_STREAM_WRITE_AFTER_END" && this.listenerCount("error") === 1) throw error;
}

function generate(req: StoreRequest): void {
  const state = (req as { [STATE]?: RequestState })[STATE];
  if (!state) throw new TypeError("store.generate(req): this request has not come through the session middleware");
  state.end();
  state.install();
}
