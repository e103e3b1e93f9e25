// An application that has changed one line and keeps @types/express-session, with its own declaration for it.
/* oxlint-disable import/no-named-as-default, typescript/no-floating-promises -- as an application has it */
import express from "express";
import type { SessionData } from "express-session";
import session, { type SessionOptions } from "sojourn/express-session";

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
};
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
