import express from "express";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
// oxlint-disable-next-line import/no-unassigned-import -- it declares req.session
import "sojourn/express/types";
import { isSame, use } from "./use.js";

export const sessions = createSessions({ secretKey: process.env["SECRET_KEY"], store: memoryStore() });

export const app: express.Express = express();
app.use(sessionMiddleware(sessions, { lazy: (req) => req.url === "/robots.txt" }));
app.get("/", (req, res) => {
  isSame<typeof req.session, Session>();
  // @ts-expect-error -- there is no such key
  res.send(req.session.data.usernmae);
  res.send(use(req.session) + use(sessions.of(req)));
});
app.use(
  "/per-router",
  express.Router().get("/", (req, res) => void res.send(req.session.data.username)),
);
