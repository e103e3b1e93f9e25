import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Response } from "express";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Client } from "../../test/support/http/client.ts";
import { createGate } from "../../test/support/http/stage.ts";
import { serve, site, SECRET, type Held } from "../../test/support/express-session.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty } from "../testing/faulty.ts";
import { session } from "./index.ts";

type Sent = { send(body: string): void; json(body: unknown): void; end(): void; write(text: string): void };

const DAY = 86_400_000;
const set = (req: Held, res: Sent) => {
  Object.assign(req.session, req.query);
  res.send("");
};
const get = (req: Held, res: Sent) => res.json({ ...req.session, cookie: undefined });
const routes = { "/set": set, "/get": get };

afterEach(() => {
  vi.useRealTimers();
});

/** The option `clock`, and the clock of dates, which the cookie goes by. */
function frozen() {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000_000_000 });
  return { clock: () => Date.now(), advance: (ms: number) => void vi.setSystemTime(Date.now() + ms) };
}

describe("the cookie's lifetime", () => {
  it("is the session's idle timeout, which each request begins anew", async () => {
    const { clock, advance } = frozen();
    const { visitor } = await site(routes, { clock, cookie: { maxAge: 10_000 } });
    const ada = visitor();
    const { setCookies } = await ada.get("/set?a=1");
    expect(setCookies[0]).toContain(`Expires=${new Date(Date.now() + 10_000).toUTCString()}`);
    advance(9000);
    expect((await ada.get("/get")).body).toBe('{"a":"1"}');
    advance(9000);
    expect((await ada.get("/get")).body).toBe('{"a":"1"}');
    advance(10_001);
    expect((await ada.get("/get")).body).toBe("{}");
  });

  it("may be another one for a session, which then outlives the others", async () => {
    const { clock, advance } = frozen();
    const remember = (req: Held, res: Sent) => {
      req.session.cookie.maxAge = 60 * DAY;
      res.send("");
    };
    const { visitor } = await site({ ...routes, "/remember": remember }, { clock, cookie: { maxAge: 10_000 } });
    const ada = visitor();
    await ada.get("/set?a=1");
    expect((await ada.get("/remember")).setCookies[0]).toContain(new Date(Date.now() + 60 * DAY).toUTCString());
    advance(59 * DAY);
    expect((await ada.get("/get")).body).toBe('{"a":"1"}');
    expect((await ada.get("/set?b=2")).setCookies[0]).toContain(new Date(Date.now() + 60 * DAY).toUTCString());
  });

  it("begins anew under rolling without a token that was rotated out, also where the store fails", async () => {
    const { clock, advance } = frozen();
    let isDown = false;
    const fault = () => (isDown ? ("error" as const) : ("ok" as const));
    const store = faulty(memoryStore(), { update: fault });
    const rotation = { every: "10m", grace: "1m" } as const;
    const { visitor } = await site(routes, { clock, store, rotation, rolling: true, idleTimeout: "1h" });
    const ada = visitor();
    await ada.get("/set?a=1");
    advance(11 * 60_000);
    const slow = ada.twin();
    await ada.get("/get");
    await ada.get("/get");
    isDown = true;
    expect(await slow.get("/set?a=2")).toMatchObject({ status: 503, setCookies: [] });
  });

  it("begins anew with each response under rolling, and otherwise with each change", async () => {
    const { clock } = frozen();
    for (const rolling of [true, false]) {
      const { visitor } = await site(routes, { clock, rolling, cookie: { maxAge: 10_000 } });
      const ada = visitor();
      await ada.get("/set?a=1");
      const counts = [await ada.get("/get"), await ada.get("/set?a=2")].map(({ setCookies }) => setCookies.length);
      expect(counts).toEqual(rolling ? [1, 1] : [0, 1]);
    }
  });

  it("of no length means the browser's session: the cookie is set once", async () => {
    const { visitor } = await site(routes);
    const ada = visitor();
    expect((await ada.get("/set?a=1")).setCookies[0]).not.toContain("Expires");
    expect((await ada.get("/set?a=2")).setCookies).toEqual([]);
  });
});

describe("a user in the data", () => {
  const login = (req: Held, res: Sent) => {
    req.session.passport = { user: req.query["id"] };
    res.send(req.session.id as string);
  };
  const logout = (req: Held, res: Sent) => {
    delete req.session.passport;
    res.send("");
  };
  const users = { ...routes, "/login": login, "/logout": logout };

  it("is a sign-in: another id and token, and lists know the user", async () => {
    const { visitor, middleware } = await site(users);
    const ada = visitor();
    await ada.get("/set?a=1");
    const thief = ada.twin();
    await ada.get("/login?id=ada");
    expect((await ada.get("/get")).body).toBe('{"a":"1","passport":{"user":"ada"}}');
    expect((await thief.get("/get")).body).toBe("{}");
    expect(await middleware.sessions.list("ada")).toMatchObject([{ userId: "ada" }]);
    expect(await middleware.sessions.revokeAll("ada")).toBe(1);
    expect((await ada.get("/get")).body).toBe("{}");
  });

  it("that disappears leaves the other data in a session of nobody, with another token", async () => {
    const { visitor, middleware } = await site(users);
    const ada = visitor();
    await ada.get("/set?a=1");
    await ada.get("/login?id=ada");
    const copy = ada.twin();
    await ada.get("/logout");
    expect((await ada.get("/get")).body).toBe('{"a":"1"}');
    expect((await copy.get("/get")).body).toBe("{}");
    expect(await middleware.sessions.list("ada")).toEqual([]);
  });

  it("that becomes another one has none of the former user's data", async () => {
    const { visitor } = await site(users);
    const client = visitor();
    await client.get("/login?id=ada");
    await client.get("/set?a=1");
    await client.get("/login?id=grace");
    expect((await client.get("/get")).body).toBe('{"passport":{"user":"grace"}}');
  });

  it("stays signed in who has signed in by the session of Sojourn, and not by the data", async () => {
    const { visitor, middleware } = await site({
      "/login": (req, res) => {
        middleware.sessions.of(req).signIn("ada");
        res.send("");
      },
      "/add": (req, res) => {
        req.session.count = (req.session.count ?? 0) + 1;
        res.json([req.session.count, middleware.sessions.of(req).userId]);
      },
    });
    const ada = visitor();
    await ada.get("/login");
    expect((await ada.get("/add")).body).toBe('[1,"ada"]');
    expect((await ada.get("/add")).body).toBe('[2,"ada"]');
    expect(await middleware.sessions.list("ada")).toHaveLength(1);
  });

  it("is found by the option userId", async () => {
    const { visitor, middleware } = await site(routes, { userId: ({ user }) => user as string | undefined });
    await visitor().get("/set?user=7");
    expect(await middleware.sessions.list("7")).toHaveLength(1);
  });
});

describe("req.session = null", () => {
  const unset = (req: Held, res: Sent) => {
    req.session.late = true;
    req.session = null;
    res.send("");
  };

  it("forgets the changes of the request, and keeps the session", async () => {
    const { visitor } = await site({ ...routes, "/unset": unset });
    const ada = visitor();
    await ada.get("/set?a=1");
    expect((await ada.get("/unset")).setCookies).toEqual([]);
    expect((await ada.get("/get")).body).toBe('{"a":"1"}');
  });

  it('ends the session under unset: "destroy"', async () => {
    const { visitor } = await site({ ...routes, "/unset": unset }, { unset: "destroy" });
    const ada = visitor();
    await ada.get("/set?a=1");
    const copy = ada.twin();
    expect((await ada.get("/unset")).setCookies[0]).toMatch(/^connect\.sid=; .*Max-Age=0$/);
    expect((await copy.get("/get")).body).toBe("{}");
  });

  it("is not an object: any other value fails the response", async () => {
    const replace = (req: Held, res: Sent) => {
      req.session = { a: 1 };
      res.send("");
    };
    const { visitor, errors } = await site({ "/": replace });
    expect((await visitor().get("/")).status).toBe(500);
    expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining("was replaced") as string })]);
  });
});

describe("a request without req.session", () => {
  it("is one outside of the cookie's path", async () => {
    const { visitor } = await site({ "/": (req, res) => res.send(typeof req.session) }, { cookie: { path: "/app" } });
    expect([(await visitor().get("/app/x")).body, (await visitor().get("/")).body]).toEqual(["object", "undefined"]);
  });

  it("is one that has got a session from somebody else", async () => {
    const other = { mine: true };
    const { visitor } = await site(
      { "/": (req, res) => res.json(req.session) },
      {},
      {
        before: (app) =>
          void app.use((req, _res, next) => {
            Object.assign(req, { session: other });
            next();
          }),
      },
    );
    expect((await visitor().get("/")).body).toBe('{"mine":true}');
  });
});

describe("the sign-in of another user into an object that the one before has left", () => {
  it("is this user's, who sees nothing else of the data before", async () => {
    const login = (req: Held, res: Sent) => {
      req.session.passport ??= {};
      req.session.passport.user = req.query["user"];
      res.send("");
    };
    const { visitor, middleware } = await site({ ...routes, "/login": login });
    const browser = visitor();
    await browser.get("/set?cart=tea");
    await browser.get("/login?user=ada");
    await browser.get("/login?user=bea");
    expect((await browser.get("/get")).body).toBe('{"passport":{"user":"bea"}}');
    const counts = ["ada", "bea"].map(async (user) => (await middleware.sessions.list(user)).length);
    expect(await Promise.all(counts)).toEqual([0, 1]);
  });
});

describe("a session that is destroyed after the headers were sent", () => {
  it.each([
    ["it was not used before", "/get", (req: Held) => req.session.destroy(), (res: Sent) => res.write("a")],
    ["it is new", undefined, (req: Held) => req.session.destroy(), (res: Sent) => res.end()],
    [
      "it is destroyed by regenerate()",
      "/get",
      (req: Held) => req.session.regenerate(() => {}),
      (res: Sent) => res.end(),
    ],
  ])("has ended where %s", async (_, first, end, send) => {
    const gate = createGate();
    const errors: unknown[] = [];
    const late = (req: Held, res: Sent) => {
      if (first === undefined) req.session.a = 1;
      send(res);
      try {
        end(req);
      } catch (error) {
        errors.push(error);
      }
      res.end();
      gate.open();
    };
    const { visitor, middleware } = await site({ ...routes, "/late": late });
    const ada = visitor();
    if (first) await ada.get("/set?a=1");
    const ended = new Promise((resolve) => {
      middleware.sessions.on("signedOut", resolve);
      middleware.sessions.on("revoked", resolve);
    });
    expect(await ada.get("/late")).toMatchObject({ status: 200, complete: true });
    expect(errors).toEqual([]);
    await ended;
    expect((await ada.get("/get")).body).toBe("{}");
  });

  it("has ended when it calls back", async () => {
    const gate = createGate();
    const late = (req: Held, res: Sent) => {
      res.write("begun, ");
      setImmediate(() => req.session.destroy(() => res.end()));
      gate.open();
    };
    const { visitor } = await site({ ...routes, "/late": (req, res) => (void req.session.a, late(req, res)) });
    const ada = visitor();
    await ada.get("/set?a=1");
    expect(await ada.get("/late")).toMatchObject({ status: 200, complete: true });
    expect((await ada.get("/get")).body).toBe("{}");
  });
});

describe("req.sessionStore", () => {
  it("shows and changes sessions by their ids, decrypted, beside requests under way", async () => {
    const { visitor, middleware } = await site({ ...routes, "/id": (req, res) => res.send(req.sessionID) });
    const { store } = middleware;
    const ada = visitor();
    await ada.get("/set?a=1");
    const { body: id } = await ada.get("/id");
    const read = () =>
      new Promise<Record<string, unknown> | null | undefined>((resolve, reject) =>
        store.get(id, (error, found) => (error ? reject(error) : resolve(found))),
      );
    expect(await read()).toMatchObject({ a: "1", cookie: { path: "/" } });
    await new Promise((resolve) => store.set(id, { b: 2, cookie: {} }, resolve));
    expect((await ada.get("/get")).body).toBe('{"b":2}');
    await new Promise((resolve) => store.touch(id, { cookie: {} }, resolve));
    expect(await new Promise((resolve) => store.length((_error, count) => resolve(count)))).toBe(1);
    await new Promise((resolve) => store.destroy(id, resolve));
    expect((await ada.get("/get")).body).toBe("{}");
    expect(await read()).toBeUndefined();
  });

  it("loads a session outside of its requests, which can be saved and destroyed", async () => {
    const { visitor, middleware } = await site({ ...routes, "/id": (req, res) => res.send(req.sessionID) });
    const ada = visitor();
    await ada.get("/set?a=1");
    const { body: id } = await ada.get("/id");
    const load = () =>
      new Promise<Held["session"]>((resolve, reject) =>
        middleware.store.load(id, (error, found) => (error ? reject(error) : resolve(found))),
      );
    const loaded = await load();
    loaded.a = "2";
    await loaded.save();
    expect((await ada.get("/get")).body).toBe('{"a":"2"}');
    await (await load()).destroy();
    expect(await load()).toBeUndefined();
  });
});

describe("session() without Express", () => {
  it("works with node:http and a function next", async () => {
    const middleware = session({ secret: SECRET, saveUninitialized: false, store: memoryStore() });
    const origin = await serve((req, res) =>
      middleware(req, res, () => {
        const held = (req as unknown as Held).session;
        held.count = ((held.count as number | undefined) ?? 0) + 1;
        res.end(String(held.count));
      }),
    );
    const ada = new Client(origin);
    await ada.get("/");
    expect((await ada.get("/")).body).toBe("2");
  });
});

describe("a response that its handler ends twice", () => {
  it("is sent once, and the process goes on", async () => {
    const uncaught = vi.fn<(error: unknown) => void>();
    process.on("uncaughtException", uncaught);
    const gate = createGate();
    const twice = (req: Held, res: Response) => {
      req.session.a = 1;
      res.end("one");
      res.end("two");
      res.write("three");
      res.once("finish", () => gate.open());
    };
    const { visitor } = await site({ "/": twice as never });
    expect(await visitor().get("/")).toMatchObject({ status: 200, body: "one", complete: true });
    await gate.pass();
    await new Promise(setImmediate);
    process.off("uncaughtException", uncaught);
    expect(uncaught).not.toHaveBeenCalled();
  });

  it("still fails for another error that nobody listens for", async () => {
    const { visitor } = await site({
      "/": ((_req: Held, res: Response) => {
        const errors: unknown[] = [];
        const emit = (error: Error) => {
          try {
            res.emit("error", error);
          } catch (thrown) {
            errors.push(thrown);
          }
        };
        const error = new Error("another");
        emit(error);
        res.once("error", () => {});
        emit(error);
        res.send(String(errors.length));
      }) as never,
    });
    expect((await visitor().get("/")).body).toBe("1");
  });
});

describe("A WebSocket request, to which ws and Socket.IO give an object in place of a response,", () => {
  const emitter = { setHeader() {}, getHeader() {}, removeHeader() {}, write() {}, writeHead() {}, end() {} };
  it.each([
    ["ws", {}],
    ["Socket.IO", emitter],
  ])("has the session with %s: it can be saved, reloaded and destroyed", async (_which, response) => {
    const { visitor, middleware } = await site(routes);
    const ada = visitor();
    await ada.get("/set?a=1");
    const open = (cookie: string | undefined) => {
      const req = Object.assign(new IncomingMessage(new Socket()), { url: "/", headers: cookie ? { cookie } : {} });
      return new Promise<Held>((resolve, reject) => {
        middleware(req, response as never, (error) => (error ? reject(error) : resolve(req as never)));
      });
    };
    const { session: held } = await open(ada.cookie);
    held.live = "yes";
    await held.save();
    expect((await ada.get("/get")).body).toBe('{"a":"1","live":"yes"}');
    await ada.get("/set?a=2");
    const req = await open(ada.cookie);
    await ada.get("/set?a=3");
    await req.session.reload();
    expect(req.session.a).toBe("3");
    await req.session.destroy();
    expect((await ada.get("/get")).body).toBe("{}");
    expect({ ...(await open(undefined)).session, cookie: 0 }).toEqual({ cookie: 0 });
  });

  it("gets an error by next if the store fails", async () => {
    let isDown = false;
    const read = () => (isDown ? ("error" as const) : ("ok" as const));
    const { visitor, middleware } = await site(routes, { store: faulty(memoryStore(), { read }) });
    const ada = visitor();
    await ada.get("/set?a=1");
    isDown = true;
    const req = Object.assign(new IncomingMessage(new Socket()), { url: "/", headers: { cookie: ada.cookie } });
    const error = await new Promise((resolve) => middleware(req, {} as never, resolve));
    expect(error).toMatchObject({ code: "ERR_SESSION_STORE", status: 503 });
  });
});
