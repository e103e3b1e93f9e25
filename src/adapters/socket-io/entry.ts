/// <reference types="node" preserve="true" />
import type { IncomingMessage } from "node:http";
import { checkOptions } from "../../checks.ts";
import type { Context } from "../../context.ts";
import type { Duration } from "../../duration.ts";
import { messageForClient, SessionError } from "../../errors.ts";
import { expectFramework, frameworkOf } from "../../request/frameworks.ts";
import { checkTrusted } from "../../request/origin.ts";
import type { AnyRequest } from "../../request/request.ts";
import type { DeclaredData, Session } from "../../session.ts";
import { contextOf, type Sessions } from "../../sessions.ts";
import {
  claimResponse,
  logSessionError,
  resolveAdapterOptions,
  sessionFactory,
  type AdapterOptions,
} from "../adapter.ts";
import { createRecentSignInGuard, createUserGuard } from "../guards.ts";
import { SocketLifetime, type AnySocket } from "./socket-lifetime.ts";

/** The properties that the middleware adds to `socket.data`, typed by the data of `sessions`: for the fourth type of `Server`. */
export interface SessionProperties<Data extends object = DeclaredData> {
  /** The session of the socket. It is not a part of what adapters send to other servers. */
  session: Session<Data>;
}

/** The event that the middleware sends to a client: for the second type of `Server`. */
export interface SessionEndEvents {
  /**
   * The session has ended (signed out, revoked, expired or replaced by a sign-in), and the server disconnects the socket.
   * Connecting again shows whether somebody is signed in. The reason is a text for logs.
   */
  sessionEnded: (end: { reason: string }) => void;
}

/** The options of the middleware. */
export interface SocketOptions extends Pick<AdapterOptions<IncomingMessage>, "bearer" | "context"> {
  /**
   * Other origins whose pages may connect: `["https://app.example.com"]`. The option `cors` of socket.io does not keep pages of
   * other sites from opening a WebSocket. Default: none.
   */
  origins?: readonly string[] | undefined;
}

/** A socket, by the property that the middleware sets. */
interface SocketWithSession<Given extends object> {
  data: { session: Given };
}

type Next = (error?: Error & { data?: unknown }) => void;

/**
 * Middleware for socket.io 4, for each namespace that needs sessions. `socket.data.session` is the session of the handshake's
 * cookie, read when the socket joins the namespace. The socket is disconnected when its session ends. A handshake by a page of
 * another origin is refused, and so is one whose session can't be read: `connect_error` has `data.code` and `data.status`.
 *
 * @example
 * io.use(sessionMiddleware(sessions));
 * io.use(requireUser());
 * io.on("connection", (socket) => {
 *   socket.emit("hello", socket.data.session.userId);
 * });
 *
 * @throws TypeError for anything but what `createSessions` made, in another framework, and with `cookieStore()`.
 */
export function sessionMiddleware<Data extends object>(
  sessions: Sessions<Data>,
  options: SocketOptions = {},
): (socket: SocketWithSession<Session<Data>>, next: Next) => void {
  const beginSession = sessionFactory(sessions, "sessionMiddleware");
  resolveAdapterOptions<IncomingMessage, SocketOptions>("sessionMiddleware", options, {
    bearer: true,
    context: true,
    origins: true,
  });
  contextOf(sessions).clientSide?.refuse('sessionMiddleware of "sojourn/socket.io"');
  const { origins = [], bearer, context } = options;
  checkTrusted("sessionMiddleware", "origins", origins);
  /** The sockets that have not joined their namespace yet. */
  const joining = new WeakMap<AnySocket, () => void>();
  const namespaces = new WeakSet<AnySocket["nsp"]>();

  /** Nothing else tells that all middleware of the namespace has let a socket pass. */
  function listenForJoined({ nsp }: AnySocket): void {
    if (namespaces.has(nsp)) return;
    namespaces.add(nsp);
    nsp.on("connection", (socket) => joining.get(socket)?.());
  }

  async function begin(socket: AnySocket): Promise<Session<Data>> {
    checkServer(socket);
    const request = requestOf(socket);
    const session = beginSession(request);
    const lifetime = new SocketLifetime(socket);
    claimResponse(session, lifetime);
    try {
      const tokens = typeof bearer === "function" ? bearer(socket.request) : bearer;
      await sessions.attach(request, { origins, ...(tokens !== undefined && { bearer: tokens }) });
    } catch (error) {
      lifetime.end();
      throw error;
    }
    const end = disconnectAtEnd(socket, session);
    listenForJoined(socket);
    joining.set(socket, () => {
      lifetime.join();
      end();
    });
    return session;
  }

  return (given, next) => {
    if (frameworkOf(given) !== "socket.io") expectFramework("socket.io", "sessionMiddleware", given);
    const socket = given as unknown as AnySocket;
    if (isTokenLeftBehind(contextOf(sessions), socket)) {
      // The client connects again by itself, with the cookie that it has by now.
      socket.conn.close();
      return next(new Error("the connection is older than a rotation of the session's token may be"));
    }
    const pass = (session: Session<Data>) => {
      Object.defineProperty(socket.data, "session", { value: session, configurable: true, writable: true });
      hideTokens(socket.handshake.headers);
      if (!context) return next();
      socket.use((_event, handle) => context.run(session, handle));
      context.run(session, next);
    };
    begin(socket).then(pass, (error: unknown) => next(refusal(error)));
  };
}

/**
 * Middleware for namespaces that need a signed-in user. Without one the connection is refused: `connect_error` has
 * `data.code` `ERR_SESSION_SIGN_IN`.
 *
 * @example io.use(sessionMiddleware(sessions)).use(requireUser());
 */
export function requireUser(): (socket: SocketWithSession<object>, next: Next) => void {
  return guard("requireUser", createUserGuard("socket.io", {}));
}

/**
 * Middleware for namespaces that need a sign-in that is no older than `within`, when the socket joins. It does otherwise as
 * {@link requireUser}.
 *
 * @example io.of("/admin").use(sessionMiddleware(sessions)).use(requireRecentSignIn({ within: "10m" }));
 */
export function requireRecentSignIn(options: {
  within: Duration;
}): (socket: SocketWithSession<object>, next: Next) => void {
  checkOptions("requireRecentSignIn", options, { within: true });
  return guard("requireRecentSignIn", createRecentSignInGuard("socket.io", options));
}

function guard(name: string, decide: ReturnType<typeof createUserGuard>) {
  return (given: SocketWithSession<object>, next: Next): void => {
    if (frameworkOf(given) !== "socket.io") expectFramework("socket.io", name, given);
    const socket = given as unknown as AnySocket;
    try {
      void decide(socket.request, (socket.data as { session?: unknown }).session);
    } catch (error) {
      // Nothing else tells that the socket will not join.
      SocketLifetime.of(socket)?.end();
      return next(refusal(error));
    }
    next();
  };
}

/** @throws TypeError for an option of the server with which a session can't be kept from somebody who has lost it. */
function checkServer({ nsp }: AnySocket): void {
  const { opts } = nsp.server as unknown as { opts?: { connectionStateRecovery?: unknown } };
  if (!opts?.connectionStateRecovery) return;
  throw new TypeError(
    "sojourn/socket.io: leave out the server's option connectionStateRecovery: it sends a client what it has missed before its session is read",
  );
}

/**
 * The handshake, as a request of its own for each socket: a client joins the namespaces of one connection at different times,
 * and the session is read anew for each.
 */
function requestOf({ request, handshake }: AnySocket): AnyRequest {
  // It has no type of its own in socket.io, although it is missing there.
  if ((request as IncomingMessage | undefined) === undefined || request === null) {
    throw new TypeError(
      "sojourn/socket.io: this connection came by WebTransport, whose handshake has no cookie: let clients begin with another transport",
    );
  }
  const { headers, url, method } = request;
  const socket = { encrypted: handshake.secure, remoteAddress: handshake.address };
  return { headers, url, method, socket, httpVersion: "1.1" } as AnyRequest;
}

const connectedAt = new WeakMap<AnySocket["conn"], number>();
const watchedEngines = new WeakSet<object>();

/**
 * Whether the token of the handshake may have been rotated out since, over other requests. A socket that joins a further namespace
 * presents it again, which would count as a theft and end the session. Half of the grace is left for the way of requests.
 */
function isTokenLeftBehind({ rotation, now }: Context, socket: AnySocket): boolean {
  const { conn } = socket;
  const { engine } = socket.nsp.server;
  // A connection may have been in namespaces without this middleware before.
  if (!watchedEngines.has(engine)) engine.on("connection", (one: AnySocket["conn"]) => connectedAt.set(one, now()));
  watchedEngines.add(engine);
  if (!connectedAt.has(conn)) connectedAt.set(conn, now() - ageOf(socket));
  return rotation !== undefined && now() - connectedAt.get(conn)! > rotation.grace / 2;
}

/**
 * The least age of a connection that was made before this middleware was first used: the one of its oldest socket. A connection
 * without a socket is closed by socket.io within `connectTimeout`.
 */
function ageOf({ client }: AnySocket): number {
  const { sockets } = client as unknown as { sockets?: ReadonlyMap<string, AnySocket> };
  const ages = Array.from(sockets?.values() ?? [], ({ handshake }) => Date.now() - handshake.issued);
  return Math.max(0, ...ages);
}

/**
 * Adapters for several servers send `data` and `handshake` of a socket to the others, in the clear: the properties that are
 * enumerable. The token opens the session, and so is none of them, as the session itself.
 */
function hideTokens(headers: object): void {
  for (const name of ["cookie", "authorization"]) {
    if (Object.hasOwn(headers, name)) Object.defineProperty(headers, name, { enumerable: false });
  }
}

/** Disconnects a socket when its session ends. Gives a function that does so where it has ended already. */
function disconnectAtEnd<Data extends object>(socket: AnySocket, session: Session<Data>): () => void {
  const { signal } = session;
  const end = () => {
    if (!signal.aborted) return;
    if (socket.connected) {
      socket.emit("sessionEnded", { reason: (signal.reason as Error).message });
      socket.disconnect();
    }
    // The cookie of the handshake is worth nothing any more: clients have to connect anew. The sockets of the other
    // namespaces are told first.
    queueMicrotask(() => socket.conn.close());
  };
  signal.addEventListener("abort", end, { once: true });
  return end;
}

/** The error of a `connect_error`. The client gets its message and its `data`. */
function refusal(error: unknown): Error & { data: { code: string | undefined; status: number } } {
  logSessionError(error);
  const { code, status } = error instanceof SessionError ? error : { code: undefined, status: 500 };
  return Object.assign(new Error(messageForClient(error)), { data: { code, status } });
}
