import { doubleCsrf } from "csrf-csrf";
import { csrfSync } from "csrf-sync";
import expressFlash from "express-flash";
import connectFlash from "connect-flash";
import type { Request } from "express";
import lusca from "lusca";
import { describe, expect, it } from "vitest";
import { libraries, LOGIN, visit, who, withPassport, type Held } from "../support/http/passport.ts";
import { SECRET_KEY } from "../support/http/servers.ts";

// Middleware that keeps its state in req.session, on the drop-in and on express-session itself.

const tokenOf = (req: Request) => req.query["token"] as string;
const change = (token: string) => `/change?token=${encodeURIComponent(token)}`;

describe.each(libraries)("on %s", (_, session) => {
  it("connect-flash shows a message once, over a redirect, and to no other client", async () => {
    const visitor = await visit(session(), (app) => {
      app.use(connectFlash());
      withPassport(app);
      app.post("/save", (req, res) => {
        (req as Held).flash("info", "Saved.");
        (req as Held).flash("info", "Twice.");
        res.redirect("/messages");
      });
      app.get("/messages", (req, res) => res.json((req as Held).flash("info")));
    });
    const [ada, grace] = [visitor(), visitor()];
    await ada.post(LOGIN.ada);
    expect((await ada.post("/save")).headers.location).toBe("/messages");
    expect((await grace.get("/messages")).body).toBe("[]");
    expect((await ada.get("/messages")).body).toBe('["Saved.","Twice."]');
    expect((await ada.get("/messages")).body).toBe("[]");
    await ada.post("/save");
    await ada.post("/logout");
    expect((await ada.get("/messages")).body).toBe("[]");
  });

  it("express-flash gives the messages to the next view, and to no other client's", async () => {
    const visitor = await visit(session(), (app) => {
      app.engine("ts", (_path, options, done) => {
        done(null, JSON.stringify((options as { messages?: unknown }).messages ?? {}));
      });
      app.use(expressFlash());
      withPassport(app);
      app.post("/save", (req, res) => {
        (req as Held).flash("info", "Saved.");
        res.redirect("/");
      });
      app.get("/", (_req, res) => res.render(import.meta.filename, {}));
    });
    const [ada, grace] = [visitor(), visitor()];
    await ada.post(LOGIN.ada);
    await ada.post("/save");
    const views = [await grace.get("/"), await ada.get("/"), await ada.get("/")].map(({ body }) => body);
    expect(views).toEqual(["{}", '{"info":["Saved."]}', "{}"]);
  });

  it("csrf-csrf accepts a token of this session alone, and none of before the sign-in or the sign-out", async () => {
    const { doubleCsrfProtection, generateCsrfToken } = doubleCsrf({
      getSecret: () => SECRET_KEY,
      getSessionIdentifier: (req) => req.session.id,
      getCsrfTokenFromRequest: tokenOf,
      cookieName: "csrf",
      cookieOptions: { secure: false },
      errorConfig: { statusCode: 403, message: "foreign", code: "FOREIGN" },
    });
    const visitor = await visit(session(), (app) => {
      app.use((req, _res, next) => {
        const pairs = (req.headers.cookie ?? "").split("; ").map((pair) => pair.split("="));
        (req as { cookies?: object }).cookies = Object.fromEntries(pairs) as object;
        next();
      });
      withPassport(app);
      app.get("/token", (req, res) => {
        (req as Held).session.seen = true;
        res.send(generateCsrfToken(req, res));
      });
      app.post("/change", doubleCsrfProtection, (_req, res) => res.send("changed"));
    });
    const [ada, grace] = [visitor(), visitor()];
    const [before, foreign] = [(await ada.get("/token")).body, (await grace.get("/token")).body];
    expect((await ada.post(change(before))).body).toBe("changed");
    expect((await ada.post(change(foreign))).status).toBe(403);
    await ada.post(LOGIN.ada);
    expect((await ada.post(change(before))).status).toBe(403);
    // Even a thief of both: the token is bound to the id of the session.
    const mine = (await ada.get("/token")).body;
    expect((await ada.post(change(mine))).body).toBe("changed");
    expect((await grace.post(change(mine))).status).toBe(403);
    await ada.post("/logout");
    expect((await ada.post(change(mine))).status).toBe(403);
  });

  it("csrf-sync accepts the token that this session keeps, and none of before the sign-in or the sign-out", async () => {
    const { csrfSynchronisedProtection, generateToken } = csrfSync({
      getTokenFromRequest: tokenOf,
      errorConfig: { statusCode: 403, message: "foreign", code: "FOREIGN" },
    });
    const visitor = await visit(session(), (app) => {
      withPassport(app);
      app.get("/token", (req, res) => res.send(generateToken(req)));
      app.post("/change", csrfSynchronisedProtection, (_req, res) => res.send("changed"));
    });
    const [ada, grace] = [visitor(), visitor()];
    const [before, foreign] = [(await ada.get("/token")).body, (await grace.get("/token")).body];
    expect((await ada.get("/token")).body).toBe(before);
    expect((await ada.post(change(before))).body).toBe("changed");
    expect((await ada.post(change(foreign))).status).toBe(403);
    await ada.post(LOGIN.ada);
    expect((await ada.post(change(before))).status).toBe(403);
    const mine = (await ada.get("/token")).body;
    expect([(await ada.post(change(mine))).body, (await grace.post(change(mine))).status]).toEqual(["changed", 403]);
    await ada.post("/logout");
    expect((await ada.post(change(mine))).status).toBe(403);
  });

  it("lusca's csrf accepts tokens of this session, and none of before the sign-in or the sign-out", async () => {
    const visitor = await visit(session(), (app) => {
      withPassport(app);
      app.use((req, _res, next) => {
        req.body = { _csrf: tokenOf(req) };
        next();
      });
      app.use(lusca.csrf());
      app.get("/token", (_req, res) => res.send(res.locals["_csrf"]));
      app.post("/change", (_req, res) => res.send("changed"));
    });
    const [ada, grace] = [visitor(), visitor()];
    const [before, foreign] = [(await ada.get("/token")).body, (await grace.get("/token")).body];
    expect((await ada.post(change(before))).body).toBe("changed");
    expect((await ada.post(change(foreign))).status).toBe(403);
    await ada.post(LOGIN.ada);
    expect((await ada.post(change(before))).status).toBe(403);
    const mine = (await ada.get("/token")).body;
    expect([(await ada.post(change(mine))).body, (await grace.post(change(mine))).status]).toEqual(["changed", 403]);
    expect([await who(ada), await who(grace)]).toEqual(["ada", null]);
    await ada.post("/logout");
    expect((await ada.post(change(mine))).status).toBe(403);
  });
});
