import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { SessionError, type Session, type Sessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { withSession } from "sojourn/node";
import { WebSocketServer, type WebSocket } from "ws";

export interface Data {
  /** Number of messages that this session's sockets have received. */
  messages?: number;
}

/**
 * Creates a server with long-lived connections that end with their session: a WebSocket at `/socket`, and server-sent
 * events at `/events`. `POST /login?name=ada` signs in, `POST /logout` signs out, and `POST /elsewhere` ends all other
 * sessions of the user.
 */
export function createLiveServer(sessions: Sessions<Data>): Server {
  const server = createServer(
    withSession(sessions, (req, res, session) => answer(sessions, req, res, session), { csrf: csrfProtection() }),
  );
  const sockets = new WebSocketServer({ noServer: true });

  server.on("upgrade", (req: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    sessions.attach(req).then(
      (session) => {
        if (session.userId === undefined) return refuse(socket, 401);
        sockets.handleUpgrade(req, socket, head, (connection) => talk(connection, session));
      },
      (error: unknown) => refuse(socket, error instanceof SessionError ? error.status : 500),
    );
  });
  return server;
}

/** Counts the messages of a socket in its session, and closes the socket when the session ends. */
function talk(connection: WebSocket, session: Session<Data>): void {
  const close = () => connection.close(4401, "signed out");
  if (session.signal.aborted) return close();
  session.signal.addEventListener("abort", close, { once: true });
  connection.on("error", () => connection.terminate());
  connection.on("message", () => {
    // A client may go on sending after close().
    if (session.signal.aborted) return;
    const count = async () => {
      session.update("messages", (n = 0) => n + 1);
      await session.save();
      await session.reload();
      connection.send(`${session.userId}: ${session.data.messages}`);
    };
    count().catch(() => connection.close(1011, "the session could not be stored"));
  });
}

function refuse(socket: Socket, status: number): void {
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

async function answer(sessions: Sessions<Data>, req: IncomingMessage, res: ServerResponse, session: Session<Data>) {
  const url = new URL(req.url ?? "/", "http://localhost");
  const route = `${req.method} ${url.pathname}`;
  if (route === "POST /login") {
    session.signIn(url.searchParams.get("name") || "ada");
    return res.end("signed in\n");
  }
  if (route === "POST /logout") {
    session.signOut();
    return res.end("signed out\n");
  }
  if (session.userId === undefined) return res.writeHead(401).end();
  if (route === "POST /elsewhere") {
    const ended = await sessions.revokeAll(session.userId, { except: session.id });
    return res.end(`${ended} ended\n`);
  }
  if (route === "GET /events") return stream(res, session);
  return res.writeHead(404).end();
}

/** Sends an event stream that ends with the session. The browser connects again, gets a 401 and stops. */
function stream(res: ServerResponse, session: Session<Data>): void {
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  res.write(`data: hello ${session.userId}\n\n`);
  const end = () => res.end("event: signed-out\ndata:\n\n");
  if (session.signal.aborted) end();
  else session.signal.addEventListener("abort", end, { once: true });
}
