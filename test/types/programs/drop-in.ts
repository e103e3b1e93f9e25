// An application that has changed one line, without @types/express-session.
/* oxlint-disable import/no-named-as-default, typescript/no-floating-promises -- as an application has it */
import { EventEmitter } from "node:events";
import express from "express";
// oxlint-disable-next-line import/no-unassigned-import -- declares req.session
import "sojourn/express-session/types";
import session, { MemoryStore, Store, type SessionOptions } from "sojourn/express-session";
import { redisStore } from "sojourn/redis";

declare module "sojourn/express-session" {
  interface SessionData {
    username?: string;
    cart?: { items: string[] };
  }
}

export const options: SessionOptions = {
  secret: ["new", Buffer.from("old")],
  store: new MemoryStore(),
  cookie: (req) => ({ maxAge: 1000, secure: "auto", path: req.url ?? "/" }),
  genid: (req) => String(req.url),
  resave: false,
  saveUninitialized: false,
  rolling: true,
  unset: "destroy",
  proxy: true,
  idleTimeout: "30m",
};

// The names that @types/express-session gives to the types.
export const named: session.SessionOptions = { ...options, cookie: { maxAge: 1000 } satisfies session.CookieOptions };
export const nameIn = (data: session.SessionData & Partial<session.Session>): string | undefined => data.username;
export const stores: (session.Store | session.MemoryStore)[] = [new MemoryStore()];
export const agesOf = (cookie: session.Cookie): number | null | undefined => cookie.maxAge;

/** A store of the application's own. */
export class OwnStore extends Store {
  override get(_id: string, callback: (error: unknown, session?: null) => void): void {
    callback(null, null);
  }
  override set(_id: string, _session: object, callback?: (error?: unknown) => void): void {
    callback?.();
  }
  override destroy(_id: string, callback?: (error?: unknown) => void): void {
    callback?.();
  }
}
export const emitter: EventEmitter = new OwnStore();

export const app: express.Express = express();
app.use(session(options));
app.use(session({ secret: "s", store: new OwnStore() }));
app.use(session({ secret: "s", store: redisStore(undefined as never) }));
// oxlint-disable-next-line oxc/no-async-endpoint-handlers -- Express 5 takes its rejection
app.get("/", async (req, res, next) => {
  const name: string | undefined = req.session.username;
  req.session.cart ??= { items: [] };
  req.session.cart.items.push(name ?? "");
  req.session.cookie.maxAge = 60_000;
  req.session.cookie.expires = new Date();
  const id: string = req.sessionID + req.session.id;
  req.session.save((error: Error | undefined) => error && next(error));
  req.session.regenerate((error) => next(error));
  const same: typeof req.session = req.session.touch().resetMaxAge();
  // eslint-disable-next-line typescript/await-thenable -- the linter also sees the types of express-session
  await same.save();
  // eslint-disable-next-line typescript/await-thenable -- the linter also sees the types of express-session
  await req.session.destroy();
  req.sessionStore.get(id, (_error, found) => res.json(found));
  // @ts-expect-error -- the key is misspelt
  res.send(req.session.usernam);
});

const middleware = session(options);
export const users: Promise<unknown> = middleware.sessions.list("ada");
export const { store } = middleware;
