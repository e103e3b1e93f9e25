import type { Context } from "./context.ts";
import { checkOptions } from "./checks.ts";
import { createCollector } from "./cleanup.ts";
import { createEmitter, type SessionEvents, type SessionListener } from "./events.ts";
import { resolveOptions, type SessionsOptions } from "./options.ts";
import { checkOrigin } from "./request/origin.ts";
import { RequestSession } from "./request/request-session.ts";
import { frameworkOf, MOUNT } from "./request/frameworks.ts";
import { header, innermost, type AnyRequest } from "./request/request.ts";
import { commitToResponse } from "./request/respond.ts";
import type { SessionData } from "./index.ts";
import { sessionOf, requestSessionOf, type Session } from "./session.ts";
import { createLiveHandles } from "./signals.ts";
import { list, revoke, revokeAll, revokeEverything, storedIdOf, type SessionInfo } from "./users.ts";
import { createKeyedQueue } from "./keyed-queue.ts";

/** What `createSessions` makes: the one thing of Sojourn that has a state. */
export interface Sessions<Data extends object = SessionData> {
  /**
   * The session of a request, read from the store, and extended by it unless it is `passive` (polling, say); a new and empty one for anybody who has none. The same request gives
   * the same session.
   *
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500). Never for a cookie, however it is formed.
   */
  open(request: AnyRequest, options?: { passive?: boolean }): Promise<Session<Data>>;

  /**
   * Stores what has changed, and gives a response with the cookie and what caches must know: a new one, since yours may be
   * one that you keep. Send nothing before. Committing once more, with that response or another, is as good as once.
   *
   * @throws TypeError for a response whose body was read. What `session.save()` throws.
   */
  commit(session: Session<Data>, response: Response): Promise<Response>;

  /**
   * Where is this user signed in? The latest sign-in first. `current` marks the caller's own.
   *
   * @throws TypeError where the store has no `idsOfUser`. SessionError ERR_SESSION_STORE.
   */
  list(userId: string, options?: { current?: string | undefined }): Promise<SessionInfo[]>;

  /**
   * The session of a request that is taken over by a WebSocket, an event stream or the like: there, changes of data are
   * stored by `session.save()`, `session.reload()` looks again, and `session.signal` tells of the end. Origin is checked:
   * it must be the request's own (a page that came by HTTP may not open what goes by HTTPS) or one of `origins`.
   *
   * @throws SessionError ERR_SESSION_ORIGIN (403), and what `open` throws.
   */
  attach(request: AnyRequest, options?: { origins?: readonly string[] }): Promise<Session<Data>>;

  /**
   * Ends a session by its public id. Its next request is anonymous.
   *
   * @param options.userId - ends it only if it is this user's: for an id that came with a request.
   * @returns whether this call ended a live session.
   * @throws TypeError for an id or a user id that is no string. SessionError ERR_SESSION_STORE.
   */
  revoke(id: string, options?: { userId?: string | undefined }): Promise<boolean>;

  /** Ends all sessions of a user, but for the one with the id `except`; says how many. */
  revokeAll(userId: string, options?: { except?: string | undefined }): Promise<number>;

  /** Ends every session in the store; says how many. */
  revokeEverything(): Promise<number>;

  /** Listens to what happens to sessions; gives the function that ends it. */
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
 * @typeParam Data - what the application keeps in a session.
 * @throws TypeError for any option that is missing, unknown or contradictory, naming the remedy.
 */
export function createSessions<Data extends object = SessionData>(options: SessionsOptions): Sessions<Data> {
  const settings = resolveOptions(options);
  const emitter = createEmitter();
  const shared = { ...settings, emitter, commits: createKeyedQueue() };
  const collector = createCollector(shared);
  const context: Context = { ...shared, collector, live: createLiveHandles(shared), moves: new Map() };
  /** Where a request keeps its session: a property is cheaper than an entry in a WeakMap, at every garbage collection. */
  const kept = Symbol("sojourn");
  /** For requests that somebody has frozen. */
  const keptElsewhere = new WeakMap<object, Session<Data>>();

  function find(request: AnyRequest): Session<Data> | undefined {
    const keeper = innermost(request) as { [kept]?: Session<Data> };
    return keeper[kept] ?? keptElsewhere.get(keeper);
  }

  function begin(request: AnyRequest): Session<Data> {
    const keeper = innermost(request) as { [kept]?: Session<Data> };
    const found = keeper[kept] ?? keptElsewhere.get(keeper);
    if (found) return found;
    const session = sessionOf<Data>(new RequestSession(context, request));
    if (Object.isExtensible(keeper)) keeper[kept] = session;
    else keptElsewhere.set(keeper, session);
    return session;
  }

  const sessions: Sessions<Data> = {
    of(request) {
      const session = find(request);
      if (!session) throw new TypeError(notMounted(request));
      return session;
    },

    async open(request, given = {}) {
      checkOptions("sessions.open", given, { passive: true });
      const { passive } = given;
      if (header(request, "upgrade")?.toLowerCase() === "websocket") throw new TypeError(UPGRADE);
      const session = begin(request);
      if (passive !== undefined) session.passive = passive;
      return session.load();
    },

    commit: async (session, response) => commitToResponse(requestSessionOf(session), response),

    async attach(request, given = {}) {
      checkOptions("sessions.attach", given, { origins: true });
      const { origins = [] } = given;
      checkOrigin(request, origins, context.trustProxy);
      const session = begin(request);
      requestSessionOf(session).attach();
      return session.load();
    },

    async list(userId, given = {}) {
      checkOptions("sessions.list", given, { current: true });
      const { current } = given;
      checkString("sessions.list(userId)", "the id of a user", userId);
      const all = await list(context, userId);
      const stored = storedIdOf(context, current);
      return all.map((info) => ({ ...info, isCurrent: info.id === stored }));
    },

    async revoke(id, given = {}) {
      checkString("sessions.revoke(id)", "the id of a session", id);
      checkOptions("sessions.revoke", given, { userId: true });
      const { userId } = given;
      if ("userId" in given) checkString("sessions.revoke(id, { userId })", "the id of a user", userId);
      return revoke(context, id, userId);
    },

    async revokeAll(userId, given = {}) {
      checkOptions("sessions.revokeAll", given, { except: true });
      const { except } = given;
      checkString("sessions.revokeAll(userId)", "the id of a user", userId);
      return revokeAll(context, userId, except);
    },

    revokeEverything: () => revokeEverything(context),

    on: emitter.on,

    async close() {
      context.live.close();
      await collector.stop();
      await context.store.close?.();
    },
  };
  factories.set(sessions, begin);
  return sessions;
}

function checkString(call: string, what: string, value: unknown): void {
  if (typeof value === "string" && value !== "") return;
  throw new TypeError(`${call} takes ${what}, a string that is not empty, not ${String(value)}`);
}

const UPGRADE =
  "sessions.open: this request asks for a WebSocket, whose answer can't set the cookie: use sessions.attach(request), which checks Origin";

const factories = new WeakMap<object, (request: AnyRequest) => unknown>();

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
  throw new TypeError(`${adapter}: the first argument must be what createSessions() of "sojourn" made`);
}

function notMounted(request: AnyRequest): string {
  return (
    `This request has no session: ${MOUNT[frameworkOf(request)]}. ` +
    "Without an adapter, call await sessions.open(request) before, and sessions.commit(session, response) after"
  );
}
