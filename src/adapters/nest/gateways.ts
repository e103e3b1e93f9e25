import type { IncomingMessage } from "node:http";
import type { WebSocketAdapter } from "@nestjs/common";
import { checkOptions } from "../../checks.ts";
import { SessionError } from "../../errors.ts";
import type { BearerTokens } from "../../request/bearer.ts";
import type { Session } from "../../session.ts";
import { sessionFactory, type Sessions } from "../../sessions.ts";
import { logSessionError } from "../log.ts";

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
  const { origins = [], bearer } = options;
  const attach = async (request: IncomingMessage) => {
    try {
      return await sessions.attach(request, bearer ? { origins, bearer } : { origins });
    } catch (error) {
      logSessionError(error);
      throw refusalOf(error);
    }
  };
  if ("createIOServer" in adapter) attachInSocketIo(adapter, attach);
  else attachInWs(adapter, attach);
  return adapter;
}

type Attach = (request: IncomingMessage) => Promise<Session<object>>;

/** What a client may see of an error. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof SessionError && error.expose) return new Refusal(error.status, error.message);
  return error instanceof SessionError && error.status === 503
    ? new Refusal(503, "Service Unavailable: please try again in a moment")
    : new Refusal(500, "Internal Server Error");
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

// socket.io

interface Socket {
  readonly request: IncomingMessage;
  readonly data: { session?: unknown };
  disconnect(close: boolean): unknown;
  once(event: "disconnect", listener: () => void): unknown;
}

/** A server, or one of its namespaces. */
interface SocketIo {
  use(middleware: (socket: Socket, next: (error?: Error) => void) => void): unknown;
}

function attachInSocketIo(adapter: WebSocketAdapter, attach: Attach): void {
  const create = adapter.create.bind(adapter);
  adapter.create = (port, options) => {
    const server = create(port, options) as SocketIo;
    server.use((socket, next) => {
      attach(socket.request).then((session) => {
        socket.data.session = session;
        connections.set(socket, { request: socket.request, session });
        endWithSession(
          session,
          () => socket.disconnect(true),
          (ended) => socket.once("disconnect", ended),
        );
        next();
      }, next);
    });
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

function attachInWs(adapter: WebSocketAdapter, attach: Attach): void {
  const attached = new WeakMap<IncomingMessage, Session<object>>();
  const create = adapter.create.bind(adapter);
  adapter.create = (port, options: { verifyClient?: VerifyClient } = {}) => {
    const { verifyClient } = options;
    // It is asked before the connection is accepted.
    const verify: VerifyClient = ({ req, ...others }, done) => {
      attach(req)
        .then((session) => {
          attached.set(req, session);
          // ws calls a function of one parameter for its result.
          if (verifyClient && verifyClient.length === 2) verifyClient({ req, ...others }, done);
          else done(verifyClient ? Boolean(verifyClient({ req, ...others }, done)) : true);
        })
        .catch((error: unknown) => {
          const { status, message } = error instanceof Refusal ? error : refusalOf(error);
          done(false, status, message);
        });
    };
    return create(port, { ...options, verifyClient: verify }) as unknown;
  };
  const bindClientConnect = adapter.bindClientConnect.bind(adapter);
  adapter.bindClientConnect = (server, callback) =>
    bindClientConnect(server, (client: WebSocket, request: IncomingMessage, ...rest: unknown[]) => {
      const session = attached.get(request);
      if (!session) return client.close(1011, "this server was made without the adapter");
      connections.set(client, { request, session });
      const end = () => {
        // The client may send on, for as long as it does not answer.
        client.removeAllListeners("message");
        client.close(4401, "signed out");
      };
      callback(client, request, ...rest);
      endWithSession(session, end, (ended) => client.once("close", ended));
    }) as unknown;
}

// Both

interface Connection {
  readonly request: IncomingMessage;
  readonly session: Session<object>;
}

const connections = new WeakMap<object, Connection>();

/** The session of a gateway's connection. */
export function connectionOf(client: object): Connection {
  const connection = connections.get(client);
  if (connection) return connection;
  throw new TypeError(
    'This connection has no session: call app.useWebSocketAdapter(withSession(app.get(Sessions), adapter)) of "sojourn/nest"',
  );
}

function endWithSession({ signal }: Session<object>, end: () => void, onDone: (ended: () => void) => void): void {
  if (signal.aborted) return end();
  signal.addEventListener("abort", end, { once: true });
  onDone(() => signal.removeEventListener("abort", end));
}
