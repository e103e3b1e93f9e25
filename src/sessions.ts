import { createCollector } from "./cleanup.ts";
import { commit } from "./lifecycle/commit.ts";
import { forbidCaching, forbidSharing, markPrivate, varyByCookie, type ResponseHead } from "./request/cache-headers.ts";
import { SessionError } from "./errors.ts";
import { createEmitter, type SessionEvents, type SessionListener } from "./events.ts";
import { answered, hasHead, headToBe, refuseUsed } from "./request/fetch-response.ts";
import { settle, type SessionsOptions } from "./options.ts";
import { createLiveHandles } from "./signals.ts";
import { checkOrigin } from "./request/origin.ts";
import { list, revoke, revokeAll, revokeEverything, storedUnder, type SessionInfo } from "./users.ts";
import type { AnyRequest, Closing } from "./request/request.ts";
import { innermost } from "./request/request.ts";
import { sessionOf, visitOf, type Session, type SessionData } from "./session.ts";
import { Visit, type Host } from "./request/request-session.ts";
import { createLanes } from "./waiting.ts";

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
   * Where is this owner signed in? The latest sign-in first. `current` marks the caller's own.
   *
   * @throws TypeError where the store has no `idsOf`. SessionError ERR_SESSION_STORE.
   */
  list(owner: string, options?: { current?: string | undefined }): Promise<SessionInfo[]>;

  /**
   * The session of a request that is taken over by a WebSocket, an event stream or the like: there, changes of data are
   * stored by `session.save()`, `session.reload()` looks again, and `session.signal` tells of the end. Origin is checked:
   * it must be the request's own (a page that came by HTTP may not open what goes by HTTPS) or one of `origins`.
   *
   * @throws SessionError ERR_SESSION_ORIGIN (403), and what `open` throws.
   */
  attach(request: AnyRequest, options?: { origins?: readonly string[] }): Promise<Session<Data>>;

  /** Ends a session by its public id; its next request is anonymous. `true` if it was live. */
  revoke(id: string): Promise<boolean>;

  /** Ends all sessions of an owner, but for the one with the id `except`; says how many. */
  revokeAll(owner: string, options?: { except?: string | undefined }): Promise<number>;

  /** Ends every session in the store; says how many. */
  revokeEverything(): Promise<number>;

  /** Listens to what happens to sessions; gives the function that ends it. */
  on<Name extends keyof SessionEvents>(name: Name, listener: SessionListener<Name>): () => void;

  /** Ends the collection of expired sessions and closes the store. */
  close(): Promise<void>;

  /** The session of a request without reading it yet: `await session.load()` before use. For adapters and lazy routes. */
  of(request: AnyRequest): Session<Data>;

  /**
   * For adapters: stores what has changed and writes the cookie and the caches' rules to the head. `undefined`, at once,
   * where there is nothing to wait for; the head is written then. Once its head is written, a session can't begin or end.
   *
   * @throws only by the promise: what `session.save()` throws.
   */
  conclude(session: Session<Data>, head: ResponseHead): Promise<void> | undefined;

  /** For adapters: whose `close` event says that the response is done with. Then nobody is left to hear `session.signal`. */
  finishesWith(session: Session<Data>, response: Closing): void;

  /**
   * For adapters: writes to the head of an error's response, which stores nothing: the rules for caches, and the cookie of
   * what was stored before.
   */
  concludeFailure(session: Session<Data>, head: ResponseHead): void;

  /** For adapters: the error that a response must end with, if its session was changed after its head without `save()`. */
  unsaved(session: Session<Data>): SessionError | undefined;
}

/**
 * Sets up the sessions of an application.
 *
 * @typeParam Data - what the application keeps in a session.
 * @throws TypeError for any option that is missing, unknown or contradictory, naming the remedy.
 */
export function createSessions<Data extends object = SessionData>(options: SessionsOptions): Sessions<Data> {
  const settings = settle(options);
  const emitter = createEmitter();
  const shared = { ...settings, emitter, lanes: createLanes() };
  const host: Host = { ...shared, live: createLiveHandles(shared), moves: new Map() };
  const collector = createCollector(host);
  /** Where a request keeps its session: a property is cheaper than an entry in a WeakMap, at every garbage collection. */
  const kept = Symbol("sojourn");
  /** For requests that somebody has frozen. */
  const keptElsewhere = new WeakMap<object, Session<Data>>();

  function of(request: AnyRequest): Session<Data> {
    const keeper = innermost(request) as { [kept]?: Session<Data> };
    const found = keeper[kept] ?? keptElsewhere.get(keeper);
    if (found) return found;
    const session = sessionOf<Data>(new Visit(host, request));
    if (Object.isExtensible(keeper)) keeper[kept] = session;
    else keptElsewhere.set(keeper, session);
    return session;
  }

  function conclude(session: Session<Data>, head: ResponseHead): Promise<void> | undefined {
    const visit = visitOf(session);
    if (visit.headSent) {
      // An event stream, say, has a response all the same.
      if (visit.attached && !visit.headWritten) writeHead(visit, head);
      return undefined;
    }
    if (visit.failed || visit.fault !== undefined || visit.isGivenUp) {
      writeFailureHead(visit, head);
      return undefined;
    }
    const failed = (error: unknown) => {
      visit.failed = true;
      visit.headSent = false;
      throw error;
    };
    visit.leaveOut();
    const storing = visit.isLoaded && !visit.isUntouched ? concluded(visit) : undefined;
    // From here on the cookie is decided.
    visit.headSent = true;
    if (!storing) {
      writeHead(visit, head);
      return undefined;
    }
    collector.nudge();
    return storing.then(() => writeHead(visit, head)).catch(failed);
  }

  /** The responses that a session's cookie is in. */
  const carriers = new WeakMap<Response, Visit>();

  async function commitTo(session: Session<Data>, response: Response): Promise<Response> {
    const visit = visitOf(session);
    if (!hasHead(response)) {
      attachTo(visit);
      await commit(visit, "save");
      return response;
    }
    refuseUsed(response);
    const inIt = carriers.get(response) === visit ? visit.handedOut : undefined;
    if (visit.headWritten && !visit.attached) {
      // Whoever commits once more has a head that has not left.
      visit.headSent = false;
      if (inIt === undefined) visit.setCookie ??= visit.handedOut;
    }
    const head = headToBe(response);
    await conclude(session, head);
    // workerd's WebSocket outlives the response that begins it.
    const isTakenOver = response.status === 101;
    if (isTakenOver) attachTo(visit);
    const answer = answered(response, head.writes, {
      done: isTakenOver ? undefined : visit.untilEndOfBody(),
      replaces: inIt === visit.handedOut ? undefined : inIt,
    });
    carriers.set(answer, visit);
    return answer;
  }

  return {
    of,

    async open(request, { passive } = {}) {
      const session = of(request);
      if (passive !== undefined) session.passive = passive;
      return session.load();
    },

    commit: commitTo,

    conclude,

    concludeFailure: (session, head) => writeFailureHead(visitOf(session), head),

    async attach(request, { origins = [] } = {}) {
      checkOrigin(request, origins, host.trustProxy);
      const session = of(request);
      attachTo(visitOf(session));
      return session.load();
    },

    async list(owner, { current } = {}) {
      const sessions = await list(host, owner);
      const stored = storedUnder(host, current);
      return sessions.map((info) => ({ ...info, isCurrent: info.id === stored }));
    },

    revoke: (id) => revoke(host, id),
    revokeAll: (owner, { except } = {}) => revokeAll(host, owner, except),
    revokeEverything: () => revokeEverything(host),

    finishesWith(session, response) {
      visitOf(session).response = response;
    },

    unsaved(session) {
      const visit = visitOf(session);
      if (!visit.headSent || !visit.isChanged) return undefined;
      return new SessionError(
        "ERR_SESSION_HEADERS_SENT",
        "The session was changed after the response's head had left, and not saved: await session.save() after such a change",
      );
    },

    on: emitter.on,

    async close() {
      host.live.close();
      await collector.stop();
      await host.store.close?.();
    },
  };
}

/** Stores what the visit did, as its response is about to leave. */
function concluded(visit: Visit): Promise<void> | undefined {
  const waiting = visit.setCookie;
  const storing = commit(visit, "response");
  if (waiting === undefined) return storing;
  return Promise.resolve(storing).then(() => (visit.setCookie === waiting ? visit.recallCookie() : undefined));
}

/**
 * Tells caches to leave the response of a failure alone. What was stored before the failure has its cookie: without it the
 * client would be signed out.
 */
function writeFailureHead(visit: Visit, head: ResponseHead): void {
  visit.looked = visit.headSent = visit.headWritten = true;
  forbidCaching(head);
  const cookie = visit.setCookie ?? visit.handedOut;
  visit.setCookie = undefined;
  if (cookie === undefined) return;
  visit.handedOut = cookie;
  head.append("Set-Cookie", cookie);
}

/** There is no response, or none whose head could set a cookie. If there is one, it is personal. */
function attachTo(visit: Visit): void {
  visit.attached = visit.headSent = visit.looked = true;
}

/** Tells the client its cookie, and caches what they may do with the response. */
function writeHead(visit: Visit, head: ResponseHead): void {
  const { setCookie } = visit;
  visit.headWritten = true;
  if (!visit.looked && setCookie === undefined) return;
  varyByCookie(head);
  if (setCookie === undefined) {
    // What is not read yet may turn out to be somebody's when the head is long gone.
    if (visit.personal || !visit.isLoaded) markPrivate(head);
    return;
  }
  visit.setCookie = undefined;
  visit.handedOut = setCookie;
  head.append("Set-Cookie", setCookie);
  forbidSharing(head);
}
