import type { Context } from "./context.ts";
import { checkOptions, checkString } from "./checks.ts";
import { createCleanup } from "./cleanup.ts";
import { credentialsChanged } from "./credentials.ts";
import { createEmitter, type SessionEvents, type SessionListener } from "./events.ts";
import { resolveOptions, type SessionsOptions, type Settings } from "./options.ts";
import { carriesToken } from "./request/carries.ts";
import { checkOrigin, checkTrusted } from "./request/origin.ts";
import { RequestSession } from "./request/request-session.ts";
import { expectBearer, type BearerTokens } from "./request/bearer.ts";
import { warnOfSharedCookie } from "./request/cookie-warnings.ts";
import { frameworkOf, isCalledByFramework, MOUNT } from "./request/frameworks.ts";
import { isWebSocketRequest, innermost, type AnyRequest } from "./request/request.ts";
import { commitToResponse } from "./request/respond.ts";
import { requestSessionOf, sessionOf, watchMisplacedReads } from "./request/session-handle.ts";
import type { DeclaredData, Session } from "./session.ts";
import { createSessionSignals } from "./signals.ts";
import type { Answer } from "./coroutine.ts";
import type { RevokeMessage } from "./tracing.ts";
import { storedUsers, storedIdOf, type SessionInfo } from "./users.ts";
import { checkSessionId } from "./session-id.ts";
import { createKeyedQueue } from "./keyed-queue.ts";

/** The sessions of an application, as `createSessions` makes them. */
export interface Sessions<Data extends object = DeclaredData> {
  /**
   * Reads the session of a request, without an adapter. A visitor gets a new and empty one. The same request gives the same
   * session. The request extends it, unless `passive` is true (polling, for example).
   *
   * @example
   * const session = await sessions.open(request);
   * const response = new Response(`Hello ${session.data.username ?? "stranger"}`);
   * return sessions.commit(session, response);
   *
   * @throws TypeError for anything but a request, and for one that asks for a WebSocket: that takes `attach`.
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500), with `bearer` also ERR_SESSION_TWO_TOKENS (400).
   * Never for a cookie, however it is formed.
   */
  open(request: AnyRequest, options?: { passive?: boolean; bearer?: BearerTokens }): Promise<Session<Data>>;

  /**
   * Whether a request has a cookie that this application has signed. It answers at once, without the store, for a redirect
   * before the page: the session may have ended, so that the page itself has to look at `session.userId`.
   *
   * @example
   * if (!sessions.carries(request)) return Response.redirect(new URL("/login", request.url));
   *
   * @throws TypeError for anything but a request.
   */
  carries(request: AnyRequest): boolean;

  /**
   * Stores the changes of a session, and gives a copy of the response with the cookie and the rules for caches. Send nothing
   * before. A second call, with that response or another, is safe.
   *
   * @throws TypeError for a response whose body was read. The errors of `session.save()`.
   */
  commit(session: Session<Data>, response: Response): Promise<Response>;

  /**
   * Lists the sessions of a user, the latest sign-in first.
   *
   * @param options.current - the id of the session to mark with `isCurrent`.
   * @example
   * for (const { id, signedInAt, note, isCurrent } of await sessions.list(user.id, { current: session.id })) …
   *
   * @throws TypeError where the store has no `idsOfUser`. SessionError ERR_SESSION_STORE (503).
   */
  list(userId: string, options?: { current?: string | undefined }): Promise<SessionInfo[]>;

  /**
   * Reads the session of a request that becomes a WebSocket, an event stream or another long connection. Changes of data are
   * stored by `session.save()`. `session.reload()` reads it anew. `session.signal` aborts when it ends. The Origin header
   * has to be the request's own origin (a page of HTTP may not open a connection of HTTPS), or one of `origins`.
   *
   * @throws SessionError ERR_SESSION_ORIGIN (403), and the errors of `open`.
   */
  attach(request: AnyRequest, options?: { origins?: readonly string[]; bearer?: BearerTokens }): Promise<Session<Data>>;

  /**
   * Ends a session by its public id. Its next request is anonymous.
   *
   * @param options.userId - ends it only if it is this user's: for an id that came with a request.
   * @returns whether this call ended a live session.
   * @throws TypeError for an id or a user id that is no string. SessionError ERR_SESSION_STORE (503).
   */
  revoke(id: string, options?: { userId?: string | undefined }): Promise<boolean>;

  /**
   * Ends all sessions of a user, except the one with the id `except`, and gives their number. `undefined` where clients keep
   * the sessions (`cookieStore`): all have ended, and nobody knows the number.
   *
   * @throws TypeError for an id that is no string, and where the store has no `idsOfUser`. SessionError
   * ERR_SESSION_STORE (503), after all others were ended: its `notEnded` has the ids of those that were not.
   */
  revokeAll(userId: string, options?: { except?: string | undefined }): Promise<number | undefined>;

  /**
   * Call it after a change of password, or of another proof of identity. It gives this session a new token, ends the other
   * sessions of its user, and gives their number as `revokeAll` does. Calling it again is safe.
   *
   * @example
   * await users.setPassword(session.userId, password);
   * await sessions.credentialsChanged(session);
   *
   * @throws TypeError where nobody is signed in. SessionError ERR_SESSION_STORE (503): its `notEnded` has the ids of the sessions
   * that could not be ended, or is `undefined` if none was tried. ERR_SESSION_SUPERSEDED: another request has replaced the
   * token of this session, so that all sessions of the user were ended, and this one too. The errors of `session.save()`.
   */
  credentialsChanged(session: Session<Data>): Promise<number | undefined>;

  /** Ends every session in the store, and gives their number. @throws TypeError where the store has no `all`. */
  revokeEverything(): Promise<number>;

  /** Adds a listener for an event. Gives the function that removes it. */
  on<Name extends keyof SessionEvents>(name: Name, listener: SessionListener<Name>): () => void;

  /** Ends the collection of expired sessions and closes the store. */
  close(): Promise<void>;

  /**
   * The session of a request, where an adapter or `open` has begun it already: `req.session`, typed by `Data`.
   *
   * @throws TypeError for a request without a session, naming the middleware to mount.
   */
  of(request: AnyRequest): Session<Data>;
}

/**
 * Sets up the sessions of an application.
 *
 * @typeParam Data - the data of a session, for this instance. Default: `SessionData`, declared once for the whole program.
 * @example
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: fileStore() });
 * @throws TypeError for any option that is missing, unknown or contradictory, naming the remedy.
 */
export function createSessions<Data extends object = DeclaredData>(options: SessionsOptions): Sessions<Data> {
  return sessionsWith(resolveOptions(options));
}

/** Sets up sessions by settings that were resolved: another library's form of cookies or of values may be among them. */
export function sessionsWith<Data extends object>(settings: Settings): Sessions<Data> {
  const emitter = createEmitter();
  const shared = {
    ...settings,
    emitter,
    commits: createKeyedQueue(),
    moves: new Map(),
    lateChecks: createLateChecks(),
  };
  const collector = createCleanup(shared);
  const live = createSessionSignals(shared);
  const context: Context = { ...shared, collector, live };
  if (context.diagnose) watchMisplacedReads();
  const users = context.clientSide ?? storedUsers;
  /** Where a request keeps its session: a property is cheaper than an entry in a WeakMap, at every garbage collection. */
  const kept = Symbol("sojourn");
  /** For requests that somebody has frozen, and for those that have another one's property by copying or inheriting it. */
  const keptElsewhere = new WeakMap<object, Session<Data>>();

  function keptBy(holder: AnyRequest): Session<Data> | undefined {
    const session = (holder as { [kept]?: Session<Data> })[kept];
    return session && requestSessionOf(session).request.isOf(holder) ? session : keptElsewhere.get(holder);
  }

  function keep(holder: AnyRequest, session: Session<Data>): void {
    if (kept in holder || !Object.isExtensible(holder)) keptElsewhere.set(holder, session);
    else (holder as { [kept]?: Session<Data> })[kept] = session;
  }

  const find = (request: AnyRequest): Session<Data> | undefined => keptBy(innermost(request));

  function begin(request: AnyRequest): Session<Data> {
    const own = (request as { [kept]?: Session<Data> })[kept];
    if (own && requestSessionOf(own).request.isOf(request)) return own;
    const keeper = innermost(request);
    const found = keptBy(keeper);
    if (found) return found;
    if (context.diagnose) warnOfSharedCookie(context, keeper);
    const session = sessionOf<Data>(new RequestSession(context, request, keeper));
    keep(keeper, session);
    // A framework's own object has it too, because an adapter asks several times.
    if (request !== keeper) keep(request, session);
    return session;
  }

  const { tracing } = context;
  const checkId = (call: string, id: unknown): void => checkSessionId(call, id, context.diagnose !== undefined);
  /** Ends sessions, in a way that a subscriber can follow. */
  const traced = <Ended extends boolean | number | undefined>(
    message: RevokeMessage,
    end: () => Answer<Ended>,
  ): Answer<Ended> => (tracing ? tracing.run("revoke", message, end, (ended) => ({ ended })) : end());

  const sessions: Sessions<Data> = {
    of(request) {
      const session = find(request);
      if (!session) throw new TypeError(notMounted(request));
      return session;
    },

    async open(request, given = {}) {
      checkOptions("sessions.open", given, { passive: true, bearer: true });
      const { passive, bearer } = given;
      if (isWebSocketRequest(request)) throw new TypeError(UPGRADE);
      const session = begin(request);
      if (bearer !== undefined) await expectBearer("sessions.open", bearer).begin(request, session);
      if (passive !== undefined) session.passive = passive;
      return session.load();
    },

    carries: (request) => carriesToken(context, request),

    commit: async (session, response) => commitToResponse(requestSessionOf(session), response),

    async attach(request, given = {}) {
      checkOptions("sessions.attach", given, { origins: true, bearer: true });
      const { origins = [], bearer } = given;
      checkTrusted("sessions.attach", "origins", origins);
      checkOrigin(request, origins, context.trustProxy);
      const session = begin(request);
      if (bearer !== undefined) await expectBearer("sessions.attach", bearer).begin(request, session);
      requestSessionOf(session).progress.attach();
      return session.load();
    },

    async list(userId, given = {}) {
      checkOptions("sessions.list", given, { current: true });
      const { current } = given;
      checkString("sessions.list(userId)", "the id of a user", userId);
      if (current !== undefined) checkId("sessions.list(userId, { current })", current);
      const all = await users.list(context, userId);
      const stored = storedIdOf(context, current);
      return all.map((info) => ({ ...info, isCurrent: info.id === stored }));
    },

    async revoke(id, given = {}) {
      checkOptions("sessions.revoke", given, { userId: true });
      const { userId } = given;
      if ("userId" in given) checkString("sessions.revoke(id, { userId })", "the id of a user", userId);
      checkId("sessions.revoke(id)", id);
      return traced({ operation: "revoke", id }, () => users.revoke(context, id, userId));
    },

    async revokeAll(userId, given = {}) {
      checkOptions("sessions.revokeAll", given, { except: true });
      const { except } = given;
      checkString("sessions.revokeAll(userId)", "the id of a user", userId);
      if (except !== undefined) checkId("sessions.revokeAll(userId, { except })", except);
      return traced({ operation: "revokeAll" }, () => users.revokeAll(context, userId, except));
    },

    credentialsChanged: async (session) =>
      traced({ operation: "credentialsChanged" }, () => credentialsChanged(context, users, session)),

    revokeEverything: async () =>
      traced({ operation: "revokeEverything" }, async () => users.revokeEverything(context)),

    on: emitter.on,

    async close() {
      context.live.close();
      await collector.stop();
      await context.store.close?.();
    },
  };
  factories.set(sessions, begin);
  contexts.set(sessions, context);
  return sessions;
}

const UPGRADE =
  "sessions.open: this request asks for a WebSocket, whose answer can't set the cookie: use sessions.attach(request), which checks Origin";

/**
 * Nothing tells of a change in an object that a handler keeps beyond the response: the data have to be compared, which
 * costs more than a request that only reads. The first responses are looked at, where a mistake is made, and some of all
 * later ones.
 */
const FIRST_CHECKED = 100;
const LATER_CHECKED = 128;

function createLateChecks(): () => boolean {
  let responses = 0;
  return () => (responses += 1) <= FIRST_CHECKED || responses % LATER_CHECKED === 0;
}

const factories = new WeakMap<object, (request: AnyRequest) => unknown>();
const contexts = new WeakMap<object, Context>();

/** What all requests of these sessions share. */
export function contextOf<Data extends object>(sessions: Sessions<Data>): Context {
  return contexts.get(sessions)!;
}

/**
 * The function by which an adapter begins the session of each request.
 *
 * @param adapter - the adapter's call, for the error's message.
 * @throws TypeError for anything but what `createSessions` made.
 */
export function sessionFactory<Data extends object>(
  sessions: Sessions<Data>,
  adapter: string,
): (request: AnyRequest) => Session<Data> {
  const factory = factories.get(sessions);
  if (factory) return factory as (request: AnyRequest) => Session<Data>;
  if (isCalledByFramework(sessions)) throw new TypeError(`${adapter} must be called: ${MOUNT[frameworkOf(sessions)]}`);
  throw new TypeError(`${adapter}: the first argument must be what createSessions() of "sojourn" made`);
}

function notMounted(request: AnyRequest): string {
  return (
    `This request has no session: ${MOUNT[frameworkOf(request)]}. ` +
    "Without an adapter, call await sessions.open(request) before, and sessions.commit(session, response) after"
  );
}
