import express from "express";
import express4 from "express4";
import Fastify from "fastify";
import { Hono } from "hono";
import { getRequestListener } from "@hono/node-server";
import { createSessions, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { withSession as onNode } from "sojourn/node";
import { faulty, type FaultyStore } from "sojourn/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { originFor, originOf, SECRET_KEY } from "../support/http/servers.ts";

interface Options {
  lazy?: boolean;
  passive?: () => boolean;
  personal?: boolean;
}
/** An application with a page at `/` under the outer options, and one at `/poll` under the inner options too. */
type Nest = (sessions: Sessions, outer: Options, inner: Options) => Promise<string>;

const expressNest =
  (framework: typeof express): Nest =>
  (sessions, outer, inner) => {
    const app = framework().use(onExpress(sessions, outer)).use("/poll", onExpress(sessions, inner));
    app.post("/login", (req, res, next) => {
      const signIn = () => {
        req.session.signIn("ada");
        res.send("in");
      };
      req.session.load().then(signIn, next);
    });
    for (const path of ["/", "/poll"]) app.get(path, (req, res) => void res.send(req.session.userId ?? "nobody"));
    return originFor(app);
  };

const nests: Readonly<Record<string, Nest>> = {
  "Express 5": expressNest(express),
  "Express 4": expressNest(express4),

  "Hono 4": (sessions, outer, inner) => {
    const app = new Hono().use(onHono(sessions, outer)).use("/poll", onHono(sessions, inner));
    app.post("/login", async (c) => {
      (await c.var.session.load()).signIn("ada");
      return c.text("in");
    });
    for (const path of ["/", "/poll"]) app.get(path, (c) => c.text(c.var.session.userId ?? "nobody"));
    return originFor(getRequestListener(app.fetch));
  },

  "Fastify 5": async (sessions, outer, inner) => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(onFastify(sessions, outer));
    app.post("/login", (request) =>
      request.session.load().then((session) => {
        session.signIn("ada");
        return "in";
      }),
    );
    app.get("/", (request, reply) => reply.send(request.session.userId ?? "nobody"));
    await app.register(async (child) => {
      await child.register(onFastify(sessions, inner));
      child.get("/poll", (request, reply) => reply.send(request.session.userId ?? "nobody"));
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return originOf(app.server);
  },

  fetch: (sessions, outer, inner) => {
    const poll = onFetch(sessions, (_request, session) => new Response(session.userId ?? "nobody"), inner);
    const app = onFetch(
      sessions,
      async (request, session) => {
        const { pathname } = new URL(request.url);
        if (pathname === "/poll") return poll(request);
        if (pathname === "/") return new Response(session.userId ?? "nobody");
        (await session.load()).signIn("ada");
        return new Response("in");
      },
      outer,
    );
    return originFor(getRequestListener(app));
  },

  "node:http": (sessions, outer, inner) => {
    const poll = onNode(sessions, (_req, res, session) => res.end(session.userId ?? "nobody"), inner);
    const app = onNode(
      sessions,
      async (req, res, session) => {
        if (req.url === "/poll") return poll(req, res);
        if (req.url === "/") return res.end(session.userId ?? "nobody");
        (await session.load()).signIn("ada");
        return res.end("in");
      },
      outer,
    );
    return originFor(app);
  },
};

const MINUTE = 60_000;
let now: number;
let store: FaultyStore;
let sessions: Sessions;

beforeEach(() => {
  now = Date.now();
  const clock = () => now;
  store = faulty(memoryStore({ clock }));
  sessions = createSessions({ secretKey: SECRET_KEY, store, clock, idleTimeout: "10m" });
});

async function signedIn(nest: Nest, outer: Options, inner: Options): Promise<Client> {
  const client = new Client(await nest(sessions, outer, inner));
  await client.post("/login");
  return client;
}

describe.each(Object.entries(nests))("sojourn for %s, mounted within itself with other options", (_name, nest) => {
  it("does not extend a session by polling if only the inner one is passive", async () => {
    const client = await signedIn(nest, {}, { passive: () => true });
    for (let n = 0; n < 4; n += 1) {
      now += 2 * MINUTE;
      expect((await client.get("/poll")).body).toBe("ada");
    }
    expect(store.calls.touch).toBe(0);
    now += 2 * MINUTE;
    expect((await client.get("/poll")).body).toBe("nobody");
  });

  it("extends it if only the outer one is passive, and the inner one is not", async () => {
    const client = await signedIn(nest, { passive: () => true }, { passive: () => false });
    now += 8 * MINUTE;
    await client.get("/poll");
    now += 8 * MINUTE;
    expect((await client.get("/poll")).body).toBe("ada");
  });

  it("reads the session if only the outer one is lazy", async () => {
    const client = await signedIn(nest, { lazy: true }, {});
    const { read } = store.calls;
    expect(await client.get("/poll")).toMatchObject({ status: 200, body: "ada", setCookies: [] });
    expect(store.calls.read).toBe(read + 1);
  });

  it("answers 503 if only the inner one reads, and the store fails", async () => {
    const client = await signedIn(nest, { lazy: true }, {});
    const { read } = store;
    store.read = () => Promise.reject(new Error("down"));
    const answer = await client.get("/poll");
    expect([answer.status, answer.headers["cache-control"]]).toEqual([503, "no-store"]);
    store.read = read;
    expect((await client.get("/poll")).body).toBe("ada");
  });

  it("stores, and sets the cookie, once", async () => {
    const client = new Client(await nest(sessions, {}, {}));
    const answer = await client.post("/login");
    expect(answer.setCookies).toHaveLength(1);
    const again = await client.get("/poll");
    expect([again.headers.vary, again.headers["cache-control"], again.setCookies]).toEqual(["Cookie", "private", []]);
    expect(store.calls).toMatchObject({ create: 1, update: 0 });
  });
});

describe("sojourn for Express with two kinds of sessions, of which one is mounted again", () => {
  it("gives each route the session of the mount nearest to it, and each cookie once", async () => {
    const others = createSessions({ secretKey: SECRET_KEY, store: memoryStore(), cookie: { name: "other" } });
    const app = express().use(onExpress(sessions), onExpress(others), onExpress(sessions));
    app.get("/", (req, res) => {
      req.session.data["n"] = 1;
      others.of(req).data["n"] = 1;
      res.send(String((req.session as unknown) === sessions.of(req)));
    });
    const { body, setCookies } = await new Client(await originFor(app)).get("/");
    const names = setCookies.map((line) => line.split("=")[0]);
    expect([body, names.length, new Set(names)]).toEqual(["true", 2, new Set(["other", "session"])]);
  });
});

describe("the options of an adapter", () => {
  it("stay as they were when it was created", async () => {
    const options: Options = { lazy: false };
    const app = express().use(onExpress(sessions, options));
    options.lazy = true;
    options.passive = () => {
      throw new Error("never asked");
    };
    app.get("/", (req, res) => void res.send(req.session.userId ?? "nobody"));
    app.post("/login", (req, res) => {
      req.session.signIn("ada");
      res.end();
    });
    const client = new Client(await originFor(app));
    await client.post("/login");
    expect((await client.get("/")).body).toBe("ada");
  });
});
