import { describe, expect, it, vi } from "vitest";
import { createGate } from "../../test/support/http/stage.ts";
import { allSessions, count, downWhen, site, type Held } from "../../test/support/express-session.ts";
import { Session } from "./index.ts";

describe("req.session", () => {
  it("has the data as its own keys, beside cookie", async () => {
    const routes = {
      "/": (req: Held, res: { json(body: unknown): void }) => {
        Object.assign(req.session, { user: "ada", visits: 1 });
        const keys = [];
        for (const key in req.session) keys.push(key);
        res.json([Object.keys(req.session), keys, "user" in req.session, "save" in req.session, { ...req.session }]);
      },
    };
    const { visitor } = await site(routes);
    const names = ["cookie", "user", "visits"];
    const [own, all, hasUser, hasSave, copy] = JSON.parse((await visitor().get("/")).body) as unknown[];
    expect([own, all, hasUser, hasSave]).toEqual([names, names, true, true]);
    expect(copy).toMatchObject({ user: "ada", visits: 1, cookie: { path: "/", httpOnly: true } });
  });

  it("has the methods on its prototype, with the lengths that others look at", async () => {
    const routes = {
      "/": (req: Held, res: { json(body: unknown): void }) => {
        const prototype: unknown = Object.getPrototypeOf(req.session);
        const methods = prototype as Record<string, () => void>;
        const names = ["save", "reload", "destroy", "regenerate", "touch", "resetMaxAge"];
        res.json([prototype === Session.prototype, names.map((name) => methods[name]!.length)]);
      },
    };
    const { visitor } = await site(routes);
    expect(JSON.parse((await visitor().get("/")).body)).toEqual([true, [1, 1, 1, 1, 0, 0]]);
  });

  it("keeps values as JSON does, so that a document with toJSON comes back as its text", async () => {
    class Document {
      readonly name = "ada";
      toJSON() {
        return { name: this.name, id: "17" };
      }
    }
    const routes = {
      "/set": (req: Held, res: { send(body: string): void }) => {
        Object.assign(req.session, {
          user: new Document(),
          at: new Date(0),
          none: undefined,
          run() {},
          map: new Map(),
        });
        res.send(req.session.user.name as string);
      },
      "/get": (req: Held, res: { json(body: unknown): void }) => res.json({ ...req.session, cookie: 0 }),
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    expect((await ada.get("/set")).body).toBe("ada");
    expect(JSON.parse((await ada.get("/get")).body)).toEqual({
      user: { name: "ada", id: "17" },
      at: "1970-01-01T00:00:00.000Z",
      map: {},
      cookie: 0,
    });
  });

  it("leads nobody to its prototype by the key __proto__, so that no client changes the sessions of others", async () => {
    const routes = {
      "/set": (req: Held, res: { send(body: string): void }) => {
        req.session["__proto__"].isAdmin = true;
        res.send("");
      },
      "/get": (req: Held, res: { send(body: string): void }) => res.send(String(req.session.isAdmin)),
    };
    const { visitor } = await site(routes);
    expect((await visitor().get("/set")).status).toBe(500);
    expect((await visitor().get("/get")).body).toBe("undefined");
    expect(Session.prototype).not.toHaveProperty("isAdmin");
  });

  it("keeps to itself what Object.defineProperty has made invisible, also after an assignment", async () => {
    const routes = {
      "/": (req: Held, res: { json(body: unknown): void }) => {
        const { session } = req;
        let given: unknown;
        Object.defineProperty(session, "cached", { value: 1, writable: true });
        Object.defineProperty(session, "setter", {
          get: () => given,
          set(value) {
            given = value;
          },
        });
        Object.assign(session, { cached: 2, setter: 3 });
        res.json([session.cached, given, Object.keys(session)]);
      },
    };
    const { visitor } = await site(routes);
    expect(JSON.parse((await visitor().get("/")).body)).toEqual([2, 3, ["cookie"]]);
  });

  it("fails the response where another session's object has taken its place, since nothing of that one is stored", async () => {
    const routes = {
      "/load": (req: Held, res: { send(body: string): void }) =>
        req.sessionStore.load(req.sessionID, (_, other) => {
          req.session = other;
          req.session.count = 100;
          res.send("");
        }),
      "/back": (req: Held, res: { send(body: string): void }) => {
        const before = req.session;
        req.session.regenerate(() => {
          req.session = before;
          res.send("");
        });
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    expect((await ada.get("/load")).status).toBe(500);
    expect((await ada.get("/count")).body).toBe("2");
    expect((await ada.get("/back")).status).toBe(500);
  });

  it("gives a promise where a method is called without a callback, and itself where it is called with one", async () => {
    const routes = {
      "/": async (req: Held, res: { json(body: unknown): void }) => {
        req.session.a = 1;
        const { session: held } = req;
        const returned = await new Promise((resolve) => {
          const same: unknown = held.save(() => setImmediate(() => resolve(same)));
        });
        res.json([returned === held, (await held.save()) === undefined]);
      },
    };
    const { visitor } = await site(routes);
    expect(JSON.parse((await visitor().get("/")).body)).toEqual([true, true]);
  });
});

describe("req.session.save()", () => {
  it.each(["save", "touch"] as const)("stores what a visitor's request changes after %s() too", async (method) => {
    const routes = {
      "/get": (req: Held, res: { send(body: string): void }) => res.send(`${req.session.a} ${req.session.b}`),
      "/": (req: Held, res: { send(body: string): void }) => {
        req.session.a = 1;
        req.session[method]();
        req.session.b = 2;
        res.send("");
      },
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/");
    expect((await ada.get("/get")).body).toBe("1 2");
  });

  it("tells its callback of a value that can't be kept", async () => {
    const routes = {
      "/": (req: Held, res: { send(body: string): void }) => {
        req.session.big = 1n;
        req.session.save((error: unknown) => {
          delete req.session.big;
          res.send(String(error));
        });
      },
    };
    const { visitor } = await site(routes);
    expect((await visitor().get("/")).body).toContain("BigInt");
  });

  it.each(["/again", "/later"])(
    "that has failed signs nobody in, whatever the response to %s stores in its place",
    async (path) => {
      let isDown = false;
      const login = async (req: Held) => {
        req.session.passport = { user: "ada" };
        isDown = true;
        await req.session.save().catch(() => {});
        isDown = false;
      };
      const routes = {
        "/again": async (req: Held, res: { send(body: string): void }) => {
          await login(req);
          res.send("Try again");
        },
        "/later": async (req: Held, res: { send(body: string): void }) => {
          await login(req);
          req.session.message = "Try again";
          res.send("");
        },
        "/get": (req: Held, res: { json(body: unknown): void }) => res.json({ ...req.session, cookie: 0 }),
      };
      const { visitor, middleware } = await site(routes, { store: downWhen(() => isDown) });
      const ada = visitor();
      expect((await ada.get(path)).status).toBe(200);
      expect(await middleware.sessions.list("ada")).toEqual([]);
      expect(JSON.parse((await ada.get("/get")).body)).toEqual({
        ...(path === "/later" && { message: "Try again" }),
        cookie: 0,
      });
    },
  );
});

describe("req.session.regenerate()", () => {
  it("gives a new id, a new token and a new object, and leaves the old object readable", async () => {
    const routes = {
      "/login": (req: Held, res: { json(body: unknown): void }, next: (error: unknown) => void) => {
        const before = req.session;
        const id = before.id as string;
        before.regenerate((error: unknown) => {
          if (error) return next(error);
          before.late = true;
          req.session.user = "ada";
          const { cookie: _, ...kept } = { ...before } as Record<string, unknown>;
          res.json([kept, before.id === id, req.session === before, req.session.id === id, req.sessionID === id]);
        });
      },
      "/get": (req: Held, res: { json(body: unknown): void }) => res.json({ ...req.session, cookie: 0 }),
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const thief = ada.twin();
    const { body } = await ada.get("/login");
    expect(JSON.parse(body)).toEqual([{ count: 1, late: true }, true, false, false, false]);
    expect(JSON.parse((await ada.get("/get")).body)).toEqual({ user: "ada", cookie: 0 });
    expect((await thief.get("/get")).body).toBe('{"cookie":0}');
  });
});

describe("req.session.destroy()", () => {
  it("of an object of before regenerate() ends the session that the request has by then", async () => {
    const routes = {
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        const before = req.session;
        await before.regenerate();
        req.session.user = "ada";
        await req.session.save();
        await before.destroy();
        res.send(typeof req.session);
      },
      ...count,
    };
    const { visitor, middleware } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    expect((await ada.get("/logout")).body).toBe("undefined");
    expect(await allSessions(middleware)).toEqual({});
  });

  it("has ended the session when it calls back, and no request under way brings it back", async () => {
    const gate = createGate();
    const routes = {
      "/slow": async (req: Held, res: { send(body: string): void }) => {
        req.session.slow = true;
        await gate.pass();
        res.send("");
      },
      "/logout": (req: Held, res: { send(body: string): void }) =>
        req.session.destroy((error: unknown) => res.send(`${String(error)} ${typeof req.session}`)),
      ...count,
    };
    const { visitor, middleware } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    const slow = other.get("/slow");
    await gate.reached;
    expect((await ada.get("/logout")).body).toBe("undefined undefined");
    gate.open();
    expect((await slow).status).toBe(200);
    expect((await other.get("/count")).body).toBe("1");
    expect(Object.keys(await allSessions(middleware)).length).toBe(1);
  });

  it.each(["destroy", "save", "regenerate"])(
    "and %s() without a callback fail the response where the store fails, and no rejection is unhandled",
    async (method) => {
      let isDown = false;
      const store = downWhen(() => isDown);
      const unhandled = vi.fn<(error: unknown) => void>();
      process.on("unhandledRejection", unhandled);
      const routes = {
        "/call": (req: Held, res: { send(body: string): void }) => {
          isDown = true;
          req.session.count = 17;
          req.session[method]();
          setImmediate(() => setImmediate(() => res.send("done")));
        },
        ...count,
      };
      const { visitor } = await site(routes, { store });
      const ada = visitor();
      await ada.get("/count");
      expect((await ada.get("/call")).status).toBe(503);
      isDown = false;
      expect((await ada.get("/count")).body).toBe("2");
      process.off("unhandledRejection", unhandled);
      expect(unhandled).not.toHaveBeenCalled();
    },
  );
});
