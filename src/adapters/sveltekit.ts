import { SessionError } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Sessions } from "../sessions.ts";
import {
  ADAPTER_OPTIONS,
  checkUnreplaced,
  claimResponse,
  commitSession,
  concludeSession,
  dependsOnSession,
  detachSession,
  endSession,
  expectFramework,
  failResponse,
  isPrefetch,
  logSessionError,
  releaseSession,
  resolveAdapterOptions,
  sessionFactory,
  tellAddress,
  type AdapterOptions,
  type CookieAttributes,
  type DeclaredData,
  type ResponseHeaders,
} from "./adapter.ts";
import { joinOuter, outerRequest, runWithin } from "./inner-requests.ts";

/** The locals of an event: `event.locals.session`. `interface Locals extends SessionLocals {}` in app.d.ts declares it. */
export interface SessionLocals<Data extends object = DeclaredData> {
  /** The session of the request. */
  session: Session<Data>;
}

/** The members that the hook uses of an event of SvelteKit, and those that options look at. */
export interface KitEvent {
  /** The client's request, or an internal one. */
  readonly request: Request;
  /** Its address. */
  readonly url: URL;
  /** The route, such as `/blog/[slug]`. */
  readonly route: { readonly id: string | null };
  /** Where the session is put. */
  readonly locals: object;
  /** The cookies, for a redirect that a hook throws. */
  readonly cookies: {
    set(name: string, value: string, options: CookieAttributes & { encode(value: string): string }): void;
  };
  /** The client asks for the data of a page. */
  readonly isDataRequest: boolean;
  /** A page or an endpoint asks for another one, by the `fetch` of its event. */
  readonly isSubRequest: boolean;
  /** Gives the client's network address. */
  readonly getClientAddress: () => string;
}

/** The hook `handle`. */
export type KitHandle<Event extends KitEvent = KitEvent> = (input: {
  readonly event: Event;
  resolve(event: Event): Response | Promise<Response>;
}) => Promise<Response>;

/** The options of {@link sessionHandle}. */
export interface SvelteKitOptions<Event extends KitEvent = KitEvent> extends AdapterOptions<Event> {
  /**
   * Makes the response for a session that could not be read or stored. Default: plain text with the error's status, or JSON
   * for scripts of SvelteKit, which show the error page, and the error on the console.
   */
  onError?: ((error: SessionError, event: Event) => Response | Promise<Response>) | undefined;
}

/**
 * The hook `handle` for SvelteKit 3. `event.locals.session` is the session. It is stored before the first byte of the
 * response leaves, and once more at the end of a streamed page. Internal requests, by `event.fetch`, have the session of
 * the page that makes them.
 *
 * @example
 * // src/hooks.server.ts
 * export const handle: Handle = sessionHandle(sessions);
 *
 * @throws TypeError for anything but what `createSessions` made, and in another framework.
 */
export function sessionHandle<Data extends object, Event extends KitEvent = KitEvent>(
  sessions: Sessions<Data>,
  options: SvelteKitOptions<Event> = {},
): KitHandle<Event> {
  const beginSession = sessionFactory(sessions, "sessionHandle");
  const { lazy, passive, context, onError = respondWithError } = options;
  const prepare = resolveAdapterOptions<Event, SvelteKitOptions<Event>>(
    "sessionHandle",
    { ...options, passive: (event) => isPrefetch(event.request) || passive?.(event) === true },
    OPTIONS,
  );
  // For an internal request. The other options have been applied to that of the client, whose session it is.
  const read = resolveAdapterOptions<Event, SvelteKitOptions<Event>>("sessionHandle", { lazy }, OPTIONS);

  return async (input) => {
    const { event, resolve } = input;
    if (typeof event?.isSubRequest !== "boolean") expectFramework("sveltekit", "sessionHandle", event ?? input);
    const { request, locals } = event;
    const outer = event.isSubRequest ? outerRequest()?.request : undefined;
    const isShared = outer !== undefined && request.credentials !== "omit" && joinOuter(request, outer, beginSession);
    const session = beginSession(request);
    const isOutermost = claimResponse(session);
    // SvelteKit gives the cookies of an internal response to the client of the page.
    const isApart = outer !== undefined && !isShared;
    if (isOutermost) tellAddress(session, () => addressOf(event));
    (locals as SessionLocals<Data>).session = session;
    try {
      await (isShared ? read : prepare)(session, event);
      if (isApart) detachSession(session);
      const handle = () => resolve(event);
      const within = () => (isShared ? handle() : runWithin(request, locals, handle));
      const response = await (context ? context.run(session, within) : within());
      context?.bindStream(session, response);
      if (!isOutermost) return response;
      checkUnreplaced(locals, "locals.session");
      if (isApart) await session.save();
      refusePrerendered(session, response, event);
      return await commitSession(session, response);
    } catch (error) {
      return await answer(error, session, event, isOutermost);
    }
  };

  async function answer(error: unknown, session: Session<Data>, event: Event, isOutermost: boolean): Promise<Response> {
    let reason = error;
    if (isOutermost && isRedirect(error)) {
      try {
        await concludeSession(session, cookiesOf(event));
        endSession(session);
      } catch (failure) {
        reason = failure;
      }
    }
    releaseSession(session);
    if (!(reason instanceof SessionError)) throw reason;
    const response = await onError(reason, event);
    return isOutermost ? failResponse(session, response) : response;
  }
}

const OPTIONS = { ...ADAPTER_OPTIONS, onError: true } as const;

/** Not every adapter of SvelteKit knows it. */
function addressOf(event: KitEvent): string | undefined {
  try {
    return event.getClientAddress();
  } catch {
    return undefined;
  }
}

/** What `redirect()` throws. Its class is another one where SvelteKit is bundled with the application. */
function isRedirect(error: unknown): boolean {
  const { status, location } = (error ?? {}) as { status?: unknown; location?: unknown };
  return typeof status === "number" && typeof location === "string" && !(error instanceof Response);
}

/** A redirect that a hook throws is made into a response by SvelteKit, to which it adds the cookies alone. */
function cookiesOf({ cookies }: KitEvent): ResponseHeaders {
  const none = () => {};
  return {
    get: () => null,
    keys: () => [].values(),
    set: none,
    append: none,
    setCookie: ({ name, value, attributes }) => cookies.set(name, value, { ...attributes, encode: (text) => text }),
  };
}

/** At build time SvelteKit marks what it keeps. A page that it does not keep is empty then. */
function refusePrerendered<Data extends object>(session: Session<Data>, response: Response, event: KitEvent): void {
  if (!response.headers.has("x-sveltekit-routeid") || response.status === 204) return;
  if (!dependsOnSession(session)) return;
  throw new TypeError(
    `${event.route.id} is prerendered, and uses the session: everybody would get the same page. Write export const prerender = false in it, or use the session only where building of "$app/env" is false`,
  );
}

/** Scripts of SvelteKit ask for data and send forms. They show the error page for an error in JSON. */
async function respondWithError(error: SessionError, event: KitEvent): Promise<Response> {
  logSessionError(error);
  const plain = error.getResponse();
  const isScript = event.isDataRequest || event.request.headers.get("accept") === "application/json";
  if (!isScript) return plain;
  const { status, headers } = plain;
  const body = { status, message: (await plain.text()).trim() };
  headers.delete("content-type");
  return Response.json({ type: "error", ...body, error: body }, { status, headers });
}

/**
 * The hook `handleError`: gives a page on which a session could not be used the status of the error (503, 409, 403 …), where
 * SvelteKit would answer 500. Other errors are logged, as SvelteKit does without the hook.
 *
 * @example
 * // src/hooks.server.ts
 * export const handleError: HandleServerError = handleSessionError;
 */
export function handleSessionError(caught: {
  kind: string;
  error: unknown;
}): { status: number; message: string } | undefined {
  const { kind, error } = caught;
  if (!(error instanceof SessionError)) {
    if (kind === "unknown") console.error(error);
    return undefined;
  }
  logSessionError(error);
  return { status: error.status, message: error.expose ? error.message : "The session is not available" };
}
