import { describe, expect, it, vi } from "vitest";
import { createGate } from "../../test/support/http/stage.ts";
import { SECRET, site, VERSIONS, type Held } from "../../test/support/express-session.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty } from "../testing/faulty.ts";
import { MemoryStore, Session } from "./index.ts";

const count = {
  "/count": (req: Held, res: { send(body: string): void }) => {
    req.session.count = ((req.session.count as number | undefined) ?? 0) + 1;
    res.send(String(req.session.count));
  },
};

describe.each(Object.entries(VERSIONS))("session() of sojourn/express-session in %s", (_, make) => {
  it("keeps what a client has put into req.session, and shows it to no other client", async () => {
    const { visitor } = await site(count, {}, { make });
    const [ada, grace] = [visitor(), visitor()];
    await ada.get("/count");
    expect((await ada.get("/count")).body).toBe("2");
    expect((await grace.get("/count")).body).toBe("1");
    expect(ada.cookie).not.toBe(grace.cookie);
  });

  it("sets the cookie connect.sid, which begins with the session's id and carries more than it", async () => {
    const { visitor } = await site({ "/": (req, res) => res.send((req.session.a = req.sessionID)) }, {}, { make });
    const { setCookies, body: id } = await visitor().get("/");
    expect(setCookies).toEqual([expect.stringMatching(/^connect\.sid=s%3A[\w-]{22}\.[\w-]{58}; Path=\/; HttpOnly$/)]);
    expect(setCookies[0]).toContain(`s%3A${id}.`);
  });

  it("costs a visitor nothing under saveUninitialized: false", async () => {
    const store = faulty(memoryStore());
    const { visitor } = await site({ "/": (_req, res) => res.send("hello") }, { store }, { make });
    const { setCookies, headers } = await visitor().get("/");
    expect([setCookies, headers.vary, store.calls.total]).toEqual([[], undefined, 0]);
  });

  it("stores the session before a redirect leaves", async () => {
    const store = faulty(memoryStore());
    const routes = {
      "/login": (req: Held, res: { redirect(to: string): void }) => {
        req.session.user = "ada";
        res.redirect("/");
      },
    };
    const { visitor } = await site(routes, { store }, { make });
    const { status, setCookies } = await visitor().get("/login");
    expect([status, setCookies.length]).toEqual([302, 1]);
    expect(store.calls).toMatchObject({ read: 0, create: 1, update: 0 });
  });

  it("answers 503 by next(error) where the store fails, and replaces no cookie", async () => {
    let isDown = false;
    const store = downWhen(() => isDown);
    const { visitor, errors } = await site(count, { store }, { make });
    const ada = visitor();
    await ada.get("/count");
    const { cookie } = ada;
    isDown = true;
    expect(await ada.get("/count")).toMatchObject({ status: 503, setCookies: [] });
    expect(await visitor().get("/count")).toMatchObject({ status: 503, setCookies: [] });
    expect(errors).toMatchObject([{ code: "ERR_SESSION_STORE" }, { code: "ERR_SESSION_STORE" }]);
    isDown = false;
    expect((await ada.get("/count")).body).toBe("2");
    expect(ada.cookie).toBe(cookie);
  });

  it("loses no change of parallel requests", async () => {
    const gate = createGate();
    const routes = {
      "/set": async (req: Held, res: { send(body: string): void }) => {
        req.session.items ??= {};
        req.session.items[req.query["key"] as string] = true;
        await gate.pass();
        res.send("");
      },
      "/get": (req: Held, res: { json(body: unknown): void }) => res.json(req.session.items),
      ...count,
    };
    const { visitor } = await site(routes, { store: new MemoryStore() }, { make });
    const ada = visitor();
    await ada.get("/count");
    const keys = Array.from({ length: 20 }, (__, i) => `k${i}`);
    const setting = keys.map((key) => ada.get(`/set?key=${key}`));
    gate.open();
    await Promise.all(setting);
    expect(Object.keys(JSON.parse((await ada.get("/get")).body) as object).toSorted()).toEqual(keys.toSorted());
  });
});

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
    expect(await all(middleware)).toEqual({});
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
    expect(Object.keys(await all(middleware)).length).toBe(1);
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

describe("req.session.reload()", () => {
  it("shows what another request has stored, in a new object", async () => {
    const routes = {
      "/reload": async (req: Held, res: { json(body: unknown): void }) => {
        const before = req.session;
        before.count = 99;
        await ada.get("/count");
        await before.reload();
        res.json([before.count, req.session.count, before === req.session]);
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    expect(JSON.parse((await ada.get("/reload")).body)).toEqual([2, 2, false]);
  });

  it.each(["destroy", "regenerate"])("leaves an object of before it with which %s() ends the session", async (end) => {
    const routes = {
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        const before = req.session;
        await before.reload();
        await before[end]();
        res.send(typeof req.session);
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    expect((await ada.get("/logout")).body).toBe(end === "destroy" ? "undefined" : "object");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("leaves the session as it is where the store fails: it can be changed and ended", async () => {
    let isDown = false;
    const reload = async (req: Held) => {
      isDown = true;
      await req.session.reload().catch(() => {});
      isDown = false;
    };
    const routes = {
      "/change": async (req: Held, res: { send(body: string): void }) => {
        await reload(req);
        req.session.count = 40;
        res.send("");
      },
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        await reload(req);
        await req.session.destroy();
        res.send("");
      },
      ...count,
    };
    const { visitor } = await site(routes, { store: downWhen(() => isDown) });
    const ada = visitor();
    await ada.get("/count");
    await ada.get("/change");
    expect((await ada.get("/count")).body).toBe("41");
    const other = ada.twin();
    await ada.get("/logout");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("fails after destroy(), and does not take it back", async () => {
    const routes = {
      "/logout": async (req: Held, res: { send(body: string): void }) => {
        const { session } = req;
        session.destroy();
        res.send(String(await session.reload().catch((error: Error) => error.message)));
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    expect((await ada.get("/logout")).body).toBe("failed to load session");
    expect((await other.get("/count")).body).toBe("1");
  });

  it.each(["destroy", "regenerate"])("leaves an object before it whose %s() ends the session", async (method) => {
    const routes = {
      "/end": async (req: Held, res: { send(body: string): void }) => {
        const { session: before } = req;
        await before.reload();
        await before[method]();
        res.send("");
      },
      ...count,
    };
    const { visitor } = await site(routes);
    const ada = visitor();
    await ada.get("/count");
    const other = ada.twin();
    await ada.get("/end");
    expect((await other.get("/count")).body).toBe("1");
  });

  it("fails for a session that is not stored", async () => {
    const routes = {
      "/": (req: Held, res: { send(body: string): void }) =>
        req.session.reload((error: Error | undefined) => res.send(String(error?.message))),
    };
    const { visitor } = await site(routes);
    expect((await visitor().get("/")).body).toBe("failed to load session");
  });
});

describe("the option secret", () => {
  it("may be a list, and short: one warning says so", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const store = memoryStore();
    const before = await site(count, { store, secret: "keyboard cat" });
    const ada = before.visitor();
    await ada.get("/count");
    const after = await site(count, { store, secret: [SECRET, "keyboard cat"] });
    const { cookie } = ada;
    expect((await after.visitor().get("/count", { cookie })).body).toBe("2");
    expect((await after.visitor().get("/count", { cookie: cookie!.replace(/.$/, "_") })).body).toBe("1");
    expect(
      warned.mock.calls.filter(([, options]) => (options as { code?: string }).code === "SOJOURN_SHORT_SECRET"),
    ).toHaveLength(1);
    warned.mockRestore();
  });

  it("is needed: without it, and without cookieParser(secret), a request fails", async () => {
    const { visitor, errors } = await site(count, { secret: undefined });
    expect((await visitor().get("/count")).status).toBe(500);
    expect(errors).toMatchObject([{ message: "secret option required for sessions" }]);
  });
});

/** A store that fails while it is down. */
function downWhen(isDown: () => boolean) {
  const fault = () => (isDown() ? ("error" as const) : ("ok" as const));
  return faulty(memoryStore(), { read: fault, create: fault, update: fault, touch: fault, delete: fault });
}

const all = (middleware: { store: { all(callback: (error: unknown, found?: object) => void): void } }) =>
  new Promise<object>((resolve, reject) =>
    middleware.store.all((error, found) => (error ? reject(error) : resolve(found!))),
  );
