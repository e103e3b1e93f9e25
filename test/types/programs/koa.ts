import Koa from "koa";
import { createSessions, type Session } from "sojourn";
import { requireUser, sessionMiddleware, type SessionProperties } from "sojourn/koa";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

// Middleware of another file says by itself that there is a session.
export const account: Koa.Middleware<Koa.DefaultState, SessionProperties> = (ctx) => {
  isSame<typeof ctx.session, Session>();
  // @ts-expect-error -- there is no such key
  console.log(ctx.session.data.usernmae);
  ctx.body = use(ctx.session);
};

export const app = new Koa()
  .use(sessionMiddleware(sessions, { lazy: (ctx) => ctx.path === "/robots.txt" }))
  .use(requireUser({ loginPage: "/login" }))
  .use(account)
  .use((ctx) => {
    isSame<typeof ctx.session, Session>();
    ctx.body = use(ctx.session) + use(sessions.of(ctx)) + use(sessions.of(ctx.request));
  });
