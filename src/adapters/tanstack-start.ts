import type { RequestServerOptions, RequestServerResult } from "@tanstack/react-start";
import type { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  claimResponse,
  describesResponse,
  disconnectionOf,
  expectFramework,
  isPrefetch,
  mountOf,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
  type DeclaredData,
} from "./adapter.ts";
import { answerRequest, answerSessionError } from "./answer-request.ts";

export { returnTo, type ReturnOptions } from "./adapter.ts";

/** What Start gives to a request middleware. */
export interface RequestContext {
  /** The request as it came. */
  readonly request: Request;
  /** The path of the request. That of a server function begins with `/_serverFn/`. */
  readonly pathname: string;
  /** What handles the request: a server function that the browser calls, or a route. */
  readonly handlerType: "serverFn" | "router";
}

/** The options of {@link sessionMiddleware} for TanStack Start. The functions among them are given what a middleware is given. */
export interface StartOptions extends AdapterOptions<RequestContext> {
  /**
   * Makes the response for a session that could not be read or stored. Default: plain text with the error's status, and
   * the error on the console.
   */
  onError?: ((error: SessionError, context: RequestContext) => Response | Promise<Response>) | undefined;
}

/** What the middleware adds to the context of server functions and server routes: `context.session`. */
export interface SessionContext<Data extends object = DeclaredData> {
  /** The session of the request. */
  session: Session<Data>;
}

/** The function that {@link sessionMiddleware} gives, for `createMiddleware().server()`. */
export type SessionServerFn<Data extends object> = <TRegister, TMiddlewares>(
  options: RequestServerOptions<TRegister, TMiddlewares>,
) => Promise<RequestServerResult<TRegister, TMiddlewares, SessionContext<Data>> | Response>;

/**
 * A request middleware for TanStack Start. `context.session` of server functions and server routes is the session. It is
 * read before them, and stored once after them, before the response leaves. Requests of prefetching links do not extend it.
 *
 * @example
 * const session = createMiddleware().server(sessionMiddleware(sessions));
 * export const startInstance = createStart(() => ({ requestMiddleware: [session] }));
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: StartOptions = {},
): SessionServerFn<Data> {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const { passive, onError = answerSessionError, context } = options;
  const prepare = resolveAdapterOptions<RequestContext, StartOptions>(
    "sessionMiddleware",
    { ...options, passive: (given) => isPrefetch(given.request) || passive?.(given) === true },
    { ...ADAPTER_OPTIONS, onError: true },
  );
  const answering = { prepare, context, onError };
  return async (given) => {
    if (typeof given?.next !== "function") expectFramework("tanstack-start", "sessionMiddleware", given);
    const { request, next } = given;
    const handlerType = given.handlerType as RequestContext["handlerType"] | undefined;
    if (isPrerendering()) return next({ context: { session: prerendered as Session<Data> } });
    const session = beginSession(request);
    if (handlerType === undefined) {
      // A middleware of one server function: pages call it while they are rendered, and it has no response of its own.
      if (claimResponse(session)) throw new TypeError(`This request has no session: ${mountOf("tanstack-start")}`);
      await prepare(session, given);
      return next({ context: { session } });
    }
    let handled: Response | undefined;
    const handle = async () => (handled = (await next({ context: { session } })).response);
    const response = await answerRequest(answering, session, given, handle, disconnectionOf(request));
    if (response !== handled) publish(await helpers(), response, handled);
    return response;
  };
}

/** Start's functions for headers. They are loaded at the first use: this entry can then be looked at without Start. */
const helpers = () => import("@tanstack/react-start/server");

/** Start applies what the application gave to `setResponseHeader` and the like once more, to the response that we return. */
function publish(start: Awaited<ReturnType<typeof helpers>>, response: Response, handled: Response | undefined): void {
  const isFailure = response.status !== handled?.status;
  if (isFailure) {
    for (const name of start.getResponseHeaders().keys()) {
      if (describesResponse(name)) start.removeResponseHeader(name);
    }
    start.setResponseStatus(response.status);
  }
  for (const [name, value] of response.headers) {
    if (name === "set-cookie") start.appendResponseHeader(name, value);
    else if (isFailure || handled.headers.get(name) !== value) start.setResponseHeader(name, value);
  }
}

/** Whether the build renders a page, whose response is a file for everybody. */
function isPrerendering(): boolean {
  return globalThis.process?.env["TSS_PRERENDERING"] === "true";
}

const prerendered = new Proxy(
  {},
  {
    get() {
      throw new TypeError(
        "A page that is rendered by the build has no session: leave it out of prerender in vite.config.ts, or leave the session out of its loaders",
      );
    },
  },
);
