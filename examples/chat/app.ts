import express, { type ErrorRequestHandler } from "express";
import type { Sessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { sessionMiddleware } from "sojourn/express";
import "sojourn/express/types";

declare module "sojourn" {
  interface SessionData {
    username?: string;
  }
}

const MAX_NAME = 64;
const csrf = csrfProtection();

/** The pages of the application. */
export function createApp(sessions: Sessions) {
  const app = express();
  app.use(express.static(`${import.meta.dirname}/public`));
  app.use(sessionMiddleware(sessions, { csrf }));

  app.get("/", (req, res) => {
    const { username } = req.session.data;
    res.send(username === undefined ? page(VISITOR) : page(userPage(username)));
  });

  app.get("/login", (_req, res) => {
    res.send(page(LOGIN));
  });

  app.post("/login", express.urlencoded({ extended: false }), (req, res) => {
    const field = (req.body as { username?: unknown } | undefined)?.username;
    const username = typeof field === "string" ? field.trim() : "";
    if (username === "" || username.length > MAX_NAME) {
      return void res.status(400).send(page(`<p>Please enter a username of 1 to ${MAX_NAME} characters.</p>${LOGIN}`));
    }
    req.session.data.username = username;
    req.session.signIn(username);
    res.redirect(303, "/");
  });

  app.get("/logout", (req, res) => {
    // No other site may log anybody out by a link, although its method is a safe one.
    csrf.check(req, req.session, { everyMethod: true });
    req.session.pop("username");
    req.session.signOut();
    res.redirect(303, "/");
  });

  app.use(((error, _req, res, next) => {
    if (res.headersSent) return next(error);
    const { status = 500, expose = false, message } = error as { status?: number; expose?: boolean; message: string };
    if (status >= 500) console.error(error);
    res.status(status).send(page(`<p>${escape(expose ? message : "Something went wrong. Please try again.")}</p>`));
  }) satisfies ErrorRequestHandler);

  return app;
}

const VISITOR = '<h1>You are not logged in</h1><a href="/login">Log in</a>';

const LOGIN = `<form method="post" action="/login">
  <label>Username <input name="username" required autofocus></label>
  <button>Log in</button>
</form>`;

const userPage = (username: string) => `<h1>The login username is: ${escape(username)}</h1>
<a href="/logout">Log out</a>
<p id="state" role="status">The chat needs JavaScript.</p>
<ul id="messages"></ul>
<form id="chat"><input name="text" aria-label="Message" autocomplete="off" required><button>Send</button></form>
<script src="/socket.io/socket.io.js"></script>
<script src="/chat.js"></script>`;

const page = (content: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>Chat</title>${content}</html>`;

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (plain: string) => plain.replaceAll(/[&<>"]/g, (one) => ENTITIES[one] ?? one);
