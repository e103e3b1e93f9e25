import flash from "connect-flash";
import expressSession from "express-session";
import { doubleCsrf } from "csrf-csrf";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import methodOverride from "method-override";
import passport from "passport";
import { createSessions } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

// Middleware of others, made for express-session, in an application with Sojourn.

/** Any strategy of passport: it signs in whoever the query names. */
class Query extends passport.Strategy {
  override name = "query";
  authenticate(req: Request): void {
    const { user } = req.query;
    if (typeof user === "string") this.success({ id: user });
    else this.fail({ message: "Nobody." });
  }
}

function newPassport() {
  const authenticator = new passport.Passport().use(new Query());
  authenticator.serializeUser((user, done) => done(null, user.id));
  authenticator.deserializeUser((id, done) => done(null, { id }));
  return authenticator;
}

/** Serves an application that answers an error with its message. Gives two clients, the first signed in. */
async function visit(mount: (app: Express) => void): Promise<{ ada: Client; visitor: Client }> {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
  const app = express().use(sessionMiddleware(sessions));
  app.post("/login", (req, res) => {
    req.session.signIn("ada");
    res.send("welcome");
  });
  app.get("/who", (req, res) => res.json({ user: req.session.userId ?? null, data: req.session.data }));
  mount(app);
  app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
    res.status(500).send(`${error.name}: ${error.message}`);
  });
  const origin = await originFor(app);
  const ada = new Client(origin);
  await ada.post("/login");
  return { ada, visitor: new Client(origin) };
}

type Foreign = Request & {
  flash(category: string, message: string): void;
  logout(done: (error?: unknown) => void): void;
};

describe("an Express application with Sojourn", () => {
  const refused: [string, string, (app: Express) => void][] = [
    [
      "connect-flash",
      'session.flash is a method: session.flash("info", "Saved.") keeps a message',
      (app) => app.use(flash()).get("/", (req, res) => res.send((req as Foreign).flash("info", "Saved."))),
    ],
    [
      "passport, which signs in",
      "session.signIn(userId) gives the session a new id and token",
      (app) => {
        const authenticator = newPassport();
        app.use(authenticator.initialize(), authenticator.session());
        app.get("/", authenticator.authenticate("query"), (_req, res) => res.send("in"));
      },
    ],
    [
      "passport, which signs out",
      "session.save() takes no callback",
      (app) => {
        const authenticator = newPassport();
        app.use(authenticator.initialize(), authenticator.session());
        app.get("/", (req, res, next) => (req as Foreign).logout((error) => (error ? next(error) : res.send("out"))));
      },
    ],
    [
      "passport, which keeps a message",
      "session.messages would be lost with this request, since only session.data is kept",
      (app) => {
        const authenticator = newPassport();
        app.use(authenticator.initialize());
        app.get("/nobody", authenticator.authenticate("query", { failureMessage: true }));
        app.get("/", (_req, res) => res.redirect("/nobody"));
      },
    ],
    [
      "csurf, lusca and others that keep a secret in the session",
      "session.csrfSecret would be lost with this request, since only session.data is kept: set session.data.csrfSecret",
      (app) =>
        app.get("/", (req, res) => {
          (req.session as unknown as { csrfSecret: string }).csrfSecret = "secret";
          res.send("done");
        }),
    ],
    [
      "cookie-session's way of signing out",
      "req.session was replaced, which changes nothing of the session: session.signOut() ends it",
      (app) =>
        app.get("/", (req, res) => {
          (req as { session: unknown }).session = null;
          res.send("bye");
        }),
    ],
    [
      "data in the session's place",
      "put data into req.session.data",
      (app) =>
        app.get("/", (req, res) => {
          (req as { session: unknown }).session = { cart: [] };
          res.send("done");
        }),
    ],
  ];

  it.each(refused)("answers 500 to %s, and says: %s", async (_name, message, mount) => {
    const { ada, visitor } = await visit(mount);
    for (const client of [ada, visitor]) {
      let answer = await client.get("/?user=eve");
      if (answer.headers.location) answer = await client.get("/nobody");
      expect([answer.status, answer.setCookies]).toEqual([500, []]);
      expect(answer.body).toContain("TypeError");
      expect(answer.body).toContain(message);
    }
    expect((await ada.get("/who")).body).toBe('{"user":"ada","data":{}}');
    expect((await visitor.get("/who")).body).toBe('{"user":null,"data":{}}');
  });

  it("answers 500 at once where express-session has a session on the request already", async () => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const app = express().use(expressSession({ secret: SECRET_KEY, resave: false, saveUninitialized: true }));
    app.use(sessionMiddleware(sessions)).get("/", (_req, res) => res.send("unreached"));
    app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
      res.status(500).send(error.message);
    });
    const { status, body } = await new Client(await originFor(app)).get("/");
    expect([status, body]).toEqual([500, expect.stringContaining("mount one library of sessions only")]);
  });

  it("signs in by passport's strategies with session: false", async () => {
    const { ada, visitor } = await visit((app) => {
      const authenticator = newPassport();
      app.use(authenticator.initialize(), authenticator.session());
      app.get("/", authenticator.authenticate("query", { session: false }), (req, res) => {
        req.session.signIn((req as unknown as { user: { id: string } }).user.id);
        res.send("in");
      });
    });
    expect(await visitor.get("/?user=bob")).toMatchObject({ status: 200, body: "in" });
    expect((await visitor.get("/who")).body).toBe('{"user":"bob","data":{}}');
    expect((await ada.get("/who")).body).toBe('{"user":"ada","data":{}}');
  });

  it("stores changes of requests whose method method-override has set", async () => {
    const { ada } = await visit((app) => {
      app.use(methodOverride("_method")).delete("/cart", (req, res) => {
        (req.session.data as Record<string, unknown>)["deleted"] = true;
        res.send("done");
      });
    });
    expect(await ada.post("/cart?_method=DELETE")).toMatchObject({ status: 200, body: "done" });
    expect((await ada.get("/who")).body).toBe('{"user":"ada","data":{"deleted":true}}');
  });

  it("gives csrf-csrf an id that another client's token and a token of before the sign-in do not fit", async () => {
    const { doubleCsrfProtection, generateCsrfToken } = doubleCsrf({
      getSecret: () => SECRET_KEY,
      getSessionIdentifier: (req) => req.session.id,
      getCsrfTokenFromRequest: (req) => req.query["token"] as string,
      cookieName: "csrf",
      cookieOptions: { secure: false },
      errorConfig: { statusCode: 403, message: "foreign", code: "FOREIGN" },
    });
    const { ada, visitor } = await visit((app) => {
      app.use((req, _res, next) => {
        const pairs = (req.headers.cookie ?? "").split("; ").map((pair) => pair.split("="));
        (req as { cookies?: object }).cookies = Object.fromEntries(pairs) as object;
        next();
      });
      app.get("/token", (req, res) => {
        (req.session.data as Record<string, unknown>)["seen"] = true;
        res.send(generateCsrfToken(req, res));
      });
      app.post("/change", doubleCsrfProtection, (_req, res) => res.send("changed"));
    });
    const of = (name: string) => `/change?token=${encodeURIComponent(name)}`;
    const [mine, before] = [(await ada.get("/token")).body, (await visitor.get("/token")).body];
    expect((await ada.post(of(mine))).body).toBe("changed");
    expect((await visitor.post(of(before))).body).toBe("changed");
    expect((await ada.post(of(before))).status).not.toBe(200);
    await visitor.post("/login");
    expect((await visitor.post(of(before))).status).not.toBe(200);
    const after = (await visitor.get("/token")).body;
    expect(after).not.toBe(before);
  });
});
