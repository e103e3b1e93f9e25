import { createServer } from "node:http";
import { createSessions, type Session } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { withSession } from "sojourn/node";
import { isSame, use } from "./use.js";

const sessions = createSessions({ secretKey: "", store: memoryStore() });

export const server = createServer(
  withSession(sessions, (req, res, session) => {
    isSame<typeof session, Session>();
    // @ts-expect-error -- there is no such key
    console.log(session.data.usernmae);
    res.setHeader("x-path", req.url ?? "");
    res.end(use(session) + use(sessions.of(req)));
  }),
);
