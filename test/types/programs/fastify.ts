import Fastify, { type FastifyInstance } from "fastify";
import { createSessions, type Session } from "sojourn";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

export const app: FastifyInstance = Fastify();
void app.register(sessionPlugin(sessions, { passive: (request) => request.url === "/poll" }));
app.get("/", (request) => {
  isSame<typeof request.session, Session>();
  // @ts-expect-error -- there is no such key
  console.log(request.session.data.usernmae);
  return use(request.session) + use(sessions.of(request));
});
void app.register((child, _options, done) => {
  child.get("/child", (request) => ({ username: request.session.data.username }));
  done();
});
