import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from "express";
import expressSession from "express-session";
import passport, { type User } from "passport";
import { Strategy } from "passport-local";
import dropIn from "sojourn/express-session";
import { Client } from "./client.ts";
import { originFor, SECRET_KEY } from "./servers.ts";

/** A request as the middleware around express-session makes it. */
export type Held = Request & {
  // oxlint-disable-next-line typescript/no-explicit-any -- data of any kind, as an application without types has them
  session: any;
  sessionID: string;
  user?: User;
  isAuthenticated(): boolean;
  flash(category: string, message?: string): string[];
  logIn(user: User, options: object, done: (error?: unknown) => void): void;
  logout(options: object, done: (error?: unknown) => void): void;
};

export const PASSWORDS = new Map([
  ["ada", "lovelace"],
  ["grace", "hopper"],
]);

interface Serializing {
  readonly serialize?: (user: User) => unknown;
  readonly deserialize?: (value: never) => User | false;
}

/** A passport of its own, by whose strategy Ada and Grace sign in with their passwords. */
export function newPassport({
  serialize = (user) => user.id,
  deserialize = (id: string) => PASSWORDS.has(id) && { id },
}: Serializing = {}) {
  const authenticator = new passport.Passport();
  authenticator.use(
    new Strategy((name, password, done) => {
      if (PASSWORDS.get(name) === password) done(null, { id: name });
      else done(null, false, { message: "That is not the password." });
    }),
  );
  authenticator.serializeUser((user, done) => done(null, serialize(user)));
  authenticator.deserializeUser((value, done) => done(null, deserialize(value)));
  return authenticator;
}

const OPTIONS = { secret: SECRET_KEY, resave: false, saveUninitialized: false };

/** The middleware of both libraries, with the same options. */
export const libraries: [string, (options?: object) => RequestHandler][] = [
  ["sojourn/express-session", (options) => dropIn({ ...OPTIONS, ...options })],
  ["express-session", (options) => expressSession({ ...OPTIONS, ...options })],
];

/** Serves an application behind a session's middleware. Gives new browsers, each with no cookie. */
export async function visit(session: RequestHandler, mount: (app: Express) => void): Promise<() => Client> {
  const app = express().use(session);
  mount(app);
  app.use((error: Error & { status?: number }, _req: Request, res: Response, _next: NextFunction) => {
    res.status(error.status ?? (res.statusCode < 400 ? 500 : res.statusCode)).send(`${error.name}: ${error.message}`);
  });
  const origin = await originFor(app);
  return () => new Client(origin);
}

/** Whoever is signed in, and the data. */
export function showSession(app: Express): void {
  app.get("/who", (req, res) => {
    const { user, session } = req as Held;
    const { cookie: _cookie, passport: _passport, ...data } = session as Record<string, unknown>;
    res.json({ user: user?.id ?? null, data });
  });
  app.get("/id", (req, res) => res.send((req as Held).sessionID));
  app.post("/set", (req, res) => {
    Object.assign((req as Held).session, req.query);
    res.send("set");
  });
}

/** The routes of an application with passport: `POST /login?username=…&password=…`, `POST /logout`, `GET /who`. */
export function withPassport(app: Express, authenticator = newPassport(), login: object = {}): void {
  app.use(authenticator.initialize(), authenticator.session());
  app.post("/login", authenticator.authenticate("local", login), (_req, res) => res.send("in"));
  app.post("/logout", (req, res, next) => {
    (req as Held).logout({ keepSessionInfo: req.query["keep"] === "yes" }, (error) =>
      error ? next(error) : res.redirect("/"),
    );
  });
  showSession(app);
}

export async function who(client: Client): Promise<unknown> {
  return (JSON.parse((await client.get("/who")).body) as { user: unknown }).user;
}

export const LOGIN = { ada: "/login?username=ada&password=lovelace", grace: "/login?username=grace&password=hopper" };
