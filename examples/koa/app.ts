import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import Koa from "koa";
import type { Sessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { sessionMiddleware, type SessionProperties } from "sojourn/koa";

/** The data that the application keeps in a session. */
export interface Data {
  username: string;
}

/** Creates the login application with the routes `/`, `/login` and `/logout`. */
export function createApp(sessions: Sessions<Data>) {
  const csrf = csrfProtection();
  const router = new Router<Koa.DefaultState, SessionProperties<Data>>();

  router.get("/", (ctx) => {
    const { username } = ctx.session.data;
    ctx.body =
      username === undefined
        ? page('<h1>You are not logged in</h1><a href="/login">Log in</a>')
        : page(`<h1>The login username is: ${escape(username)}</h1><a href="/logout">Log out</a>`);
  });

  router.get("/login", (ctx) => {
    ctx.body = page(`<form method="post">
      <label>Username <input name="username" required></label>
      <button>Log in</button>
    </form>`);
  });

  router.post("/login", bodyParser(), (ctx) => {
    const field = (ctx.request.body as { username?: unknown }).username;
    const username = typeof field === "string" ? field.trim() : "";
    if (username === "" || username.length > 64) ctx.throw(400, "Please enter a username of at most 64 characters.");
    ctx.session.data.username = username;
    ctx.session.signIn(username);
    ctx.status = 303;
    ctx.redirect("/");
  });

  router.get("/logout", (ctx) => {
    // No other site may log anybody out by a link, although its method is a safe one.
    csrf.check(ctx, ctx.session, { everyMethod: true });
    ctx.session.pop("username");
    ctx.session.signOut();
    ctx.status = 303;
    ctx.redirect("/");
  });

  return new Koa().use(sessionMiddleware(sessions, { csrf })).use(router.routes());
}

const page = (content: string) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>Sojourn and Koa</title>
  ${content}
</html>`;

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text: string) => text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character]!);
