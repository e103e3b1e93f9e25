import { ensureLoggedIn } from "connect-ensure-login";
import flash from "connect-flash";
import type { Express } from "express";
import dropIn, { type SessionOptions } from "sojourn/express-session";
import { describe, expect, it } from "vitest";
import type { Client } from "../support/http/client.ts";
import { libraries, LOGIN, newPassport, visit, who, withPassport, type Held } from "../support/http/passport.ts";
import { SECRET_KEY } from "../support/http/servers.ts";
import { createGate } from "../support/http/stage.ts";

// passport 0.7, passport-local, connect-flash and connect-ensure-login on the drop-in. express-session itself passes the
// same tests: an application that changes its import keeps what it has.

const data = async (client: Client) => (JSON.parse((await client.get("/who")).body) as { data: unknown }).data;

describe.each(libraries)("passport on %s", (_, session) => {
  it("signs one client in and out, and no other", async () => {
    const visitor = await visit(session(), (app) => withPassport(app));
    const [ada, grace] = [visitor(), visitor()];
    expect((await ada.post("/login?username=ada&password=hopper")).status).toBe(401);
    expect(await who(ada)).toBe(null);
    await ada.post(LOGIN.ada);
    expect([await who(ada), await who(grace)]).toEqual(["ada", null]);
    await grace.post(LOGIN.grace);
    expect([await who(ada), await who(grace)]).toEqual(["ada", "grace"]);
    expect((await ada.post("/logout")).status).toBe(302);
    expect([await who(ada), await who(grace)]).toEqual([null, "grace"]);
  });

  it("gives a sign-in a new id and cookie, and takes the cookie of before for nobody's", async () => {
    const visitor = await visit(session(), (app) => withPassport(app));
    const ada = visitor();
    await ada.post("/set?cart=tea");
    const planted = ada.twin();
    const before = (await ada.get("/id")).body;
    await ada.post(LOGIN.ada);
    expect([await who(ada), await who(planted), await data(planted)]).toEqual(["ada", null, {}]);
    expect((await ada.get("/id")).body).not.toBe(before);
  });

  it("takes the cookie of before a sign-out for nobody's", async () => {
    const visitor = await visit(session(), (app) => withPassport(app));
    const ada = visitor();
    await ada.post(LOGIN.ada);
    const thief = ada.twin();
    await ada.post("/logout");
    expect([await who(ada), await who(thief)]).toEqual([null, null]);
  });

  it("keeps data over a sign-in and a sign-out only where keepSessionInfo says so", async () => {
    const keeping = await visit(session(), (app) => withPassport(app, newPassport(), { keepSessionInfo: true }));
    const ada = keeping();
    await ada.post("/set?cart=tea");
    await ada.post(LOGIN.ada);
    expect([await who(ada), await data(ada)]).toEqual(["ada", { cart: "tea" }]);
    await ada.post("/logout?keep=yes");
    expect([await who(ada), await data(ada)]).toEqual([null, { cart: "tea" }]);

    const forgetting = await visit(session(), (app) => withPassport(app));
    const grace = forgetting();
    await grace.post("/set?cart=tea");
    await grace.post(LOGIN.grace);
    expect([await who(grace), await data(grace)]).toEqual(["grace", {}]);
    await grace.post("/set?cart=tea");
    await grace.post("/logout");
    expect([await who(grace), await data(grace)]).toEqual([null, {}]);
  });

  it("puts another object into req.session at a sign-in, and leaves the one before readable", async () => {
    const visitor = await visit(session(), (app) => {
      withPassport(app);
      app.post("/objects", (req, res, next) => {
        const { session: before } = req as Held;
        before.cart = ["tea"];
        (req as Held).logIn({ id: "ada" }, { keepSessionInfo: false }, (error) => {
          const { session: after } = req as Held;
          if (error) next(error);
          else res.json([before === after, before.cart, after.cart ?? null, before.id === after.id]);
        });
      });
    });
    const ada = visitor();
    expect((await ada.post("/objects")).body).toBe('[false,["tea"],null,false]');
    expect([await who(ada), await data(ada)]).toEqual(["ada", {}]);
  });

  it("changes from one user to another without showing one's data to the other", async () => {
    const visitor = await visit(session(), (app) => withPassport(app));
    const shared = visitor();
    await shared.post(LOGIN.ada);
    await shared.post("/set?letter=private");
    const before = shared.twin();
    await shared.post(LOGIN.grace);
    expect([await who(shared), await data(shared)]).toEqual(["grace", {}]);
    expect(await who(before)).toBe(null);
  });

  it("leads a visitor back to the page that asked for a sign-in", async () => {
    const visitor = await visit(session(), (app) => {
      const options = { successReturnToOrRedirect: "/", keepSessionInfo: true };
      withPassport(app, newPassport(), options);
      app.get("/orders", ensureLoggedIn("/login"), (_req, res) => res.send("orders"));
    });
    const [ada, grace] = [visitor(), visitor()];
    expect((await ada.get("/orders?page=2")).headers.location).toBe("/login");
    expect((await ada.post(LOGIN.ada)).headers.location).toBe("/orders?page=2");
    expect((await grace.post(LOGIN.grace)).headers.location).toBe("/");
    expect([(await ada.get("/orders")).body, await data(ada)]).toEqual(["orders", {}]);
    await ada.post("/logout");
    expect((await ada.get("/orders")).status).toBe(302);
  });

  it("shows the message of a failed sign-in once, to the client that failed", async () => {
    const visitor = await visit(session(), (app) => {
      app.use(flash());
      const options = { failureFlash: true, failureMessage: true, failureRedirect: "/login" };
      withPassport(app, newPassport(), options);
      app.get("/login", (req, res) => {
        const { session: own } = req as Held;
        const messages = (own.messages ?? []) as string[];
        delete own.messages;
        res.json([(req as Held).flash("error"), messages]);
      });
    });
    const [ada, grace] = [visitor(), visitor()];
    expect((await ada.post("/login?username=ada&password=guess")).headers.location).toBe("/login");
    const message = "That is not the password.";
    expect((await grace.get("/login")).body).toBe("[[],[]]");
    expect(JSON.parse((await ada.get("/login")).body)).toEqual([[message], [message]]);
    expect((await ada.get("/login")).body).toBe("[[],[]]");
  });

  it("forgets a user whom deserializeUser does not know any more", async () => {
    const known = new Set(["ada"]);
    const authenticator = newPassport({ deserialize: (id: string) => known.has(id) && { id } });
    const visitor = await visit(session(), (app) => withPassport(app, authenticator));
    const ada = visitor();
    await ada.post(LOGIN.ada);
    expect(await who(ada)).toBe("ada");
    known.clear();
    expect(await who(ada)).toBe(null);
    known.add("ada");
    expect(await who(ada)).toBe(null);
  });
});

function ours(options: SessionOptions = {}) {
  const middleware = dropIn({ secret: SECRET_KEY, resave: false, saveUninitialized: false, ...options });
  const start = (mount: (app: Express) => void) => visit(middleware, mount);
  return { sessions: middleware.sessions, start };
}

describe("the sessions behind sojourn/express-session", () => {
  it("are listed and revoked by the user whom passport has signed in", async () => {
    const { sessions, start } = ours();
    const visitor = await start((app) => withPassport(app));
    const [phone, laptop, grace] = [visitor(), visitor(), visitor()];
    await phone.post(LOGIN.ada);
    await laptop.post(LOGIN.ada);
    await grace.post(LOGIN.grace);
    const listed = (await sessions.list("ada")).map(({ id }) => id);
    expect(listed.toSorted()).toEqual([(await phone.get("/id")).body, (await laptop.get("/id")).body].toSorted());
    await phone.post("/logout");
    expect(await sessions.list("ada")).toHaveLength(1);
    await sessions.revokeAll("ada");
    expect([await who(laptop), await who(grace)]).toEqual([null, "grace"]);
    expect([await sessions.list("ada"), (await sessions.list("grace")).length]).toEqual([[], 1]);
  });

  it("are listed by the id of a user whom serializeUser gives as an object", async () => {
    const { sessions, start } = ours();
    const authenticator = newPassport({
      serialize: ({ id }) => ({ id, name: "somebody" }),
      deserialize: (user: { id: string }) => user,
    });
    const visitor = await start((app) => withPassport(app, authenticator));
    const [ada, grace] = [visitor(), visitor()];
    await ada.post(LOGIN.ada);
    await grace.post(LOGIN.grace);
    expect(await sessions.list("ada")).toHaveLength(1);
    await sessions.revokeAll("ada");
    expect([await who(ada), await who(grace)]).toEqual([null, "grace"]);
  });

  it("have a new id and cookie after a sign-in that forgets to regenerate, as that of passport 0.4", async () => {
    const { sessions, start } = ours();
    const visitor = await start((app) => {
      withPassport(app);
      app.post("/login-0.4", (req, res) => {
        (req as Held).session.passport = { user: "ada" };
        res.send("in");
      });
    });
    const ada = visitor();
    await ada.post("/set?cart=tea");
    const planted = ada.twin();
    const before = (await ada.get("/id")).body;
    await ada.post("/login-0.4");
    expect([await who(ada), await data(ada), await who(planted)]).toEqual(["ada", { cart: "tea" }, null]);
    expect((await sessions.list("ada")).map(({ id }) => id)).toEqual([(await ada.get("/id")).body]);
    expect((await ada.get("/id")).body).not.toBe(before);
  });

  it("end but for the one whose user has changed the password", async () => {
    const { sessions, start } = ours();
    const visitor = await start((app) => {
      withPassport(app);
      app.post("/password", (req, res, next) => {
        sessions.credentialsChanged(sessions.of(req)).then(() => res.send("changed"), next);
      });
    });
    const [phone, laptop, grace] = [visitor(), visitor(), visitor()];
    await phone.post(LOGIN.ada);
    await laptop.post(LOGIN.ada);
    await grace.post(LOGIN.grace);
    const before = phone.twin();
    expect((await phone.post("/password")).body).toBe("changed");
    expect([await who(phone), await who(laptop), await who(grace), await who(before)]).toEqual([
      "ada",
      null,
      "grace",
      null,
    ]);
  });

  it("stay ended although a request that began before the sign-out stores later", async () => {
    const gate = createGate();
    const { sessions, start } = ours();
    const visitor = await start((app) => {
      withPassport(app);
      app.post("/slow", (req, res, next) => {
        (req as Held).session.cart = ["tea"];
        gate.pass().then(() => res.send("done"), next);
      });
    });
    const ada = visitor();
    await ada.post(LOGIN.ada);
    const thief = ada.twin();
    const slow = ada.twin().post("/slow");
    await gate.reached;
    await ada.post("/logout");
    gate.open();
    await slow;
    expect([await who(thief), await who(ada), await sessions.list("ada")]).toEqual([null, null, []]);
  });
});
