// A program that also loads the types of express-session, which has its own `req.session`.
import express from "express";
import type { SessionOptions } from "express-session";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

export const before: SessionOptions = { secret: "" };
export const app: express.Express = express();
app.use(sessionMiddleware(sessions));
app.get("/", (req, res) => {
  const session = sessions.of(req);
  isSame<typeof session, Session>();
  res.send(use(session));
});
