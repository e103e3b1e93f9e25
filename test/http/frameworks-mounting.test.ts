import { getRequestListener } from "@hono/node-server";
import compression from "compression";
import express from "express";
import express4 from "express4";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { faulty, type FaultyStore } from "sojourn/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { originFor, originOf, SECRET_KEY } from "../support/http/servers.ts";

let store: FaultyStore;
let sessions: Sessions<{ visits?: number }>;

beforeEach(() => {
  // A pause, so that every response is delayed.
  const slowly = () => ({ delay: 2 });
  store = faulty(memoryStore(), { create: slowly, update: slowly });
  sessions = createSessions({ secretKey: SECRET_KEY, store });
});

const count = (n = 0): number => n + 1;

async function expectCounted(client: Client, path = "/"): Promise<void> {
  expect((await client.get(path)).setCookies).toHaveLength(1);
  expect(await client.get(path)).toMatchObject({ status: 200, body: "2", setCookies: [] });
  expect(store.calls).toEqual(expect.objectContaining({ read: 1, create: 1, update: 1 }));
}

describe.each([
  ["Express 5", express],
  ["Express 4", express4],
])("sojourn for %s", (_name, framework) => {
  it("works under a path, and does not affect other paths", async () => {
    const app = framework().use("/shop", onExpress(sessions));
    app.get("/shop/cart", (req, res) => void res.send(String(sessions.of(req).update("visits", count))));
    app.get("/", (req, res) => void res.send(String("session" in req)));
    const client = new Client(await originFor(app));
    await expectCounted(client, "/shop/cart");
    const { body, headers } = await client.get("/");
    expect([body, headers.vary]).toEqual(["false", undefined]);
    expect(store.calls.read).toBe(1);
  });

  it("calls the error handler of the application from within a router", async () => {
    sessions = createSessions({ secretKey: SECRET_KEY, store: faulty(memoryStore(), { create: ["error"] }) });
    const router = framework.Router().use(onExpress(sessions));
    router.get("/cart", (req, res) => {
      sessions.of(req).data.visits = 1;
      res.send("a success that must not be seen");
    });
    const app = framework().use("/shop", router);
    app.use(((error, _req, res, _next) => {
      res.status(error.status).send(error.code);
    }) as express.ErrorRequestHandler);
    const answer = await ask(`${await originFor(app)}/shop/cart`);
    expect(answer).toMatchObject({ status: 503, body: "ERR_SESSION_STORE", setCookies: [] });
  });

  it.each(["before", "after"])("gets along with compression mounted %s it", async (place) => {
    const text = "tea ".repeat(5000);
    const squeeze = compression({ threshold: 0 });
    const mine = onExpress(sessions);
    const app = framework().use(...(place === "before" ? [squeeze, mine] : [mine, squeeze]));
    app.get("/", (req, res) => {
      sessions.of(req).update("visits", count);
      res.type("text").send(text);
    });
    app.get("/stream", (req, res) => {
      sessions.of(req).update("visits", count);
      res.type("text");
      for (let n = 0; n < 100; n += 1) res.write(text);
      res.end();
    });
    const origin = await originFor(app);
    for (const [path, whole] of [
      ["/", text],
      ["/stream", text.repeat(100)],
    ]) {
      const answer = await fetch(origin + path!);
      expect(answer.headers.getSetCookie()).toHaveLength(1);
      expect(answer.headers.get("content-encoding")).toBe("gzip");
      expect(answer.headers.get("vary")!.toLowerCase()).toMatch(/accept-encoding.*cookie|cookie.*accept-encoding/);
      expect((await answer.text()) === whole).toBe(true);
    }
  });
});

describe("sojourn for Hono 4", () => {
  const originForHono = (app: { fetch: (request: Request) => Response | Promise<Response> }) =>
    originFor(getRequestListener(app.fetch));

  it("works under a path, and does not affect other paths", async () => {
    const shop = new Hono()
      .use(onHono(sessions))
      .get("/cart", (c) => c.text(`${c.var.session.update("visits", count)}`));
    const app = new Hono().route("/shop", shop).get("/", (c) => c.text(String("session" in c.var)));
    const client = new Client(await originForHono(app));
    await expectCounted(client, "/shop/cart");
    const { body, headers } = await client.get("/");
    expect([body, headers.vary]).toEqual(["false", undefined]);
  });

  it("lets an error handler set headers if the session could not be stored", async () => {
    sessions = createSessions({ secretKey: SECRET_KEY, store: faulty(memoryStore(), { create: ["error"] }) });
    const app = new Hono().use(onHono(sessions)).get("/", (c) => {
      c.var.session.data.visits = 1;
      return c.text("a success that must not be seen");
    });
    app.onError((error, c) => {
      c.header("x-error-handler", "1");
      return c.text(error.name, 503);
    });
    const answer = await ask(await originForHono(app));
    expect(answer).toMatchObject({ status: 503, body: "SessionError", headers: { "x-error-handler": "1" } });
  });
});

describe("sojourn for Fastify 5", () => {
  it("works under a prefix, and does not affect other routes", async () => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(
      async (shop) => {
        await shop.register(onFastify(sessions));
        shop.get("/cart", (request) => String(sessions.of(request).update("visits", count)));
      },
      { prefix: "/shop" },
    );
    app.get("/", (request) => String("session" in request));
    await app.listen({ port: 0, host: "127.0.0.1" });
    const client = new Client(originOf(app.server));
    await expectCounted(client, "/shop/cart");
    const { body, headers } = await client.get("/");
    expect([body, headers.vary]).toEqual(["false", undefined]);
  });

  it("refuses to be registered twice, and names the reason", async () => {
    const app = Fastify();
    await app.register(onFastify(sessions));
    const others = createSessions({ secretKey: SECRET_KEY, store, cookie: { name: "other" } });
    await expect(app.register(onFastify(others)).then(() => app.ready())).rejects.toThrow(
      /request\.session is taken already/,
    );
    await app.close();
  });
});
