import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import express4 from "express4";
import Fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { createSessions, SessionError, type Sessions } from "sojourn";
import * as onExpress from "sojourn/express";
import * as onFastify from "sojourn/fastify";
import * as onFetch from "sojourn/fetch";
import * as onHono from "sojourn/hono";
import * as onKoa from "sojourn/koa";
import { memoryStore } from "sojourn/memory";
import * as onNode from "sojourn/node";
import { testClock } from "sojourn/testing";
import { describe, expect, it, vi } from "vitest";
import { Client } from "../support/http/client.ts";
import { listen, type Listener } from "../support/http/ways.ts";
import { originOf } from "../support/http/servers.ts";

const USER = { loginPage: "/login" };
const RECENT = { within: "10m", loginPage: "/login" } as const;
const PAGE = { accept: "text/html", "sec-fetch-mode": "navigate" };

/** The same application in each framework: `/account`, `/api` and `/pay` are guarded, `/login` signs in and comes back. */
interface App {
  readonly name: string;
  start(sessions: Sessions, lazy: boolean): Promise<Server>;
}

const onNodeServer = (listener: Listener) => listen(listener);

const apps: readonly App[] = [
  { name: "Express 5", start: (sessions, lazy) => onNodeServer(expressApp(express, sessions, lazy)) },
  { name: "Express 4", start: (sessions, lazy) => onNodeServer(expressApp(express4, sessions, lazy)) },
  {
    name: "Koa 3",
    start(sessions, lazy) {
      const app = new Koa().on("error", () => {});
      const page = (path: string, guard: Koa.Middleware, name: string): void => {
        const show: Koa.Middleware<object, onKoa.SessionProperties> = (ctx) => {
          ctx.body = `${name} ${ctx.session.userId}`;
        };
        app.use((ctx, next) => (ctx.path === path ? guard(ctx, async () => show(ctx as never, next)) : next()));
      };
      app.use(onKoa.sessionMiddleware(sessions, { lazy }));
      page("/account", onKoa.requireUser(USER), "account of");
      page("/api", onKoa.requireUser(), "api of");
      page("/pay", onKoa.requireRecentSignIn(RECENT), "pay");
      app.use(async (ctx) => {
        const session = await sessions.of(ctx).load();
        session.signIn("ada");
        ctx.status = 303;
        ctx.redirect(onKoa.returnTo(ctx));
      });
      return onNodeServer(app.callback());
    },
  },
  {
    name: "Fastify 5",
    async start(sessions, lazy) {
      const app = Fastify({ forceCloseConnections: true });
      await app.register(onFastify.sessionPlugin(sessions, { lazy }));
      app.get(
        "/account",
        { preHandler: onFastify.requireUser(USER) },
        (request) => `account of ${request.session.userId}`,
      );
      app.get("/api", { preHandler: onFastify.requireUser() }, (request) => `api of ${request.session.userId}`);
      app.all(
        "/pay",
        { preHandler: onFastify.requireRecentSignIn(RECENT) },
        (request) => `pay ${request.session.userId}`,
      );
      app.post("/login", async (request, reply) => {
        await request.session.load();
        request.session.signIn("ada");
        return reply.redirect(onFastify.returnTo(request), 303);
      });
      await app.listen({ port: 0, host: "127.0.0.1" });
      return app.server;
    },
  },
  {
    name: "Hono 4",
    start(sessions, lazy) {
      const app = new Hono().use(onHono.sessionMiddleware(sessions, { lazy }));
      app.get("/account", onHono.requireUser(USER), (c) => c.text(`account of ${c.var.session.userId}`));
      app.get("/api", onHono.requireUser(), (c) => c.text(`api of ${c.var.session.userId}`));
      app.all("/pay", onHono.requireRecentSignIn(RECENT), (c) => c.text(`pay ${c.var.session.userId}`));
      app.post("/login", async (c) => {
        await c.var.session.load();
        c.var.session.signIn("ada");
        return c.redirect(onHono.returnTo(c), 303);
      });
      return onNodeServer(getRequestListener(app.fetch));
    },
  },
  {
    name: "node:http",
    async start(sessions, lazy) {
      const routes: Record<string, Parameters<typeof onNode.requireUser>[0]> = {
        "/account": onNode.requireUser((_req, res, session) => res.end(`account of ${session.userId}`), USER),
        "/api": onNode.requireUser((_req, res, session) => res.end(`api of ${session.userId}`)),
        "/pay": onNode.requireRecentSignIn((_req, res, session) => res.end(`pay ${session.userId}`), RECENT),
        "/login": async (req, res, session) => {
          await session.load();
          session.signIn("ada");
          res.writeHead(303, { location: onNode.returnTo(req) }).end();
        },
      };
      const server = createServer(
        onNode.withSession(sessions, (req, res, session) => routes[req.url!.split("?")[0]!]!(req, res, session), {
          lazy,
        }),
      );
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    },
  },
  {
    name: "fetch",
    start(sessions, lazy) {
      const routes: Record<string, Parameters<typeof onFetch.requireUser>[0]> = {
        "/account": onFetch.requireUser((_request, session) => new Response(`account of ${session.userId}`), USER),
        "/api": onFetch.requireUser((_request, session) => new Response(`api of ${session.userId}`)),
        "/pay": onFetch.requireRecentSignIn((_request, session) => new Response(`pay ${session.userId}`), RECENT),
        "/login": async (request, session) => {
          await session.load();
          session.signIn("ada");
          return new Response(null, { status: 303, headers: { location: onFetch.returnTo(request) } });
        },
      };
      const handle = onFetch.withSession(
        sessions,
        (request, session) => routes[new URL(request.url).pathname]!(request, session),
        { lazy },
      );
      return onNodeServer(getRequestListener((request) => handle(request)));
    },
  },
];

function expressApp(framework: typeof express, sessions: Sessions, lazy: boolean) {
  const app = framework();
  app.use(onExpress.sessionMiddleware(sessions, { lazy }));
  const inner = framework.Router();
  inner.get("/", onExpress.requireUser(USER), (req, res) => void res.send(`account of ${req.session.userId}`));
  app.use("/account", inner);
  app.get("/api", onExpress.requireUser(), (req, res) => void res.send(`api of ${req.session.userId}`));
  app.all("/pay", onExpress.requireRecentSignIn(RECENT), (req, res) => void res.send(`pay ${req.session.userId}`));
  app.post("/login", (req, res, next) => {
    req.session.load().then(() => {
      req.session.signIn("ada");
      res.redirect(303, onExpress.returnTo(req));
    }, next);
  });
  return app;
}

describe.each(apps)("the guards of sojourn for $name", (app) => {
  async function start(lazy = false) {
    const { clock, advance } = testClock();
    const store = memoryStore({ clock });
    const down = { now: false };
    const sessions = createSessions({
      secretKey: "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-",
      clock,
      store: {
        ...store,
        inProcess: false,
        read: (id) => (down.now ? Promise.reject(new Error("down")) : store.read(id)),
      },
    });
    const origin = originOf(await app.start(sessions, lazy));
    return { client: new Client(origin), origin, sessions, advance, down };
  }

  it.each([false, true])("lead to the login page and back (lazy: %s)", async (lazy) => {
    const { client, origin } = await start(lazy);
    const refused = await client.get("/account?tab=2", { headers: PAGE });
    expect(refused).toMatchObject({
      status: 303,
      setCookies: [],
      headers: { vary: expect.stringContaining("Cookie") },
    });
    expect(refused.headers.location).toBe("/login?returnTo=%2Faccount%3Ftab%3D2");

    const signedIn = await client.get(refused.headers.location!, { method: "POST" });
    expect(signedIn.status).toBe(303);
    const back = new URL(signedIn.headers.location!, origin);
    expect(back.href).toBe(`${origin}/account?tab=2`);
    expect(await client.get(back.pathname + back.search, { headers: PAGE })).toMatchObject({
      status: 200,
      body: "account of ada",
    });
  });

  it("answer 401 where no login page is named, and to scripts", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { client } = await start();
    for (const [path, headers] of [
      ["/api", PAGE],
      ["/account", { accept: "*/*", "sec-fetch-mode": "cors" }],
      ["/account", {}],
    ] as const) {
      const answer = await client.get(path, { headers });
      expect(answer).toMatchObject({ status: 401, setCookies: [] });
      expect(answer.body).toContain("Please sign in");
    }
    await client.post("/login");
    expect(await client.get("/api")).toMatchObject({ status: 200, body: "api of ada" });
    logged.mockRestore();
  });

  it("ask for another sign-in when the last is too long ago", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { client, advance } = await start();
    await client.post("/login");
    expect((await client.post("/pay")).body).toBe("pay ada");
    advance("11m");
    expect((await client.post("/pay")).status).toBe(401);
    const page = await client.get("/pay", { headers: PAGE });
    expect(page).toMatchObject({ status: 303, headers: { location: "/login?returnTo=%2Fpay" } });
    // What a form has sent can't be sent again by a redirect.
    const form = await client.get("/pay", { method: "POST", headers: PAGE });
    expect(form).toMatchObject({ status: 303, headers: { location: "/login" } });
    expect((await client.get(page.headers.location!, { method: "POST" })).headers.location).toMatch(/\/pay$/);
    expect((await client.post("/pay")).body).toBe("pay ada");
    logged.mockRestore();
  });

  it("let nobody through while the store is down, and sign nobody out", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    for (const lazy of [false, true]) {
      const { client, down } = await start(lazy);
      await client.post("/login");
      down.now = true;
      expect(await client.get("/account", { headers: PAGE })).toMatchObject({ status: 503, setCookies: [] });
      down.now = false;
      expect((await client.get("/account", { headers: PAGE })).body).toBe("account of ada");
    }
    logged.mockRestore();
  });

  it("come back to no other site", async () => {
    const { client, origin } = await start();
    for (const value of [
      "//evil.example",
      "/\\evil.example",
      "https://evil.example/",
      "/%09/evil.example",
      "/.//evil.example",
    ]) {
      const { headers } = await client.get(`/login?returnTo=${encodeURIComponent(value)}`, { method: "POST" });
      expect(new URL(headers.location!, `${origin}/login`).href).toBe(`${origin}/`);
    }
  });
});

describe("a guard without the session's middleware", () => {
  it("is a TypeError that names the line to add", async () => {
    const app = new Hono();
    let caught: unknown;
    app.onError((error, c) => {
      caught = error;
      return c.text("", 500);
    });
    app.get("/", onHono.requireUser(), (c) => c.text("ok"));
    expect((await app.request("/")).status).toBe(500);
    expect(caught).not.toBeInstanceOf(SessionError);
    expect(String(caught)).toMatch(/mount app\.use\(sessionMiddleware\(sessions\)\) from "sojourn\/hono"/);
  });
});
