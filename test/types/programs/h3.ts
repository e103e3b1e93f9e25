import { H3 } from "h3";
import { createSessions, type Session } from "sojourn";
import { requireUser, sessionMiddleware } from "sojourn/h3";
import { memoryStore } from "sojourn/memory";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

const app = new H3()
  .use(sessionMiddleware(sessions, { lazy: ({ url }) => url.pathname === "/robots.txt" }))
  .use("/account", requireUser({ loginPage: "/login" }))
  .get("/", (event) => {
    const { session } = event.context;
    isSame<typeof session, Session>();
    // @ts-expect-error -- there is no such key
    console.log(session.data.usernmae);
    return use(session) + use(sessions.of(event));
  });

export const answer = (request: Request) => app.fetch(request);
