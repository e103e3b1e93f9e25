import { createServer } from "node:http";
import { createSessions, type Sessions, type SessionsOptions, type SessionStore } from "sojourn";
import { memoryStore } from "sojourn/memory";
import {
  sessionMiddleware,
  type SocketOptions,
  type SessionEndEvents,
  type SessionProperties,
} from "sojourn/socket.io";
import { type DefaultEventsMap, Server, type ServerOptions, type Socket as ServerSocket } from "socket.io";
import { io as connectTo, type Socket } from "socket.io-client";
import { afterEach } from "vitest";
import { originOf, SECRET_KEY } from "./servers.ts";

type ServerEvents = SessionEndEvents & { said: (text: unknown) => void };
export type ChatServer = Server<DefaultEventsMap, ServerEvents, DefaultEventsMap, SessionProperties>;
export type ChatSocket = ServerSocket<DefaultEventsMap, ServerEvents, DefaultEventsMap, SessionProperties>;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

/** The ways in which a client may connect: the last one begins with polling, as browsers do. */
export const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]] as const;
type Transports = (typeof TRANSPORTS)[number];

interface Connecting {
  readonly cookie?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly transports?: Transports;
  readonly namespace?: string;
  /** Goes on over the connection of this client. */
  readonly beside?: Socket;
}

export interface SocketStage {
  readonly sessions: Sessions;
  readonly io: ChatServer;
  readonly origin: string;
  /** A client that is connecting. */
  open(connecting?: Connecting): Socket;
  /** A client that has connected, and its socket on the server. */
  join(connecting?: Connecting): Promise<{ client: Socket; socket: ChatSocket }>;
}

interface Staging {
  readonly sessions?: Sessions;
  readonly store?: SessionStore;
  readonly settings?: Partial<SessionsOptions>;
  readonly options?: SocketOptions;
  readonly server?: Partial<ServerOptions>;
  readonly withoutSessions?: boolean;
  /** Mounts other middleware, after the sessions. */
  readonly mount?: (io: ChatServer) => void;
}

/** A server of socket.io with sessions on its main namespace; ended after the test. */
export async function serveSockets(staging: Staging = {}): Promise<SocketStage> {
  const { store = memoryStore(), settings, options, server, mount } = staging;
  const sessions = staging.sessions ?? createSessions({ secretKey: SECRET_KEY, ...settings, store });
  const http = createServer();
  const io: ChatServer = new Server(http, server);
  if (!staging.withoutSessions) io.use(sessionMiddleware(sessions, options));
  mount?.(io);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const origin = originOf(http);
  endings.push(
    () => sessions.close(),
    () => io.close(),
  );

  function open({ cookie, headers, transports = ["websocket"], namespace = "/", beside }: Connecting = {}): Socket {
    const extraHeaders = { ...headers, ...(cookie !== undefined && { cookie }) };
    const client = beside
      ? beside.io.socket(namespace).connect()
      : connectTo(origin + namespace, {
          transports: [...transports],
          reconnection: false,
          forceNew: true,
          extraHeaders,
        });
    endings.push(() => client.disconnect());
    return client;
  }

  return {
    sessions,
    io,
    origin,
    open,
    async join(connecting = {}) {
      const { namespace = "/" } = connecting;
      const joined = new Promise<ChatSocket>((resolve) =>
        io.of(namespace).once("connection", (socket: unknown) => resolve(socket as ChatSocket)),
      );
      const client = open(connecting);
      await outcomeOf(client).then((outcome) => {
        if (outcome !== "connected") throw outcome;
      });
      return { client, socket: await joined };
    },
  };
}

interface Refusal extends Error {
  readonly data?: { readonly code?: string; readonly status: number };
}

/** Whether a client has connected, or how it was refused. */
export function outcomeOf(client: Socket): Promise<"connected" | Refusal> {
  return new Promise((resolve) => {
    client.once("connect", () => resolve("connected"));
    client.once("connect_error", (error) => resolve(error as Refusal));
  });
}

/** What a client is told at its end: the reason that the server gives, and the one that socket.io gives. */
export async function endOf(client: Socket): Promise<{ reason: string | undefined; disconnect: string }> {
  let reason: string | undefined;
  client.once("sessionEnded", (end: { reason: string }) => (reason = end.reason));
  const disconnect = await new Promise<string>((resolve) => client.once("disconnect", resolve));
  return { reason, disconnect };
}
