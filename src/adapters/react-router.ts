import type { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  createRecentSignInGuard,
  createUserGuard,
  disconnectionOf,
  expectFramework,
  isPrefetch,
  mountOf,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
} from "./adapter.ts";
import { answerRequest, answerSessionError } from "./answer-request.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

/** The part of React Router's `RouterContextProvider` that is used here. */
interface ContextProvider {
  get<Value>(context: RouterContext<Value>): Value;
  set<Value>(context: RouterContext<Value>, value: Value): void;
}

/** A key for `context.get()`, as React Router's `createContext()` makes it. */
export interface RouterContext<Value> {
  /** The value where nothing was set. */
  readonly defaultValue?: Value;
}

/** What React Router gives to a middleware. */
export interface MiddlewareArguments {
  /** The request as it came: the path of data that the browser fetches ends with `.data`. */
  readonly request: Request;
  /** The URL of the page. */
  readonly url: URL;
  /** The parameters of the route. */
  readonly params: Readonly<Record<string, string | undefined>>;
  /** The context of the request. */
  readonly context: ContextProvider;
}

/** A middleware of React Router. */
export type Middleware = (args: MiddlewareArguments, next: () => Promise<Response>) => Promise<Response>;

/** The options of {@link sessionMiddleware} for React Router. The functions among them are given what a middleware is given. */
export interface ReactRouterOptions extends AdapterOptions<MiddlewareArguments> {
  /**
   * Makes the response for a session that could not be read or stored. An error boundary is shown where it throws
   * `data(null, { status: 503 })`. Default: plain text with the error's status, and the error on the console.
   */
  onError?: ((error: SessionError, args: MiddlewareArguments) => Response | Promise<Response>) | undefined;
}

/**
 * Where loaders, actions and middleware find the session of the request: `context.get(sessionContext)`.
 *
 * @throws TypeError if the middleware has not run, and for a page that is rendered when the application is built.
 */
export const sessionContext: RouterContext<Session> = {
  // React Router asks for it where nothing was set.
  get defaultValue(): Session {
    if (isBuilding()) {
      throw new TypeError(
        "A page that is rendered by the build has no session: take it out of prerender in react-router.config.ts, or leave the session out of its loaders",
      );
    }
    throw new TypeError(`This request has no session: ${mountOf("react-router")}`);
  },
};

/**
 * Middleware for React Router 8, for `app/root.tsx`. The session is read before the loaders and the action, and stored once
 * after them, before the response leaves. Requests of prefetching links do not extend it.
 *
 * @example
 * export const middleware = [sessionMiddleware(sessions)];
 * export const loader = ({ context }: Route.LoaderArgs) => ({ username: context.get(sessionContext).data.username });
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: ReactRouterOptions = {},
): Middleware {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const { passive, onError = answerSessionError, context } = options;
  const prepare = resolveAdapterOptions<MiddlewareArguments, ReactRouterOptions>(
    "sessionMiddleware",
    { ...options, passive: (args) => isPrefetch(args.request) || passive?.(args) === true },
    { ...ADAPTER_OPTIONS, onError: true },
  );
  const answering = { prepare, context, onError };
  return (args, next) => {
    if (typeof args?.context?.set !== "function") expectFramework("react-router", "sessionMiddleware", args);
    if (isBuilding()) return next();
    const session = beginSession(args.request);
    args.context.set(sessionContext, session as unknown as Session);
    return answerRequest(answering, session, args, next, disconnectionOf(args.request));
  };
}

/** Whether `react-router build` renders a page, whose response is a file for everybody. */
function isBuilding(): boolean {
  return globalThis.process?.env["IS_RR_BUILD_REQUEST"] === "yes";
}

/**
 * Middleware for routes that need a signed-in user. Without one, it redirects to `loginPage`, or shows the error boundary
 * with the status 401.
 *
 * @example export const middleware = [requireUser({ loginPage: "/login" })];
 */
export function requireUser(options: GuardOptions = {}): Middleware {
  return guard("requireUser", createUserGuard("react-router", options));
}

/** Middleware for routes that need a sign-in that is no older than `within`. It does otherwise as {@link requireUser}. */
export function requireRecentSignIn(options: RecentSignInOptions): Middleware {
  return guard("requireRecentSignIn", createRecentSignInGuard("react-router", options));
}

function guard(name: string, decide: Guard): Middleware {
  return async (args, next) => {
    if (typeof args?.context?.get !== "function") expectFramework("react-router", name, args);
    const location = await decideOn(args, decide);
    return location === undefined ? next() : new Response(null, { status: 303, headers: { location } });
  };
}

async function decideOn({ request, url, context }: MiddlewareArguments, decide: Guard): Promise<string | undefined> {
  // React Router fetches the data of a page that the user opens, by another path. It follows a redirect to the login page.
  const { pathname } = new URL(request.url);
  const isData = pathname.endsWith(".data") && pathname !== url.pathname;
  const page = isData ? new Request(url, { method: request.method, headers: { accept: "text/html" } }) : request;
  try {
    return await decide(page, context.get(sessionContext));
  } catch (error) {
    // Of an error, React Router shows nothing. Of a response, the error boundary has the status and the text.
    throw (error as Partial<SessionError>).getResponse?.() ?? error;
  }
}
