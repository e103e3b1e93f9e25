import type { SessionError } from "../../errors.ts";
import type { Flash } from "../../index.ts";
import type { DeclaredData, Session } from "../../session.ts";
import type { Sessions } from "../../sessions.ts";
import {
  ADAPTER_OPTIONS,
  concludeSession,
  endSession,
  failSession,
  reopenResponse,
  reopenSession,
  resolveAdapterOptions,
  revisionOf,
  sessionFactory,
  storeSession,
  type AdapterOptions,
  type ResponseHeaders,
} from "../adapter.ts";
import { withSession, type FetchOptions, type SessionHandler } from "../fetch.ts";
import { afterNavigation, navigationResponse } from "./navigation.ts";
import { readOnlySession, type ReadonlySession } from "./read-only.ts";
import { isPrefetch, originOf, type NextHeaders, type NextRequestInfo } from "./request.ts";

/** The options of `nextSessions`. `lazy`, `personal`, `bearer` and `onError` are for route handlers. */
export interface NextOptions extends AdapterOptions<NextRequestInfo>, Pick<FetchOptions, "onError"> {
  /** Tells several `nextSessions` of one application apart. Default `"sessions"`. */
  name?: string | undefined;
}

/** A session as a plain object. */
export interface SessionSnapshot<Data extends object = DeclaredData> {
  /** The public name of the session. A visitor without data has none. */
  readonly id: string | undefined;
  /** The id of the user who signed in, or `undefined`. */
  readonly userId: string | undefined;
  /** The time of the sign-in, in epoch milliseconds, or `undefined`. */
  readonly signedInAt: number | undefined;
  /** A deep copy of the data. */
  readonly data: Partial<Data>;
}

/** The sessions of an application of Next.js, as `nextSessions` makes them. */
export interface NextSessions<Data extends object = DeclaredData> {
  /**
   * Reads the session of the current request, once, wherever it is asked for. In a component it can't be changed. Below
   * `action` and `route` it is the session that they have.
   *
   * @throws TypeError in a function with `"use cache: private"`. SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500).
   */
  getSession(): Promise<ReadonlySession<Data>>;

  /**
   * Reads the session as a plain object: for functions with `"use cache: private"`, and for props of client components. It does
   * not extend the session.
   */
  readSession(): Promise<SessionSnapshot<Data>>;

  /**
   * Takes the messages of one category, or all, and removes them, in a component too. A prefetch leaves them to the visit.
   *
   * @throws TypeError in a component, where the sessions are kept in cookies (`cookieStore`). SessionError ERR_SESSION_STORE.
   */
  takeFlashes(category?: string): Promise<Flash[]>;

  /**
   * Makes a server action. Its function gets the session before the arguments. The session is stored when it returns, and
   * when it calls `redirect()` or `notFound()`. If the session has changed, the page is rendered anew.
   *
   * @example
   * export const login = action(async (session, form: FormData) => {
   *   session.signIn(String(form.get("username")));
   *   redirect("/");
   * });
   */
  action<Arguments extends unknown[], Result>(
    perform: (session: Session<Data>, ...args: Arguments) => Result | Promise<Result>,
  ): (...args: Arguments) => Promise<Result>;

  /**
   * Makes a route handler. Its function gets the request, the session, and what Next.js passes beside the request. The
   * session is stored before the response is sent, also when it calls `redirect()` or `notFound()`.
   *
   * @example
   * export const GET = route((request, session) => Response.json({ user: session.userId }));
   */
  route<Given extends Request = Request, Rest extends unknown[] = []>(
    handler: (request: Given, session: Session<Data>, ...rest: Rest) => Response | Promise<Response>,
  ): (request: Given, ...rest: Rest) => Promise<Response>;

  /** The sessions: to list and to revoke them, and for `carries(request)` in proxy.ts. */
  getSessions(): Sessions<Data>;
}

/** The functions of Next.js, which know the current request. */
export interface NextFunctions {
  headers(): Promise<NextHeaders>;
  cookies(): Promise<CookieJar>;
  connection(): Promise<void>;
  after(task: () => void): void;
  refresh(): void;
}

interface CookieJar {
  set(name: string, value: string, attributes: object): unknown;
}

/** One request. Its session is the same in actions, and in the components that are rendered after them. */
interface Entry<Data extends object> {
  readonly session: Session<Data>;
  readonly info: { method: string } & NextRequestInfo;
  /** Aborts when the page has been sent. */
  readonly sent: AbortController;
  /** How many actions and route handlers are at work, one within another. They may change the session. */
  changers: number;
  view: ReadonlySession<Data> | undefined;
  isExtended: boolean;
}

/** Makes the sessions, with the functions of Next.js. @throws TypeError for anything but what `createSessions` made. */
export function createNextSessions<Data extends object>(
  next: NextFunctions,
  sessions: Sessions<Data>,
  options: NextOptions,
): NextSessions<Data> {
  const beginSession = sessionFactory(sessions, "nextSessions");
  const { context } = options;
  const passive = (request: NextRequestInfo) => isPrefetch(request.headers) || options.passive?.(request) === true;
  const prepare = resolveAdapterOptions<NextRequestInfo, NextOptions>(
    "nextSessions",
    { ...options, passive },
    { ...ADAPTER_OPTIONS, onError: true, name: true },
  );
  const { name: _name, ...fetchOptions } = { ...options, passive };
  /** By the headers, of which Next.js has one object for each request. */
  const entries = new WeakMap<object, Entry<Data>>();

  function enter(headers: NextHeaders, session: Session<Data>, info: Entry<Data>["info"], sent: AbortController) {
    const entry = { session, info, sent, changers: 0, view: undefined, isExtended: false };
    entries.set(headers, entry);
    return entry;
  }

  async function findEntry(): Promise<Entry<Data>> {
    const headers = await next.headers();
    const found = entries.get(headers);
    if (found) return found;
    const sent = new AbortController();
    const info = { method: "GET", url: `${originOf(headers)}/(rendered)`, headers, signal: sent.signal };
    const session = beginSession(info);
    session.passive = passive(info);
    return enter(headers, session, info, sent);
  }

  async function readEntry(): Promise<Entry<Data>> {
    const entry = await findEntry();
    await entry.session.load();
    return entry;
  }

  /** Extends the session: who only looks at pages is active too. */
  function extend(entry: Entry<Data>): void {
    if (entry.isExtended) return;
    let visit: Promise<void>;
    try {
      // A prefetch never gets further, until it is given up.
      visit = next.connection();
    } catch (cause) {
      throw new TypeError(IN_CACHE, { cause });
    }
    entry.isExtended = true;
    visit.then(() => storeSession(entry.session)).catch(() => {});
  }

  return {
    async getSession() {
      const entry = await readEntry();
      if (entry.changers > 0) return entry.session as unknown as ReadonlySession<Data>;
      extend(entry);
      // Nothing else says when the page has been sent.
      return (entry.view ??= readOnlySession(entry.session, () => next.after(() => entry.sent.abort())));
    },

    async readSession() {
      const { session } = await readEntry();
      const { isNew, id, userId, signedInAt } = session;
      return { id: isNew ? undefined : id, userId, signedInAt, data: { ...session.toJSON() } };
    },

    async takeFlashes(category) {
      const { session, changers } = await readEntry();
      if (changers > 0) return session.takeFlashes(category);
      // A prefetch would take the messages for a page that may never be shown.
      await next.connection();
      const taken = session.takeFlashes(category);
      try {
        await storeSession(session);
      } catch (cause) {
        const isKeptInCookies = (cause as Partial<SessionError> | null)?.code === "ERR_SESSION_HEADERS_SENT";
        throw isKeptInCookies ? new TypeError(FLASHES_IN_COOKIES, { cause }) : cause;
      }
      return taken;
    },

    action: (perform) =>
      async function performAction(...args) {
        const jar = await openJar(next);
        const entry = await findEntry();
        const { session, info } = entry;
        const isOutermost = entry.changers === 0;
        // There may be several actions, one after another. A route handler around one has a request of its own.
        if (isOutermost) {
          reopenSession(session);
          info.method = "POST";
        }
        entry.changers += 1;
        entry.view = undefined;
        let revision: number | undefined;
        const run = async () => {
          await prepare(session, info);
          await session.load();
          revision = revisionOf(session);
          const call = () => perform(session, ...args);
          return context ? context.run(session, call) : call();
        };
        let answer;
        try {
          answer = await afterNavigation(run);
          if (isOutermost) await concludeSession(session, jar);
        } catch (error) {
          if (isOutermost) {
            await failSession(session, jar);
            // Or the next action would carry them out, and a component would see and store them.
            reopenResponse(session, undefined);
          }
          throw error;
        } finally {
          entry.changers -= 1;
          if (isOutermost) endSession(session);
        }
        // The answer has the page as it is after the change. Next.js sees to that only where a cookie is set.
        if (isOutermost && revisionOf(session) !== revision) next.refresh();
        return answer();
      },

    route(handler) {
      const handle: SessionHandler<Data, unknown[]> = async (request, session, ...rest) => {
        const entry = await enterRoute(request, session);
        try {
          return await (handler as unknown as SessionHandler<Data, unknown[]>)(request, session, ...rest);
        } catch (error) {
          const response = navigationResponse(error, request);
          if (response) return response;
          throw error;
        } finally {
          if (entry) entry.changers -= 1;
        }
      };
      return withSession(sessions, handle, fetchOptions);
    },

    getSessions: () => sessions,
  };

  /** Lets `getSession()` below a route handler find its session. */
  async function enterRoute(request: Request, session: Session<Data>): Promise<Entry<Data> | undefined> {
    let headers;
    try {
      headers = await next.headers();
    } catch {
      // A test of the application calls the handler, without Next.js.
      return undefined;
    }
    const found = entries.get(headers);
    const entry = found?.session === session ? found : enter(headers, session, request, new AbortController());
    entry.changers += 1;
    return entry;
  }
}

/** The cookies of the response to an action. @throws TypeError where a component is rendered: before anything is stored. */
async function openJar(next: NextFunctions): Promise<ResponseHeaders> {
  const cookies = await next.cookies();
  try {
    // The only way to ask: without arguments, it throws a TypeError where cookies can be set, and another error elsewhere.
    (cookies.set as () => void)();
  } catch (error) {
    if (!(error instanceof TypeError)) throw new TypeError(NOT_AN_ACTION, { cause: error });
  }
  return {
    get: () => undefined,
    keys: () => [],
    // Next.js itself says that nobody may store the answer to an action.
    set: () => {},
    append: () => {},
    setCookie: ({ name, value, attributes }) => void cookies.set(name, value, attributes),
  };
}

const NOT_AN_ACTION =
  "action(fn): this function was called while Next.js renders a component, and no cookie can be set then: " +
  "pass it to a form or an event handler, or use getSession() in the component";

const IN_CACHE =
  'getSession() was called in a function with "use cache: private", whose result may be kept: call readSession() there, ' +
  "or getSession() around it";

const FLASHES_IN_COOKIES =
  "takeFlashes(): sessions are kept in cookies, and a component can't set one: take the messages in a server action or a " +
  "route handler, with session.takeFlashes()";
