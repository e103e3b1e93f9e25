import { createCollector } from "./collector.ts";
import { commit } from "./commit.ts";
import { NEVER_CACHED, SessionError } from "./errors.ts";
import { createEmitter, type SessionEvents, type SessionListener } from "./events.ts";
import { settle, type SessionsOptions } from "./options.ts";
import { createLiveHandles } from "./live.ts";
import { checkOrigin } from "./origin.ts";
import { liveSessionsOf, revoke, revokeAll, revokeEverything, storedUnder, type SessionInfo } from "./owners.ts";
import type { AnyRequest, Closing } from "./request.ts";
import { innermost } from "./request.ts";
import { sessionOf, visitOf, type Session, type SessionData } from "./session.ts";
import { Visit, type Host } from "./visit.ts";
import { createLanes } from "./waiting.ts";

/** The head of a response, as far as a session writes to it; only Set-Cookie is appended. A `Headers` object is one. */
export interface ResponseHead {
  get(name: string): string | null | undefined;
  set(name: string, value: string): void;
  append(name: string, value: string): void;
}

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
   * Stores what has changed, and gives the response with the cookie and what caches must know. Send nothing before.
   *
   * @throws what `session.save()` throws.
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
   * it must be the request's own host or one of `origins`.
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

  function of(request: AnyRequest): Session<Data> {
    const keeper = innermost(request) as { [kept]?: Session<Data> };
    return (keeper[kept] ??= sessionOf<Data>(new Visit(host, request)));
  }

  function conclude(session: Session<Data>, head: ResponseHead): Promise<void> | undefined {
    const visit = visitOf(session);
    if (visit.headSent) return undefined;
    if (visit.failed || visit.fault !== undefined || visit.isGivenUp) {
      for (const [name, value] of Object.entries(NEVER_CACHED)) head.set(name, value);
      return undefined;
    }
    const failed = (error: unknown) => {
      visit.failed = true;
      visit.headSent = false;
      throw error;
    };
    try {
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
    } catch (error) {
      return Promise.reject(error as Error).catch(failed);
    }
  }

  return {
    of,

    async open(request, { passive } = {}) {
      const session = of(request);
      if (passive !== undefined) session.passive = passive;
      return session.load();
    },

    async commit(session, response) {
      const head = headToBe(response);
      await conclude(session, head);
      return withHead(response, head.writes);
    },

    conclude,

    async attach(request, { origins = [] } = {}) {
      checkOrigin(request, origins);
      const session = of(request);
      // There is no response, and no head to set a cookie with.
      visitOf(session).headSent = true;
      return session.load();
    },

    async list(owner, { current } = {}) {
      const sessions = await liveSessionsOf(host, owner);
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
  const storing = commit(visit, true);
  if (waiting === undefined) return storing;
  return Promise.resolve(storing).then(() => (visit.setCookie === waiting ? visit.recallCookie() : undefined));
}

/** Tells the client its cookie, and caches what they may do with the response. */
function writeHead(visit: Visit, head: ResponseHead): void {
  const { setCookie } = visit;
  if (!visit.looked && setCookie === undefined) return;
  const vary = head.get("vary");
  if (!vary) head.set("Vary", "Cookie");
  else if (!/(?:^|,)\s*(?:\*|cookie)\s*(?:,|$)/i.test(vary)) head.set("Vary", `${vary}, Cookie`);
  const cacheControl = head.get("cache-control");
  if (setCookie === undefined) {
    if (visit.personal && !cacheControl) head.set("Cache-Control", "private");
    return;
  }
  visit.setCookie = undefined;
  head.append("Set-Cookie", setCookie);
  if (!/(?:^|,)\s*(?:no-store|private)\s*(?:,|$)/i.test(cacheControl ?? "")) head.set("Cache-Control", "no-store");
}

/** The head of a response that may be immutable: it is read at once and written later, by `withHead`. */
export function headToBe(response: Response): ResponseHead & { writes: [name: string, value: string][] } {
  const writes: [name: string, value: string][] = [];
  const write = (name: string, value: string) => void writes.push([name, value]);
  return { get: (name) => response.headers.get(name), set: write, append: write, writes };
}

/**
 * The response with more headers: itself where that is safe, otherwise a copy. The headers of Response.redirect() and of a
 * fetched response can't be changed, and a response without a body may be one that the application gives to everybody.
 */
export function withHead(response: Response, head: readonly [name: string, value: string][]): Response {
  if (head.length === 0) return response;
  const put = (target: Response): Response => {
    for (const [name, value] of head) target.headers[name === "Set-Cookie" ? "append" : "set"](name, value);
    return target;
  };
  const copied = () => put(new Response(response.body, response));
  if (!response.headers.has("content-type")) return copied();
  try {
    return put(response);
  } catch {
    return copied();
  }
}
