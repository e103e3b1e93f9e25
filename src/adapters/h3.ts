/// <reference types="node" preserve="true" />
import { HTTPError, HTTPResponse, toResponse, type H3Event, type Middleware } from "h3";
import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  claimResponse,
  commitSession,
  concludeSession,
  createRecentSignInGuard,
  createUserGuard,
  endSession,
  expectFramework,
  failResponse,
  finishSession,
  logSessionError,
  reportBypass,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
  type CloseSource,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
  type ResponseHeaders,
} from "./adapter.ts";
import { checkUnkept, refuseCached } from "./cached-route.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

declare module "h3" {
  interface H3EventContext {
    /** The session. Its data are typed by `SessionData` of "sojourn". */
    session: Session;
  }
}

/**
 * Middleware for h3 2 and Nitro 3. `event.context.session` is the session. It is stored before the response is returned.
 * Errors of reading and storing, and those of handlers, go to the option `onError` of the application.
 *
 * @example
 * const app = new H3().use(sessionMiddleware(sessions));
 * app.get("/", (event) => `Hello ${event.context.session.data.username ?? "stranger"}`);
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: AdapterOptions<H3Event> = {},
): Middleware {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const prepare = resolveAdapterOptions<H3Event, AdapterOptions<H3Event>>(
    "sessionMiddleware",
    options,
    ADAPTER_OPTIONS,
  );
  const { context, bearer } = options;
  const credentials = bearer ? ["cookie", "authorization"] : ["cookie"];
  const respond = async (event: H3Event, next: () => unknown): Promise<unknown> => {
    const session = beginSession(event.req);
    const isOutermost = claimResponse(session, sourceOf(event));
    carry(event, session as unknown as Session, credentials);
    // A response to an error keeps the headers of earlier middleware, which h3 forgets with the response before it.
    const { res } = event;
    const fail = async (error: unknown): Promise<Response> => {
      if (event.res !== res) for (const [name, value] of res.errHeaders) event.res.errHeaders.append(name, value);
      return failResponse(session, await errorResponse(event, error));
    };
    try {
      await prepare(session, event);
    } catch (error) {
      if (!isOutermost) throw error;
      return fail(error);
    }
    const { req } = event;
    const check = () => checkForOne(event, req, credentials);
    const handle = () => (context ? context.run(session, next, check) : next());
    if (!isOutermost) return handle();

    let value: unknown;
    let response: Response;
    try {
      value = await handle();
      if (value === HANDLED) {
        reportBypass(session, "by a handler of node:http, which has written the response itself");
        return value;
      }
      response = await toResponse(value, event, configOf(event));
    } catch (error) {
      response = value = await errorResponse(event, error);
    }
    try {
      if (!isRunning(value)) {
        // h3 has just made this response: nobody else has it.
        await concludeSession(session, headersOf(response));
        await finishSession(session);
        endSession(session);
        return response;
      }
      context?.bindStream(session, response);
      return await commitSession(session, response);
    } catch (error) {
      return fail(error);
    }
  };
  return (event, next) => {
    if (typeof event?.req?.headers?.get !== "function") expectFramework("h3", "sessionMiddleware", event);
    return respond(event, next);
  };
}

/** Where the context of an event has its session. */
const CARRIED = Symbol("sojourn.carried");

interface Carrier {
  [CARRIED]?: {
    readonly event: H3Event;
    readonly req: H3Event["req"];
    readonly credentials: readonly string[];
    readonly session: Session;
  };
}

function carry(event: H3Event, session: Session, credentials: readonly string[]): void {
  const context = event.context as Carrier;
  context[CARRIED] = { event, req: event.req, credentials, session };
  Object.defineProperty(context, "session", SESSION);
}

/** @param req - the request as the client sent it. @throws TypeError where the response is kept for everybody. */
function checkForOne(event: H3Event, req: H3Event["req"], credentials: readonly string[]): void {
  const { routeRules } = event.context as { routeRules?: { isr?: unknown } };
  if (routeRules?.isr) refuseCached();
  checkUnkept(req, event.req, credentials);
}

/** One accessor for all: with functions of its own, V8 would make a hidden class of each context. */
const SESSION: PropertyDescriptor & ThisType<Carrier> = {
  configurable: true,
  enumerable: true,
  get() {
    const { event, req, credentials, session } = this[CARRIED]!;
    checkForOne(event, req, credentials);
    return session;
  },
};

/** A handler gives it that has answered through the response of node:http. Each copy of h3 has the same symbol. */
const HANDLED = Symbol.for("h3.handled");

/** Whether the program may run on while a value is sent, or keep the response. */
function isRunning(value: unknown): boolean {
  const body = value instanceof HTTPResponse ? (value.body as unknown) : value;
  if (value instanceof Response || body instanceof ReadableStream) return true;
  return typeof (body as { pipe?: unknown } | null | undefined)?.pipe === "function";
}

/** Where the event `close` comes from. The request of a WebSocket has only a socket. */
function sourceOf(event: H3Event): CloseSource | undefined {
  const { res, upgrade } = (event.runtime?.node ?? {}) as { res?: CloseSource; upgrade?: { socket?: CloseSource } };
  return res ?? upgrade?.socket;
}

/**
 * The response to an error, as the application makes it. We make it here, since h3 drops all headers of a response that
 * comes of the option `onError`.
 */
async function errorResponse(event: H3Event, error: unknown): Promise<Response> {
  return toResponse(Promise.reject(asHttpError(error)), event, configOf(event));
}

/** The hook is called by h3 itself, for the response that we give. */
function configOf(event: H3Event): NonNullable<H3Event["app"]>["config"] {
  const { onResponse: _onResponse, ...config } = event.app?.config ?? {};
  return config;
}

/** Gives h3 the status and the headers of our error. It logs and hides the errors of others. */
function asHttpError(error: unknown): unknown {
  if (!(error instanceof SessionError)) return error;
  logSessionError(error);
  const { status, headers, message, expose } = error;
  return new HTTPError({ status, headers: new Headers(headers), message: expose ? message : HIDDEN, cause: error });
}

const HIDDEN = "The session is not available";

function headersOf({ status, headers }: Response): ResponseHeaders {
  return {
    status,
    get: (name) => headers.get(name),
    keys: () => headers.keys(),
    set: (name, value) => headers.set(name, value),
    append: (name, value) => headers.append(name, value),
  };
}

/**
 * Middleware for routes that need a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by the option
 * `onError`), or a redirect to `loginPage`.
 *
 * @example app.get("/account", (event) => event.context.session.userId, { middleware: [requireUser({ loginPage: "/login" })] });
 */
export function requireUser(options: GuardOptions = {}): Middleware {
  return guard("requireUser", createUserGuard("h3", options));
}

/**
 * Middleware for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}.
 *
 * @example app.use("/pay", requireRecentSignIn({ within: "10m", loginPage: "/login" }));
 */
export function requireRecentSignIn(options: RecentSignInOptions): Middleware {
  return guard("requireRecentSignIn", createRecentSignInGuard("h3", options));
}

function guard(name: string, decide: Guard): Middleware {
  const check: Middleware = async (event, next) => {
    const location = await decide(event, (event.context as { session?: unknown }).session);
    return location === undefined ? next() : new Response(null, { status: 303, headers: { location } });
  };
  return (event, next) => {
    expectFramework("h3", name, event);
    return check(event, next);
  };
}
