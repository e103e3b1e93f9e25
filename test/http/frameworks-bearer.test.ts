import { bearerTokens } from "sojourn/bearer";
import { csrfProtection } from "sojourn/csrf";
import { requireUser as onExpress, sessionMiddleware } from "sojourn/express";
import { requireUser as onFastify, sessionPlugin } from "sojourn/fastify";
import { requireUser as onFetch, withSession as withFetchSession } from "sojourn/fetch";
import { requireUser as onHono, sessionMiddleware as honoMiddleware } from "sojourn/hono";
import { requireUser as onNode, withSession } from "sojourn/node";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { getRequestListener } from "@hono/node-server";
import { describe, expect, it, vi } from "vitest";
import { ask, raw, type Answer } from "../support/http/client.ts";
import { originFor, SECRET_KEY, serve, ways } from "../support/http/servers.ts";
import type { Listener } from "../support/http/ways.ts";

const FOREIGN = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
const bearing = (token: string) => ({ authorization: `Bearer ${token}` });
const tokenOf = (answer: Answer) => answer.headers["session-token"] as string | undefined;

/** A native client: it takes over the token of each response. */
function nativeClient(origin: string) {
  const client = {
    token: "none",
    async get(path: string, method = "GET") {
      const answer = await ask(origin + path, { method, headers: bearing(client.token) });
      client.token = tokenOf(answer) ?? client.token;
      return answer;
    },
  };
  return client;
}

describe.each(ways)("the option bearer of sojourn for $name", (way) => {
  it("signs a native client in, reads and changes its session, rotates its token, and signs it out", async () => {
    const options = { rotation: { every: "1h" } } as const;
    const { origin, clock, sessions } = await serve(way, { parts: { bearer: bearerTokens() }, options });
    const client = nativeClient(origin);
    const login = await client.get("/login?username=ada", "POST");
    expect(login).toMatchObject({ setCookies: [], headers: { "cache-control": "no-store" } });
    expect(login.headers.vary).toMatch(/^(?:Accept, )?Authorization$/);
    expect(client.token).toMatch(/^b[\w-]{80}$/);
    const page = await client.get("/");
    expect(page).toMatchObject({ body: "signed in as ada", setCookies: [], headers: { vary: "Authorization" } });
    expect(page.headers["cache-control"]).toBe("private");
    await client.get("/add?k=a", "POST");
    expect(JSON.parse((await client.get("/data")).body)).toContainEqual(["a", "1"]);
    const before = client.token;
    clock.ahead += 3_600_001;
    expect((await client.get("/")).headers["cache-control"]).toBe("no-store");
    expect(client.token).not.toBe(before);
    expect(await client.get("/")).toMatchObject({ body: "signed in as ada" });
    expect(await sessions.list("ada")).toHaveLength(1);
    const leaving = await client.get("/logout", "POST");
    expect([leaving.setCookies, tokenOf(leaving)]).toEqual([[], undefined]);
    expect(await client.get("/")).toMatchObject({ body: "anonymous" });
    expect(await sessions.list("ada")).toEqual([]);
  });

  it("refuses a request with cookie and header before the handler, and stores nothing", async () => {
    for (const options of [{}, { cookies: true }]) {
      for (const ownErrors of [true, false]) {
        const { origin, sessions, calls, seen } = await serve(way, {
          parts: { bearer: bearerTokens(options) },
          ownErrors,
        });
        const other = await sessions.open(new Request("http://localhost/"));
        other.signIn("eve");
        const [cookie] = (await sessions.commit(other, new Response())).headers.getSetCookie()[0]!.split(";", 1);
        const client = nativeClient(origin);
        await client.get("/login?username=ada", "POST");
        const before = calls.total;
        for (const token of [client.token, "bogus"]) {
          const refused = await ask(`${origin}/add?k=stolen`, { method: "POST", cookie, headers: bearing(token) });
          expect(refused).toMatchObject({ status: 400, setCookies: [], headers: { "cache-control": "no-store" } });
          expect(refused.headers.vary).toContain("Authorization");
          expect(tokenOf(refused)).toBeUndefined();
          expect(refused.body).not.toContain(client.token);
        }
        expect(calls.total).toBe(before);
        if (ownErrors) expect(seen).toMatchObject([{ code: "ERR_SESSION_TWO_TOKENS" }, { status: 400 }]);
        expect(JSON.parse((await client.get("/data")).body)).toEqual([["username", "ada"]]);
      }
    }
  });

  it("is no way around csrf", async () => {
    const parts = { bearer: bearerTokens({ cookies: true }), csrf: csrfProtection() };
    const { origin, signedIn } = await serve(way, { parts });
    const browser = await signedIn();
    const post = async (headers: Record<string, string>, cookie?: string) =>
      (await ask(`${origin}/add?k=stolen`, { method: "POST", cookie, headers: { ...FOREIGN, ...headers } })).status;
    expect(await post({}, browser.cookie)).toBe(403);
    expect(await post(bearing("bogus"), browser.cookie)).toBe(400);
    expect(await post({ authorization: "Basic YTpi" }, browser.cookie)).toBe(403);
    expect(await post(bearing("bogus"))).toBe(403);
    const client = nativeClient(origin);
    await client.get("/login", "POST");
    expect(await post(bearing(client.token))).toBe(200);
    expect(await browser.data()).toEqual({ username: "ada" });
  });

  it("takes malformed and repeated headers for a visitor's", async () => {
    const { origin, port } = await serve(way, { parts: { bearer: bearerTokens() } });
    const client = nativeClient(origin);
    await client.get("/login", "POST");
    const { token } = client;
    const lines = [
      "Authorization:",
      "Authorization: Bearer",
      `Authorization: Basic ${token}`,
      `Authorization: Bearer ${token}, Bearer ${token}`,
      `Authorization: Bearer ${"x".repeat(8000)}`,
      `Authorization: Bearer \u00ff\u0080`,
      `Authorization: Bearer ${token}\r\nAuthorization: Bearer x`,
      `Authorization: Bearer x\r\nAuthorization: Bearer ${token}`,
      `X-Authorization: Bearer ${token}`,
    ];
    const request = (line: string) =>
      `GET /?access_token=${token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${line}\r\n\r\n`;
    for (const line of lines) {
      const answer = await raw(port, request(line));
      expect([line.slice(0, 40), answer.slice(0, 15)]).toEqual([line.slice(0, 40), "HTTP/1.1 200 OK"]);
      expect([line.slice(0, 40), answer.endsWith("anonymous") || answer.includes("\r\nanonymous\r\n")]).toEqual([
        line.slice(0, 40),
        true,
      ]);
    }
    expect(await raw(port, request(`authorization: bearer  ${token}   `))).toContain("signed in as ada");
  });

  it("says on an outage that it depends on the header, and shows no token", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { origin, faults } = await serve(way, { parts: { bearer: bearerTokens() } });
    const client = nativeClient(origin);
    await client.get("/login", "POST");
    for (const operation of ["read", "update"] as const) {
      faults[operation] = "error";
      const answer = await client.get("/add?k=a", "POST");
      expect(answer).toMatchObject({ status: 503, setCookies: [], headers: { "cache-control": "no-store" } });
      expect(answer.headers.vary).toContain("Authorization");
      expect(tokenOf(answer)).toBeUndefined();
      expect(JSON.stringify([answer.body, logged.mock.calls.map(String)])).not.toContain(client.token);
      delete faults[operation];
    }
    expect(await client.get("/")).toMatchObject({ body: "signed in as ada" });
    logged.mockRestore();
  });
});

describe("a guard beside the option bearer", () => {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
  const bearer = bearerTokens();
  const silent = () => vi.spyOn(console, "error").mockReturnValue();

  it.each<[string, () => Promise<Listener> | Listener]>([
    [
      "fetch",
      () =>
        getRequestListener(
          withFetchSession(
            sessions,
            onFetch(() => new Response()),
            { bearer },
          ),
        ),
    ],
    [
      "node:http",
      () =>
        withSession(
          sessions,
          onNode((_req, res) => res.end()),
          { bearer },
        ),
    ],
    [
      "node:http, by an error handler of its own",
      () =>
        withSession(
          sessions,
          onNode((_req, res) => res.end()),
          {
            bearer,
            onError: (_error, _req, res) => res.writeHead(401).end(),
          },
        ),
    ],
    [
      "Express",
      () => express().set("env", "test").use(sessionMiddleware(sessions, { bearer }), onExpress()) as Listener,
    ],
    [
      "Express, by an error handler of its own",
      () => {
        const app = express().use(sessionMiddleware(sessions, { bearer }), onExpress());
        return app.use((_error: unknown, _req: unknown, res: express.Response, _next: unknown) => {
          res.status(401).json({ error: "sign in" });
        }) as Listener;
      },
    ],
    [
      "Fastify",
      async () => {
        const app = Fastify();
        await app.register(sessionPlugin(sessions, { bearer }));
        app.get("/", { preHandler: onFastify() }, async () => "");
        await app.ready();
        return (req, res) => app.routing(req, res);
      },
    ],
    [
      "Hono",
      () => {
        const app = new Hono().use(honoMiddleware(sessions, { bearer })).use(onHono());
        return getRequestListener(app.get("/", (c) => c.text("")).fetch);
      },
    ],
  ])("answers 401 with WWW-Authenticate in %s", async (_, listener) => {
    const logged = silent();
    const origin = await originFor(await listener());
    const answer = await ask(origin);
    expect(answer).toMatchObject({
      status: 401,
      headers: { "www-authenticate": "Bearer" },
    });
    expect(answer.headers.vary).toContain("Authorization");
    const dead = await ask(origin, { headers: bearing("dead") });
    expect(dead).toMatchObject({ status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } });
    logged.mockRestore();
  });
});

describe("an answer of 304 in Express", () => {
  it("has the token of rotate(), which makes the old one invalid", async () => {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    const app = express().use(sessionMiddleware(sessions, { bearer: bearerTokens() }));
    app.post("/", (req, res) => {
      sessions.of(req).signIn("ada");
      res.end();
    });
    app.get("/", (req, res) => {
      if (req.headers["if-none-match"] !== undefined) sessions.of(req).rotate();
      res.send(`hello ${sessions.of(req).userId}`);
    });
    const origin = await originFor(app);
    const token = tokenOf(await ask(origin, { method: "POST" }))!;
    const { headers } = await ask(origin, { headers: bearing(token) });
    const unchanged = await ask(origin, { headers: { ...bearing(token), "if-none-match": headers.etag! } });
    expect(unchanged).toMatchObject({ status: 304, headers: { "cache-control": "no-store", vary: "Authorization" } });
    expect((await ask(origin, { headers: bearing(tokenOf(unchanged)!) })).body).toBe("hello ada");
  });

  it("has no token of a periodic rotation, and the next answer has it", async () => {
    const clock = { now: Date.now() };
    const rotating = createSessions({
      secretKey: SECRET_KEY,
      store: memoryStore({ clock: () => clock.now }),
      clock: () => clock.now,
      rotation: { every: "1h" },
    });
    const app = express().use(sessionMiddleware(rotating, { bearer: bearerTokens() }));
    app.post("/", (req, res) => {
      rotating.of(req).signIn("ada");
      res.end();
    });
    app.get("/", (req, res) => void res.send(`hello ${rotating.of(req).userId}`));
    const origin = await originFor(app);
    const token = tokenOf(await ask(origin, { method: "POST" }))!;
    const { headers } = await ask(origin, { headers: bearing(token) });
    clock.now += 3_600_001;
    const unchanged = await ask(origin, { headers: { ...bearing(token), "if-none-match": headers.etag! } });
    expect([unchanged.status, tokenOf(unchanged)]).toEqual([304, undefined]);
    const next = await ask(origin, { headers: bearing(token) });
    expect([next.status, next.body]).toEqual([200, "hello ada"]);
    expect(tokenOf(next)).toMatch(/^b/);
  });
});
