import type { IncomingMessage, ServerResponse } from "node:http";
import { forbidCaching } from "../../request/cache-headers.ts";
import { SessionError } from "../../errors.ts";
import type { Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import {
  ADAPTER_OPTIONS,
  claimResponse,
  concludeSession,
  dependsOnSession,
  endSession,
  failSession,
  finishSession,
  linkReplacement,
  logSessionError,
  reportBypass,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
  type ResponseHeaders,
} from "../adapter.ts";
import { respondWithError, setFailureHeaders, storeBeforeHeaders } from "../node-response/entry.ts";
import {
  CARRIED,
  carry,
  checkUncached,
  clientSession,
  isKeptForAll,
  sessionIn,
  type Carried,
  type Context,
  type NuxtEvent,
} from "./carried.ts";
import { asHttpError } from "./http-error.ts";

const MOUNTED = Symbol("sojourn.mounted");

/** What is used of the application of Nitro 2. */
interface NitroApp {
  readonly h3App: { handler(event: NuxtEvent): unknown; [MOUNTED]?: true };
  readonly router: { use(path: string, handler: (event: NuxtEvent) => unknown, method: "get" | "delete"): unknown };
  readonly hooks: {
    hook(name: "request", listener: (event: NuxtEvent) => unknown): unknown;
    hook(name: "beforeResponse", listener: (event: NuxtEvent, response: { body?: unknown }) => unknown): unknown;
  };
}

interface CarryingRequest extends IncomingMessage {
  [CARRIED]?: Carried;
  /** In a request of the server to itself: the context of the event whose `$fetch` was called. */
  readonly __unenv__?: Context;
}

/**
 * The plugin of Nitro 2 that the module adds. Every request has its session in `event.context.session`, and it is stored
 * before the first byte of the response leaves.
 *
 * @throws TypeError for `sessions` that createSessions has not made.
 */
export function sessionPlugin<Data extends object>({
  sessions,
  options = {},
}: {
  readonly sessions: Sessions<Data>;
  readonly options?: AdapterOptions<NuxtEvent>;
}): (nitroApp: NitroApp) => void {
  const beginSession = sessionFactory(sessions, "sojourn/nuxt");
  const prepare = resolveAdapterOptions<NuxtEvent, AdapterOptions<NuxtEvent>>("sojourn/nuxt", options, ADAPTER_OPTIONS);
  const { context, bearer } = options;
  const credentials = bearer ? ["cookie", "authorization"] : ["cookie"];

  async function serve(event: NuxtEvent, next: () => unknown): Promise<unknown> {
    const { res } = event.node;
    const req: CarryingRequest = event.node.req;
    const page = pageOf(req, credentials);
    if (page) linkReplacement(req, page.req);
    const session = beginSession(req);
    req[CARRIED] = { session: session as unknown as Session, req: page?.req ?? req };
    const isOutermost = claimResponse(session, res);
    try {
      // The server itself has made a page's request, with the headers of the client: there is nothing to refuse.
      if (page) await session.load();
      else if (!isErrorPage(event)) await prepare(session, event);
    } catch (error) {
      setFailureHeaders(session, res);
      throw asHttpError(error);
    }
    if (isOutermost && !isInternal(res)) storeBeforeHeaders(session, res, (error) => answer(error, res));
    if (isOutermost && isInternal(res)) res.once("close", () => reportBypass(session, UNHEARD));
    context?.bindEvents(session, req, res);
    try {
      return await (context ? context.run(session, next, () => checkUncached(event.context)) : next());
    } catch (error) {
      // h3 1 leaves a response open whose body fails, and its client waits.
      if (res.headersSent && !res.writableEnded) respondWithError(error, res);
      else if (error instanceof SessionError) forbidCaching(headersOf(res));
      throw asHttpError(error);
    }
  }

  return ({ h3App, hooks, router }) => {
    if (MOUNTED in h3App) throw new TypeError("sojourn/nuxt: the application has sessions already");
    const handle = h3App.handler;
    h3App[MOUNTED] = true;
    h3App.handler = (event) => serve(event, () => handle(event));
    hooks.hook("request", ({ node, context: given }) => {
      const carried = (node.req as CarryingRequest)[CARRIED];
      if (carried) carry(given, carried);
    });
    hooks.hook("beforeResponse", concludeInternal);
    router.use(
      PATH,
      handler(async ({ context: given }) => clientSession(await sessionIn(given).load())),
      "get",
    );
    router.use(
      PATH,
      handler(async ({ context: given }) => signOut(await sessionIn(given).load())),
      "delete",
    );
  };
}

const PATH = "/api/_auth/session";
const UNHEARD =
  "by a request that the server made to itself: call event.$fetch, or useRequestFetch(), which share its session";

/** The functions of h3 carry this mark. */
const handler = (handle: (event: NuxtEvent) => unknown) => Object.assign(handle, { __is_handler__: true });

function signOut(session: Session): object {
  session.signOut();
  return { loggedOut: true };
}

/**
 * The page that has made a request to its own server, by `event.$fetch` or `useFetch`. Both have one session: the cookie of
 * the page's response is the only one that reaches the client.
 */
function pageOf({ __unenv__: context, headers }: CarryingRequest, credentials: readonly string[]): Carried | undefined {
  const page = context?.[CARRIED];
  // What is made for everybody is made without a user.
  if (!context || !page || isKeptForAll(context)) return undefined;
  return credentials.every((name) => page.req.headers[name] === headers[name]) ? page : undefined;
}

/** Whether a response does not leave the server. */
const isInternal = (res: ServerResponse): boolean => "__unenv__" in res;

/** Whether Nuxt asks itself for the page of an error, whose headers it copies into the client's response. */
function isErrorPage({ node }: NuxtEvent): boolean {
  return isInternal(node.res) && node.req.headers["x-nuxt-error"] !== undefined;
}

/** Such a response is complete as soon as its handler returns, so that it can't be held. Its caller gets the cookie. */
async function concludeInternal(event: NuxtEvent, response: { body?: unknown }): Promise<void> {
  const { res } = event.node;
  const req: CarryingRequest = event.node.req;
  const carried = req[CARRIED];
  if (!carried || carried.req !== req || !isInternal(res)) return;
  const { session } = carried;
  if (isErrorPage(event)) {
    // The client's own response has the cookie, and may not have used the session.
    if (dependsOnSession(session)) forbidCaching(headersOf(res));
    return;
  }
  try {
    await concludeSession(session, headersOf(res));
    await finishSession(session);
  } catch (error) {
    logSessionError(error);
    await failSession(session, headersOf(res));
    res.statusCode = error instanceof SessionError ? error.status : 500;
    response.body = "The session could not be stored";
  }
  endSession(session);
}

function headersOf(res: ServerResponse): ResponseHeaders {
  return {
    status: res.statusCode,
    get: (name) => res.getHeader(name)?.toString(),
    keys: () => res.getHeaderNames(),
    set: (name, value) => res.setHeader(name, value),
    append: (name, value) => res.appendHeader(name, value),
  };
}

function answer(error: unknown, res: ServerResponse): void {
  logSessionError(error);
  respondWithError(error, res);
}
