import { andThen, isPromise, rejecting, run, wait, type Answer, type Coroutine } from "../coroutine.ts";
import { adopt, formerIn } from "../lifecycle/adopt.ts";
import { removeFormer } from "./former-cookies.ts";
import { issueCookie } from "./issued-cookie.ts";
import { openPresented, type Presented, type PresentedLater } from "./presented-tokens.ts";
import type { RequestSession } from "./request-session.ts";

const DONE = Promise.resolve();

/**
 * Reads the session. Several layers of an application may call it: the store is asked once. `undefined` where there is
 * nothing to wait for.
 *
 * @throws only by the promise.
 */
export function loadSession(requestSession: RequestSession): Promise<void> | undefined {
  const { state } = requestSession;
  if (state.kind === "unreadable") return Promise.reject(state.error);
  if (state.kind !== "unread") return undefined;
  if (requestSession.loading) return requestSession.loading;
  // A listener of an event of this reading may ask for the session before it has returned.
  requestSession.loading = DONE;
  return (requestSession.loading = traced(requestSession, state.presented) as Promise<void> | undefined);
}

function traced(
  requestSession: RequestSession,
  presented: readonly Presented[] | PresentedLater | undefined,
): Answer<void> {
  const { tracing } = requestSession.context;
  if (!tracing) return read(requestSession, presented);
  const id = typeof presented === "object" ? presented[0]!.token.id : undefined;
  return rejecting(() =>
    tracing.run(
      "open",
      { id },
      () => read(requestSession, presented),
      () => ({ status: requestSession.tokenStatus }),
    ),
  );
}

/** Throws only by the promise. */
function read(requestSession: RequestSession, given: readonly Presented[] | PresentedLater | undefined): Answer<void> {
  try {
    const presented = typeof given === "function" ? given() : given;
    const reading = presented ? readPresented(requestSession, presented) : run(readFormer(requestSession));
    return isPromise(reading) ? reading.catch((error: unknown) => fail(requestSession, error)) : undefined;
  } catch (error) {
    return rejecting(() => fail(requestSession, error));
  }
}

function fail(requestSession: RequestSession, caught: unknown): never {
  const error = requestSession.bearer?.explain(caught) ?? caught;
  requestSession.refuse(error);
  throw error;
}

function readPresented(requestSession: RequestSession, presented: readonly Presented[]): Answer<void> {
  requestSession.namedId = presented[0]!.token.id;
  return andThen(openPresented(requestSession.context, presented, requestSession), ({ state, isPersonal }) => {
    requestSession.opened(state, isPersonal);
  });
}

/** Goes on with a former library's session, where the request has the cookie of one. */
function* readFormer(requestSession: RequestSession): Coroutine<void> {
  const { context, request } = requestSession;
  const found = formerIn(context, request.cookieHeader);
  const adopted = found.length > 0 ? yield* wait(adopt(context, found, () => requestSession.client)) : undefined;
  if (!adopted) return requestSession.opened({ kind: "none", tokenStatus: "anonymous" }, false);
  requestSession.opened(adopted.state, true);
  requestSession.hasAdopted = adopted.isNew;
  // Without the cookie, the next request with the former one goes on with the same session.
  if (!requestSession.progress.canSetCookie) return;
  requestSession.cookie.clearFormer(removeFormer(context, adopted.sources, request.isSecure));
  if (requestSession.token) issueCookie(requestSession);
}
