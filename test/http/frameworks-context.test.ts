import { once } from "node:events";
import { createServer } from "node:http";
import { inspect } from "node:util";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions, type Session } from "sojourn";
import { context, createContext, session } from "sojourn/context";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { withSession as onNode } from "sojourn/node";
import { cookieFor } from "sojourn/testing";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import { originFor, SECRET_KEY, serve, ways } from "../support/http/servers.ts";

const parts = { context };
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe.each(ways)("the session of sojourn/context on $name", (way) => {
  it("is the request's in promises, timers and events below the handler", async () => {
    const { signedIn, visitor } = await serve(way, { parts });
    expect((await (await signedIn("ada")).get("/context/who")).body).toBe("ada");
    expect((await visitor().get("/context/who")).body).toBe("anonymous");
  });

  it("signs in and out, and what is changed in it is stored", async () => {
    const { visitor } = await serve(way, { parts });
    const client = visitor();
    await client.post("/context/login?username=ada");
    await Promise.all(range(20).map((n) => client.get(`/context/add?k=key${n}`)));
    expect(Object.keys(await client.data())).toHaveLength(21);
    const thief = client.twin();
    expect((await client.get("/context/logout")).body).toBe("undefined");
    expect(await thief.data()).toEqual({});
  });

  it("is never another request's, however many run at once", async () => {
    const { signedIn, visitor } = await serve(way, { parts });
    const clients = await Promise.all(range(20).map((n) => signedIn(`user${n}`)));
    const bodies = await Promise.all(
      range(10).flatMap(() => [...clients, visitor()].map(async (client) => (await client.get("/context/who")).body)),
    );
    expect(bodies).toEqual(range(10).flatMap(() => [...range(20).map((n) => `user${n}`), "anonymous"]));
  });

  it("stays the request's while others begin and end around it", async () => {
    const { signedIn, stage } = await serve(way, { parts });
    const [ada, grace] = [await signedIn("ada"), await signedIn("grace")];
    const slow = ada.get("/context/slow?gate=a");
    await stage.gate("a").reached;
    expect((await grace.get("/context/who")).body).toBe("grace");
    await grace.get("/logout");
    stage.gate("a").open();
    expect((await slow).body).toBe("ada ada");
  });

  it("is the request's while a body is streamed, and its late changes are stored", async () => {
    const { signedIn, stage } = await serve(way, { parts });
    const [ada, grace] = [await signedIn("ada"), await signedIn("grace")];
    const streamed = [ada.get("/context/stream?gate=a"), grace.get("/context/stream?gate=b")];
    await stage.gate("a").reached;
    await stage.gate("b").reached;
    stage.gate("b").open();
    stage.gate("a").open();
    const names = (await Promise.all(streamed)).map(({ body, complete }) => [
      complete,
      ...new Set(body.split(/\s+/).filter(Boolean)),
    ]);
    expect(names).toEqual([
      [true, "ada"],
      [true, "grace"],
    ]);
    expect(await ada.data()).toMatchObject({ before: "ada", after: "ada" });
    expect(await grace.data()).toMatchObject({ before: "grace", after: "grace" });
  });

  it("is lazy where the route is", async () => {
    const { signedIn } = await serve(way, { parts, lazy: true });
    const client = await signedIn().catch(() => undefined);
    expect(client).toBeDefined();
    const logged = vi.spyOn(console, "error").mockReturnValue();
    expect((await client!.get("/context/who")).status).toBe(500);
    logged.mockRestore();
  });

  it("can't be used where the adapter has no context, and the error names the option", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { visitor, seen } = await serve(way, { ownErrors: true });
    expect((await visitor().get("/context/who")).status).toBe(500);
    expect(String(seen[0])).toMatch(/TypeError: session of "sojourn\/context" was used outside.*\{ context \}/);
    logged.mockRestore();
  });

  it("is refused as an option where it is something else", async () => {
    await expect(serve(way, { parts: { context: true as never } })).rejects.toThrow(/context takes context of/);
  });
});

describe("the session of sojourn/context", () => {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
  const open = async (userId: string) =>
    sessions.open(new Request("http://localhost/", { headers: { cookie: await cookieFor(sessions, userId) } }));

  it("has the type that the program has declared", () => {
    expectTypeOf(session).toEqualTypeOf<Session>();
    interface Shop {
      cart: string[];
    }
    expectTypeOf(createContext<Shop>().session).toEqualTypeOf<Session<Shop>>();
  });

  it("throws a TypeError at any use outside of a request", () => {
    const uses: (() => unknown)[] = [
      () => session.data,
      () => session.userId,
      () => session.signOut(),
      () => "data" in session,
      () => ((session as { passive: boolean }).passive = true),
      () => Object.defineProperty(session, "x", { value: 1 }),
      () => delete (session as { x?: number }).x,
      () => Object.getPrototypeOf(session) as unknown,
      () => Object.prototype.toString.call(session),
      () => JSON.stringify(session),
    ];
    for (const use of uses) expect(use).toThrow(/was used outside of a request/);
    expect(inspect(session)).toBe("Session (outside of a request)");
  });

  it("does what the session of the request does", async () => {
    const ada = await open("ada");
    await context.run(ada, async () => {
      expect(session.userId).toBe("ada");
      expect(session.id).toBe(ada.id);
      expect(session.data).toBe(ada.data);
      session.data.username = "ada";
      expect(session.pop("username")).toBe("ada");
      expect(session.update("visits", (n) => Number(n ?? 0) + 1)).toBe(1);
      expect(session.signal).toBe(ada.signal);
      session.passive = true;
      expect(ada.passive).toBe(true);
      expect(inspect(session)).toBe(inspect(ada));
      expect(JSON.stringify(session)).toBe(JSON.stringify(ada));
      expect(Object.prototype.toString.call(session)).toBe("[object Session]");
      await session.save();
    });
  });

  it("keeps nothing for the next request", async () => {
    const [ada, grace] = [await open("ada"), await open("grace")];
    context.run(ada, () => {
      const loose = session as unknown as Record<string, unknown>;
      expect(() => (loose["cart"] = [])).toThrow(/would be lost/);
      expect(() => (loose["flash"] = {})).toThrow(/session\.flash is a method/);
      expect(() => (loose["data"] = {})).toThrow(/session\.data can be changed and not replaced/);
      expect(() => Object.assign(session.flash, { info: [] })).toThrow(TypeError);
      expect(() => Object.setPrototypeOf(session, null) as unknown).toThrow(TypeError);
      expect(() => Object.freeze(session)).toThrow(TypeError);
      expect(Object.keys(session)).toEqual([]);
    });
    context.run(grace, () => expect(session.userId).toBe("grace"));
  });

  it("is taken for its session by every call that takes one", async () => {
    const ada = await open("ada");
    const response = await context.run(ada, async () => {
      await sessions.credentialsChanged(session);
      return sessions.commit(session, new Response("ok"));
    });
    expect(response.headers.getSetCookie()).toHaveLength(1);
  });

  it("is the inner one's where contexts are nested, and the outer one's after it", async () => {
    const [ada, grace] = [await open("ada"), await open("grace")];
    const seen = context.run(ada, () => [session.userId, context.run(grace, () => session.userId), session.userId]);
    expect(seen).toEqual(["ada", "grace", "ada"]);
  });

  it("is one for each createContext, so that two kinds of sessions can be nested", async () => {
    const shop = createSessions<{ cart: string[] }>({
      secretKey: SECRET_KEY,
      store: memoryStore(),
      cookie: { name: "shop" },
    });
    const inner = createContext<{ cart: string[] }>();
    const app = express();
    app.use(onExpress(sessions, { context }), onExpress(shop, { context: inner.context }));
    app.get("/", (_req, res) => {
      session.data.username = "ada";
      inner.session.data.cart = ["tea"];
      res.send(`${String(session.data.username)} ${inner.session.data.cart.join()}`);
    });
    const response = await fetch(await originFor(app));
    expect(await response.text()).toBe("ada tea");
  });
});

describe("listeners of the request and of its response", () => {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
  const userId = () => session.userId ?? "anonymous";

  /** Sends a body in two parts, so that its events come later than the handler. */
  async function post(origin: string, user: string, headers: Record<string, string> = {}): Promise<string> {
    const cookie = await cookieFor(sessions, user);
    let send!: () => void;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"a":'));
        send = () => {
          controller.enqueue(new TextEncoder().encode("1}"));
          controller.close();
        };
      },
    });
    const init = {
      method: "POST",
      body,
      duplex: "half",
      headers: { cookie, "content-type": "application/json", ...headers },
    };
    const answer = fetch(`${origin}/`, init as RequestInit);
    setImmediate(send);
    return (await answer).text();
  }

  const USERS = ["ada", "grace", "linus"];
  const answers = (origin: string) => Promise.all(USERS.map(async (user) => post(origin, user)));

  it("run within it on node:http, also after the response", async () => {
    const finished: string[] = [];
    const handle = onNode(
      sessions,
      (req, res) => {
        req.on("data", () => undefined).on("end", () => res.end(userId()));
        res.on("finish", () => finished.push(userId()));
      },
      { context },
    );
    const server = createServer(handle);
    const origin = await originFor((req, res) => server.emit("request", req, res));
    expect(await answers(origin)).toEqual(USERS);
    await vi.waitFor(() => expect(finished.toSorted()).toEqual(["ada", "grace", "linus"]));
  });

  it("run within it on Express, behind a parser and without", async () => {
    for (const parser of [express.json(), express.raw({ type: "*/*" }), undefined]) {
      const app = express();
      app.use(onExpress(sessions, { context }));
      if (parser) app.use(parser);
      app.post("/", (req, res, next) => {
        if (parser) res.send(userId());
        else once(req.resume(), "end").then(() => res.send(userId()), next);
      });
      expect(await answers(await originFor(app))).toEqual(USERS);
    }
  });

  it("run within it on Fastify: hooks, parsers, handlers, and onResponse", async () => {
    const app = Fastify({ forceCloseConnections: true });
    const seen: string[] = [];
    const note = (hook: string) => async () => void seen.push(`${hook} ${userId()}`);
    await app.register(onFastify(sessions, { context }));
    for (const hook of ["onRequest", "preValidation", "preHandler", "onResponse"] as const)
      app.addHook(hook, note(hook));
    app.addHook("onSend", note("onSend"));
    app.addHook("preSerialization", note("preSerialization"));
    app.post("/", (request) => ((request.body as { a: number }).a === 1 ? userId() : "no body"));
    app.get("/object", async () => ({ userId: userId() }));
    await app.ready();
    const origin = await originFor((req, res) => app.routing(req, res));
    expect(await answers(origin)).toEqual(USERS);
    const cookie = await cookieFor(sessions, "ada");
    expect(await (await fetch(`${origin}/object`, { headers: { cookie } })).json()).toEqual({ userId: "ada" });
    await vi.waitFor(() => expect(seen.filter((one) => one.startsWith("onResponse"))).toHaveLength(4));
    const counts = Object.fromEntries(
      [...new Set(seen)].toSorted().map((one) => [one, seen.filter((other) => other === one).length]),
    );
    expect(counts).toEqual({
      "onRequest ada": 2,
      "onRequest grace": 1,
      "onRequest linus": 1,
      "onResponse ada": 2,
      "onResponse grace": 1,
      "onResponse linus": 1,
      "onSend ada": 2,
      "onSend grace": 1,
      "onSend linus": 1,
      "preHandler ada": 2,
      "preHandler grace": 1,
      "preHandler linus": 1,
      "preSerialization ada": 1,
      "preValidation ada": 2,
      "preValidation grace": 1,
      "preValidation linus": 1,
    });
  });

  it("run within it on Hono and fetch", async () => {
    const app = new Hono().use(onHono(sessions, { context }));
    app.post("/", async (c) => ((await c.req.json<{ a: number }>()).a === 1 ? c.text(userId()) : c.text("no")));
    expect(await answers(await originFor(getRequestListener(app.fetch)))).toEqual(USERS);
    const handle = onFetch(sessions, async (request: Request) => new Response((await request.text()) && userId()), {
      context,
    });
    expect(await answers(await originFor(getRequestListener((request) => handle(request))))).toEqual(USERS);
  });

  it("of middleware in front of the sessions may not use it", async () => {
    const app = express();
    const errors: unknown[] = [];
    app.use((_req, _res, next) => {
      try {
        userId();
      } catch (error) {
        errors.push(error);
      }
      next();
    });
    app.use(onExpress(sessions, { context }));
    app.get("/", (_req, res) => void res.send("ok"));
    await fetch(await originFor(app));
    expect(errors).toMatchObject([{ name: "TypeError" }]);
  });

  it("belong to the innermost session where two adapters with one context are nested, and to one session with the same", async () => {
    const app = express();
    const inner = express.Router().use(onExpress(sessions, { context }));
    inner.post("/", (req, res) => void req.resume().on("end", () => res.send(userId())));
    app.use(onExpress(sessions, { context }), inner);
    expect(await answers(await originFor(app))).toEqual(USERS);
  });

  it("keep to the request that is answered, where an application gives one stream to two requests", async () => {
    let kept: ReadableStream | undefined;
    const app = onFetch(
      sessions,
      (request: Request) => {
        kept ??= new ReadableStream(
          {
            pull(controller) {
              controller.enqueue(new TextEncoder().encode(userId()));
              controller.close();
            },
          },
          { highWaterMark: 0 },
        );
        void session.userId;
        return request.method === "HEAD" ? new Response(null) : new Response(kept);
      },
      { context },
    );
    const ask = async (user: string, method = "GET") =>
      app(new Request("http://localhost/", { method, headers: { cookie: await cookieFor(sessions, user) } }));
    await ask("grace", "HEAD");
    expect(await (await ask("ada")).text()).toBe("ada");
  });
});
