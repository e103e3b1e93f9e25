import type { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  createRecentSignInGuard,
  createUserGuard,
  expectFramework,
  resolveAdapterOptions,
  findAddress,
  findResponse,
  sessionFactory,
  tellAddress,
  type AdapterOptions,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
} from "./adapter.ts";
import { answerRequest, answerSessionError } from "./answer-request.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

/** A handler of any server that speaks Request and Response. Further arguments of the server follow the session. */
export type SessionHandler<Data extends object, Rest extends unknown[]> = (
  request: Request,
  session: Session<Data>,
  ...rest: Rest
) => Response | Promise<Response>;

/** The options of {@link withSession} for fetch handlers. */
export interface FetchOptions extends AdapterOptions<Request> {
  /**
   * Makes the response for a session that could not be read or stored. Default: plain text with the error's status, and
   * the error on the console.
   */
  onError?: ((error: SessionError, request: Request) => Response | Promise<Response>) | undefined;
}

/**
 * A fetch handler around one that is given a session as well. The session is read before the handler, and stored before
 * its response is returned. The handler's own errors are passed on.
 *
 * @example
 * export default {
 *   fetch: withSession(sessions, (request, session) => new Response(`Hello ${session.data.username ?? "stranger"}`)),
 * };
 *
 * @throws TypeError for anything but what `createSessions` made.
 */
export function withSession<Data extends object, Rest extends unknown[] = []>(
  sessions: Sessions<Data>,
  handler: SessionHandler<Data, Rest>,
  options: FetchOptions = {},
): (request: Request, ...rest: Rest) => Promise<Response> {
  const beginSession = sessionFactory(sessions, "withSession");
  const prepare = resolveAdapterOptions<Request, FetchOptions>("withSession", options, {
    ...ADAPTER_OPTIONS,
    onError: true,
  });
  const { onError = answerSessionError, context } = options;
  const answering = { prepare, context, onError };
  const handleRequest = (request: Request, rest: Rest): Promise<Response> => {
    const session = beginSession(request);
    if (rest[0]) tellAddress(session, () => findAddress(rest[0], request));
    return answerRequest(answering, session, request, () => handler(request, session, ...rest), findResponse(rest[0]));
  };
  // At once: nobody would see the rejection of a promise that another framework does not expect.
  return (request, ...rest) => {
    if (typeof request?.headers?.get !== "function") expectFramework("fetch", "withSession", request);
    return handleRequest(request, rest);
  };
}

/**
 * Wraps a handler of a route that needs a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by
 * `onError`), or a redirect to `loginPage`.
 *
 * @example
 * const account = requireUser((request, session) => new Response(session.userId), { loginPage: "/login" });
 * const handle = withSession(sessions, account);
 */
export function requireUser<Data extends object, Rest extends unknown[] = []>(
  handler: SessionHandler<Data, Rest>,
  options: GuardOptions = {},
): SessionHandler<Data, Rest> {
  return guard(handler, createUserGuard("fetch", options));
}

/** Wraps a handler of a route that needs a sign-in that is no older than `within`. It does otherwise as {@link requireUser}. */
export function requireRecentSignIn<Data extends object, Rest extends unknown[] = []>(
  handler: SessionHandler<Data, Rest>,
  options: RecentSignInOptions,
): SessionHandler<Data, Rest> {
  return guard(handler, createRecentSignInGuard("fetch", options));
}

function guard<Data extends object, Rest extends unknown[]>(
  handler: SessionHandler<Data, Rest>,
  decide: Guard,
): SessionHandler<Data, Rest> {
  return async (request, session, ...rest) => {
    const location = await decide(request, session);
    if (location === undefined) return handler(request, session, ...rest);
    return new Response(null, { status: 303, headers: { location } });
  };
}
