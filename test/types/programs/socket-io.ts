import { type DefaultEventsMap, Server } from "socket.io";
import { createSessions, type Session } from "sojourn";
import { memoryStore } from "sojourn/memory";
import {
  requireRecentSignIn,
  requireUser,
  sessionMiddleware,
  type SessionEndEvents,
  type SessionProperties,
} from "sojourn/socket.io";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

interface ClientEvents {
  say: (text: string) => void;
}
interface ServerEvents extends SessionEndEvents {
  said: (text: string) => void;
}
interface SocketData extends SessionProperties {
  room: string;
}

const io = new Server<ClientEvents, ServerEvents, DefaultEventsMap, SocketData>();
io.use(sessionMiddleware(sessions, { origins: ["https://app.example.com"] }));
io.of("/admin")
  .use(sessionMiddleware(sessions))
  .use(requireUser())
  .use(requireRecentSignIn({ within: "10m" }));
io.on("connection", (socket) => {
  isSame<typeof socket.data.session, Session>();
  // @ts-expect-error -- there is no such key
  console.log(socket.data.session.data.usernmae);
  socket.emit("said", use(socket.data.session));
});

// Without types of its own, a server takes the middleware too.
new Server().use(sessionMiddleware(sessions)).use(requireUser());

// @ts-expect-error -- these data have no session
new Server<ClientEvents, ServerEvents, DefaultEventsMap, { room: string }>().use(sessionMiddleware(sessions));
