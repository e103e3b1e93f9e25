import type { IncomingMessage } from "node:http";
import type { WebSocketAdapter } from "@nestjs/common";
import { checkOptions } from "../../checks.ts";
import { messageForClient, SessionError } from "../../errors.ts";
import type { BearerTokens } from "../../request/bearer.ts";
import { checkTrusted } from "../../request/origin.ts";
import type { Session } from "../../session.ts";
import { sessionFactory, type Sessions } from "../../sessions.ts";
import { logSessionError } from "../log.ts";
import { sessionMiddleware } from "../socket-io/entry.ts";

/** The options of {@link withSession}: those of `sessions.attach`. */
export interface GatewayOptions {
  /** Other origins whose pages may connect: `["https://app.example.com"]`. Default: none. */
  origins?: readonly string[] | undefined;
  /** `bearerTokens()` of "sojourn/bearer", for native clients. Default: only the cookie counts. */
  bearer?: BearerTokens | undefined;
}

/**
 * Gives sessions to the gateways of an application: to those of socket.io (`IoAdapter`) and of ws (`WsAdapter`). A page of another
 * origin can't connect. A connection ends with its session, at a sign-out elsewhere too.
 *
 * @returns the same adapter.
 * @example
 * app.useWebSocketAdapter(withSession(app.get(Sessions), new IoAdapter(app)));
 *
 * @throws TypeError for anything but what `createSessions` made, and for an unknown option.
 */
export function withSession<Adapter extends WebSocketAdapter, Data extends object>(
  sessions: Sessions<Data>,
  adapter: Adapter,
  options: GatewayOptions = {},
): Adapter {
  sessionFactory(sessions, "withSession");
  checkOptions("withSession", options, { origins: true, bearer: true });
  checkTrusted("withSession", "origins", options.origins ?? []);
  if ("createIOServer" in adapter) attachInSocketIo(adapter, sessionMiddleware(sessions, options));
  else attachInWs(adapter, attachWith(sessions, options));
  return adapter;
}

// socket.io

/** A server, or one of its namespaces. */
interface SocketIo {
  use(middleware: ReturnType<typeof sessionMiddleware>): unknown;
}

function attachInSocketIo(adapter: WebSocketAdapter, middleware: ReturnType<typeof sessionMiddleware>): void {
  const create = adapter.create.bind(adapter);
  adapter.create = (port, options) => {
    const server = create(port, options) as SocketIo;
    server.use(middleware);
    return server;
  };
}

// ws

interface WebSocket {
  close(code: number, reason: string): void;
  removeAllListeners(event: "message"): unknown;
  once(event: "close", listener: () => void): unknown;
}

interface Handshake {
  readonly req: IncomingMessage;
}
type Admitted = (isAdmitted: boolean, status?: number, message?: string) => void;
type VerifyClient = (handshake: Handshake, done: Admitted) => unknown;
type Attach = (request: IncomingMessage) => Promise<Session<object>>;

function attachWith<Data extends object>(sessions: Sessions<Data>, { origins = [], bearer }: GatewayOptions): Attach {
  return (request) => sessions.attach(request, bearer ? { origins, bearer } : { origins });
}

function attachInWs(adapter: WebSocketAdapter, attach: Attach): void {
  const attached = new WeakMap<IncomingMessage, Session<object>>();

  async function verify(handshake: Handshake, done: Admitted, verifyClient?: VerifyClient): Promise<void> {
    try {
      attached.set(handshake.req, await attach(handshake.req));
      // As ws does it: a function of one parameter gives the result.
      if (verifyClient?.length === 2) verifyClient(handshake, done);
      else done(verifyClient ? Boolean(verifyClient(handshake, done)) : true);
    } catch (error) {
      logSessionError(error);
      done(false, error instanceof SessionError ? error.status : 500, messageForClient(error));
    }
  }

  const create = adapter.create.bind(adapter);
  adapter.create = (port, options: { verifyClient?: VerifyClient } = {}) =>
    create(port, {
      ...options,
      // It is asked before the connection is accepted.
      verifyClient: (handshake: Handshake, done: Admitted) => void verify(handshake, done, options.verifyClient),
    }) as unknown;

  const bindClientConnect = adapter.bindClientConnect.bind(adapter);
  adapter.bindClientConnect = (server, callback) =>
    bindClientConnect(server, (client: WebSocket, request: IncomingMessage, ...rest: unknown[]) => {
      const session = attached.get(request);
      if (!session) return client.close(1011, "this server was made without the adapter");
      connections.set(client, { request, session });
      callback(client, request, ...rest);
      closeAtEnd(client, session);
    }) as unknown;
}

function closeAtEnd(client: WebSocket, { signal }: Session<object>): void {
  const close = () => {
    // The client may send on, for as long as it does not answer.
    client.removeAllListeners("message");
    client.close(4401, "signed out");
  };
  if (signal.aborted) return close();
  signal.addEventListener("abort", close, { once: true });
  client.once("close", () => signal.removeEventListener("abort", close));
}

// Both

interface Connection {
  readonly request: IncomingMessage;
  readonly session: Session<object>;
}

const connections = new WeakMap<object, Connection>();

/** The session of a gateway's connection. */
export function connectionOf(client: object): Connection {
  const { request, data } = client as { request?: IncomingMessage; data?: { session?: Session<object> } };
  const found = connections.get(client) ?? (request && data?.session && { request, session: data.session });
  if (found) return found;
  throw new TypeError(
    'This connection has no session: call app.useWebSocketAdapter(withSession(app.get(Sessions), adapter)) of "sojourn/nest"',
  );
}
