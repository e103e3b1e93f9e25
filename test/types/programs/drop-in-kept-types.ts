// An application that has changed one line and keeps @types/express-session, with its own declaration for it.
/* oxlint-disable import/no-named-as-default, typescript/no-floating-promises, typescript/no-misused-promises -- as an application has it */
import express from "express";
import { MemoryStore, Store, type SessionData } from "express-session";
import session, { expressStore, type SessionOptions } from "sojourn/express-session";

declare module "express-session" {
  interface SessionData {
    username?: string;
  }
}

export const options: SessionOptions = {
  secret: "secret",
  resave: false,
  saveUninitialized: false,
  cookie: { maxAge: 1 },
  store: new MemoryStore(),
};

/** As connect-redis and others declare theirs. */
declare class RedisStore extends Store {
  get(sid: string, cb?: (error?: unknown, session?: SessionData) => void): Promise<void>;
  set(sid: string, session: SessionData, cb?: (error?: unknown) => void): Promise<void>;
  destroy(sid: string, cb?: (error?: unknown) => void): Promise<void>;
}
export const onRedis: SessionOptions = { ...options, store: new RedisStore() };
export const wrapped: SessionOptions = { ...options, store: expressStore(new RedisStore()) };
export const app: express.Express = express();
app.use(session(options));
app.get("/", (req, res, next) => {
  const name: SessionData["username"] = req.session.username;
  req.session.regenerate((error) => {
    if (error) return next(error);
    req.session.username = name ?? "ada";
    req.session.save(next);
  });
  req.sessionStore.destroy(req.sessionID);
  // @ts-expect-error -- the key is misspelt
  res.send(req.session.usernam);
});
