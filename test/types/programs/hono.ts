import { Hono, type Context } from "hono";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware, type SessionVariables } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

// An application that is mounted in another says by itself that there is a session.
const account = new Hono<SessionVariables>().get("/", (c) => {
  isSame<typeof c.var.session, Session>();
  // @ts-expect-error -- there is no such key
  console.log(c.var.session.data.usernmae);
  return c.text(use(c.get("session")));
});
const tenant = new Hono<SessionVariables & { Bindings: { REGION: string } }>().get("/", (c) =>
  c.text(`${c.env.REGION} ${c.var.session.data.username ?? ""}`),
);
const ofAnother = new Hono<SessionVariables<{ theme?: "dark" }>>().get("/", (c) => {
  // @ts-expect-error -- its data have no such key
  console.log(c.var.session.data.username);
  return c.text(c.var.session.data.theme ?? "light");
});
export const helper = (c: Context<SessionVariables>): string => use(c.var.session);

export const app = new Hono()
  .use(sessionMiddleware(sessions, { lazy: (c) => c.req.path === "/robots.txt" }))
  .route("/account", account)
  .route("/tenant", tenant)
  .route("/another", ofAnother)
  .get("/", (c) => {
    isSame<typeof c.var.session, Session>();
    return c.text(use(c.var.session) + use(sessions.of(c)) + helper(c));
  });
