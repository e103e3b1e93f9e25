import type { Server as HttpServer } from "node:http";
import { type DefaultEventsMap, Server } from "socket.io";
import type { Sessions } from "sojourn";
import { requireUser, sessionMiddleware, type SessionEndEvents, type SessionProperties } from "sojourn/socket.io";

interface ClientEvents {
  say: (text: unknown) => void;
}

interface ServerEvents extends SessionEndEvents {
  said: (message: { from: string; text: string }) => void;
}

const MAX_TEXT = 1000;

/** The chat of those who are logged in. */
export function createChat(server: HttpServer, sessions: Sessions): void {
  const io = new Server<ClientEvents, ServerEvents, DefaultEventsMap, SessionProperties>(server);
  io.use(sessionMiddleware(sessions));
  io.use(requireUser());
  io.on("connection", (socket) => {
    const { session } = socket.data;
    socket.on("say", (text) => {
      if (typeof text !== "string" || text.trim() === "") return;
      io.emit("said", { from: session.data.username ?? "", text: text.slice(0, MAX_TEXT) });
      // Whoever writes is active: the session is extended.
      session.save().catch(console.error);
    });
  });
}
