/// <reference types="node" preserve="true" />
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  createRecentSignInGuard,
  createUserGuard,
  logSessionError,
  type AdapterOptions,
  type Guard,
  type GuardOptions,
  type RecentSignInOptions,
} from "./adapter.ts";
import { nodeAdapter, respondWithError } from "./node-response/entry.ts";

export { returnTo, type GuardOptions, type RecentSignInOptions, type ReturnOptions } from "./adapter.ts";

type SessionListener<Data extends object> = (
  req: IncomingMessage,
  res: ServerResponse,
  session: Session<Data>,
) => unknown;

/** The options of {@link withSession} for node:http. */
export interface NodeOptions extends AdapterOptions<IncomingMessage> {
  /**
   * Answers a request whose session could not be read or stored, or whose handler threw. Default: plain text with the
   * error's status, or 500, and the error on the console. A response that has begun is cut off.
   */
  onError?: ((error: unknown, req: IncomingMessage, res: ServerResponse) => void) | undefined;
}

/**
 * Wraps a handler for `http.createServer`, so that it gets the session as its third argument.
 *
 * The session is read before the handler, and stored before the first byte of the response is sent. If that fails
 * (`ERR_SESSION_STORE` and the other codes), `onError` sends the response.
 *
 * @example
 * createServer(withSession(sessions, (req, res, session) => {
 *   session.data.visits = (session.data.visits ?? 0) + 1;
 *   res.end(`Visit ${session.data.visits}`);
 * }));
 *
 * @throws TypeError for anything but what `createSessions` made.
 */
export function withSession<Data extends object>(
  sessions: Sessions<Data>,
  handler: SessionListener<Data>,
  options: NodeOptions = {},
): RequestListener {
  const serve = nodeAdapter<Data, IncomingMessage, NodeOptions>(sessions, {
    name: "withSession",
    options,
    names: { ...ADAPTER_OPTIONS, onError: true },
  });
  const { onError = answerError } = options;

  async function answer(error: unknown, req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const answering: unknown = onError(error, req, res);
      await answering;
    } catch (failure) {
      // Nobody else would catch it.
      answerError(failure, req, res);
    }
  }

  return (req, res) => {
    const onFailure = (error: unknown) => void answer(error, req, res);
    try {
      const serving = serve({ request: req, res, onFailure, handle: (session) => handler(req, res, session) });
      if (isThenable(serving)) serving.then(undefined, onFailure);
    } catch (error) {
      onFailure(error);
    }
  };
}

/** Some libraries have a class of promises of their own. */
function isThenable(result: unknown): result is PromiseLike<unknown> {
  return typeof (result as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}

function answerError(error: unknown, _req: IncomingMessage, res: ServerResponse): void {
  logSessionError(error);
  respondWithError(error, res);
}

/**
 * Wraps a handler of a route that needs a signed-in user. Without one, the answer is 401 (`ERR_SESSION_SIGN_IN`, by
 * `onError`), or a redirect to `loginPage`.
 *
 * @example
 * const account = requireUser((req, res, session) => res.end(session.userId), { loginPage: "/login" });
 * createServer(withSession(sessions, account));
 */
export function requireUser<Data extends object>(
  handler: SessionListener<Data>,
  options: GuardOptions = {},
): SessionListener<Data> {
  return guard(handler, createUserGuard("node", options));
}

/** Wraps a handler of a route that needs a sign-in that is no older than `within`. It does otherwise as {@link requireUser}. */
export function requireRecentSignIn<Data extends object>(
  handler: SessionListener<Data>,
  options: RecentSignInOptions,
): SessionListener<Data> {
  return guard(handler, createRecentSignInGuard("node", options));
}

function guard<Data extends object>(handler: SessionListener<Data>, decide: Guard): SessionListener<Data> {
  return async (req, res, session) => {
    const location = await decide(req, session);
    if (location === undefined) return handler(req, res, session);
    return res.writeHead(303, { location }).end();
  };
}
