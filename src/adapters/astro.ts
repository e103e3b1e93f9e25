import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  checkUnreplaced,
  claimResponse,
  commitSession,
  expectFramework,
  failResponse,
  isPrefetch,
  releaseSession,
  reopenResponse,
  resolveAdapterOptions,
  sessionFactory,
  tellAddress,
  type AdapterOptions,
  type DeclaredData,
} from "./adapter.ts";
import { answerSessionError } from "./answer-request.ts";
import { joinOuter, outerRequest, runWithin } from "./inner-requests.ts";

/** The locals of a page: `Astro.locals.session`. `interface Locals extends SessionLocals {}` in env.d.ts declares it. */
export interface SessionLocals<Data extends object = DeclaredData> {
  /** The session of the request. */
  session: Session<Data>;
}

/** The members that the middleware uses of a context of Astro, and those that options look at. */
export interface AstroContext {
  /** The client's request, or that of a rewrite. */
  readonly request: Request;
  /** Its address. */
  readonly url: URL;
  /** The route, such as `/blog/[slug]`. */
  readonly routePattern: string;
  /** The page is made at build time. */
  readonly isPrerendered: boolean;
  /** Where the session is put. */
  readonly locals: object;
  /** The client's network address. */
  readonly clientAddress: string;
  /** Astro's cache, which is turned off for a response that depends on the session. */
  readonly cache: { readonly enabled: boolean; set(input: false): void };
}

/** The middleware `onRequest`. */
export type AstroMiddleware<Context extends AstroContext = AstroContext> = (
  context: Context,
  next: () => Promise<Response>,
) => Promise<Response>;

/** The options of {@link sessionMiddleware}. */
export interface AstroOptions<Context extends AstroContext = AstroContext> extends AdapterOptions<Context> {
  /**
   * Makes the response for a session that could not be read or stored. Default: plain text with the error's status, and
   * the error on the console.
   */
  onError?: ((error: SessionError, context: Context) => Response | Promise<Response>) | undefined;
}

/**
 * The middleware `onRequest` for Astro 7. `Astro.locals.session` is the session. It is stored before the first byte of the
 * response leaves, and once more at the end of a streamed page. A prerendered page has none: using it throws.
 *
 * @example
 * // src/middleware.ts
 * export const onRequest = sessionMiddleware(sessions);
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionMiddleware<Data extends object, Context extends AstroContext = AstroContext>(
  sessions: Sessions<Data>,
  options: AstroOptions<Context> = {},
): AstroMiddleware<Context> {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  const { passive, onError = answerSessionError, context: sessionContext } = options;
  const prepare = resolveAdapterOptions<Context, AstroOptions<Context>>(
    "sessionMiddleware",
    { ...options, passive: (context) => isPrefetch(context.request) || passive?.(context) === true },
    { ...ADAPTER_OPTIONS, onError: true },
  );
  /** The responses that are not the last one: Astro may render an error page in their place, by the same middleware. */
  const replies = new WeakMap<object, Reply>();

  return async (context, next) => {
    if (typeof context?.isPrerendered !== "boolean") expectFramework("astro", "sessionMiddleware", context);
    const { request, locals } = context;
    if (context.isPrerendered) {
      refuseSession(context);
      return next();
    }
    const outer = outerRequest();
    // A rewrite has another request, and the same locals.
    if (outer?.key === locals && outer.request !== request) joinOuter(request, outer.request, beginSession);
    const session = beginSession(request);
    const former = replies.get(session);
    const isOutermost = claimResponse(session) || former !== undefined;
    if (former) {
      replies.delete(session);
      reopenResponse(session, former.response ?? undefined);
    } else if (isOutermost) tellAddress(session, () => addressOf(context));
    setSession(locals, session);
    try {
      await prepare(session, context);
      const handle = () => runWithin(request, locals, next);
      const response = await (sessionContext ? sessionContext.run(session, handle) : handle());
      sessionContext?.bindStream(session, response);
      if (!isOutermost) return response;
      checkUnreplaced(locals, "locals.session");
      // A route for every path takes the place of a missing error page, and would tell of a success.
      if (former?.response === null && response.status < 400) return await failResponse(session, unexpectedError());
      const answer = await commitSession(session, response);
      // Caches of a platform heed neither Vary nor Cache-Control.
      if (answer !== response && context.cache?.enabled) context.cache.set(false);
      replies.set(session, { response: answer });
      return answer;
    } catch (error) {
      releaseSession(session);
      if (!(error instanceof SessionError)) {
        if (isOutermost) replies.set(session, { response: null });
        throw error;
      }
      const response = await onError(error, context);
      return isOutermost ? failResponse(session, response) : response;
    }
  };
}

interface Reply {
  /** `null`: there was an error instead. */
  readonly response: Response | null;
}

function setSession(locals: object, value: unknown): void {
  Object.defineProperty(locals, "session", { value, configurable: true, enumerable: true, writable: true });
}

/** Not every adapter of Astro knows it. */
function addressOf(context: AstroContext): string | undefined {
  try {
    return context.clientAddress;
  } catch {
    return undefined;
  }
}

/** A prerendered page is made once for everybody. */
function refuseSession({ locals, routePattern }: AstroContext): void {
  Object.defineProperty(locals, "session", {
    configurable: true,
    get() {
      throw new TypeError(
        `${routePattern} is prerendered, and uses the session: everybody would get the same page. Write export const prerender = false in it, or output: "server" in astro.config`,
      );
    },
  });
}

function unexpectedError(): Response {
  return new Response("Internal Server Error\n", { status: 500 });
}
