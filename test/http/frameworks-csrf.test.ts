import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { cookieFor } from "sojourn/testing";
import { describe, expect, it, vi } from "vitest";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY, serve, ways } from "../support/http/servers.ts";

const FOREIGN = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
const TRUSTED = "https://accounts.example.com";

describe.each(ways)("the option csrf of sojourn for $name", (way) => {
  const parts = { csrf: csrfProtection({ trustedOrigins: [TRUSTED], exempt: ["/count"] }) };

  it("refuses a form of another site before the store is asked, and the handler does not run", async () => {
    const { signedIn, calls, origin } = await serve(way, { parts });
    const client = await signedIn();
    const before = calls.total;
    const answer = await client.get("/add?k=stolen", { method: "POST", headers: FOREIGN });
    expect(answer).toMatchObject({ status: 403, setCookies: [], headers: { "cache-control": "no-store" } });
    expect(answer.body).toContain("A page of another origin sent this request");
    expect(calls.total).toBe(before);
    expect(await client.data()).toEqual({ username: "ada" });
    // A visitor that is signed in by another site would do things in the attacker's account.
    const login = await ask(`${origin}/login?username=eve`, { method: "POST", headers: FOREIGN });
    expect(login).toMatchObject({ status: 403, setCookies: [] });
  });

  it("lets this site's forms, trusted origins, exempt paths, safe methods and programs pass", async () => {
    const { signedIn, origin } = await serve(way, { parts });
    const client = await signedIn();
    const post = async (path: string, headers: Record<string, string>) =>
      (await client.get(path, { method: "POST", headers })).status;
    expect(await post("/add?k=a", { "sec-fetch-site": "same-origin", origin })).toBe(200);
    expect(await post("/add?k=b", { origin })).toBe(200);
    expect(await post("/add?k=c", { "sec-fetch-site": "cross-site", origin: TRUSTED })).toBe(200);
    expect(await post("/add?k=d", {})).toBe(200);
    expect(await post("/count", FOREIGN)).toBe(200);
    expect(await post("/count/", FOREIGN)).toBe(403);
    expect((await client.get("/data", { headers: FOREIGN })).status).toBe(200);
    expect(await client.data()).toMatchObject({ a: "1", b: "1", c: "1", d: "1", count: 1 });
  });

  it("gives the error to the application's own error handler", async () => {
    const { signedIn, seen } = await serve(way, { parts, ownErrors: true });
    const client = await signedIn();
    const answer = await client.get("/add?k=stolen", { method: "POST", headers: FOREIGN });
    expect(answer).toMatchObject({ status: 403, body: "ERR_SESSION_ORIGIN", headers: { "x-error-handler": "1" } });
    expect(seen).toMatchObject([{ code: "ERR_SESSION_ORIGIN" }]);
  });

  it("lets a foreign request with the session's token pass, and reads the session of a lazy route for it", async () => {
    for (const lazy of [false, true]) {
      const { signedIn, sessions } = await serve(way, { parts, lazy });
      const client = await signedIn();
      const session = await sessions.open(new Request("http://localhost/", { headers: { cookie: client.cookie! } }));
      const post = async (token: string) =>
        client.get("/lazy", { method: "POST", headers: { ...FOREIGN, "x-csrf-token": token } });
      expect(await post(parts.csrf.token(session))).toMatchObject({ status: 200, body: "ada" });
      expect(await post("wrong")).toMatchObject({ status: 403 });
    }
  });

  it("answers 503, and not 403, where the store is down and the token can't be checked", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { signedIn, faults } = await serve(way, { parts });
    const client = await signedIn();
    faults.read = "error";
    const answer = await client.get("/add?k=a", { method: "POST", headers: { ...FOREIGN, "x-csrf-token": "x" } });
    expect(answer).toMatchObject({ status: 503, setCookies: [] });
    logged.mockRestore();
  });

  it("is refused where it is not what csrfProtection made", async () => {
    await expect(serve(way, { parts: { csrf: true as never } })).rejects.toThrow(/csrf takes csrfProtection\(\)/);
  });
});

describe("csrf.check with the token of a form", () => {
  const csrf = csrfProtection({ withoutOrigin: "refuse" });
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
  const urlencoded = { "content-type": "application/x-www-form-urlencoded" };

  async function outcomes(origin: string) {
    const cookie = await cookieFor(sessions, "ada");
    const token = csrf.token(await sessions.open(new Request("http://localhost/", { headers: { cookie } })));
    const post = async (body: string, headers = {}) =>
      (await fetch(`${origin}/pay`, { method: "POST", body, headers: { ...urlencoded, cookie, ...headers } })).status;
    return [
      await post(`csrf=${token}`),
      await post(`csrf=${token}`, { origin: "null" }),
      await post(""),
      await post("csrf=wrong"),
      await post(`csrf=${token}&csrf=${token}`),
      await post("", { origin }),
    ];
  }
  const EXPECTED = [200, 200, 403, 403, 403, 200];

  it("works in Express, behind the body's parser", async () => {
    const app = express();
    app.use(onExpress(sessions), express.urlencoded(), (req, _res, next) => {
      csrf.check(req, req.session, { token: (req.body as { csrf?: unknown } | undefined)?.csrf });
      next();
    });
    app.post("/pay", (_req, res) => void res.send("paid"));
    app.use(((error, _req, res, _next) => void res.status(error.status).end()) as express.ErrorRequestHandler);
    expect(await outcomes(await originFor(app))).toEqual(EXPECTED);
  });

  it("works in Fastify, in a preHandler", async () => {
    const app = Fastify();
    app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (_request, body, done) => {
      const fields = new URLSearchParams(body.toString());
      done(null, {
        csrf: fields.getAll("csrf").length > 1 ? fields.getAll("csrf") : (fields.get("csrf") ?? undefined),
      });
    });
    await app.register(onFastify(sessions));
    app.addHook("preHandler", async (request) => {
      csrf.check(request, request.session, {
        token: (request.body as { csrf?: unknown } | undefined)?.csrf,
      });
    });
    app.post("/pay", () => "paid");
    await app.ready();
    expect(await outcomes(await originFor((req, res) => app.routing(req, res)))).toEqual(EXPECTED);
  });

  it("works in Hono", async () => {
    const { getRequestListener } = await import("@hono/node-server");
    const app = new Hono().use(onHono(sessions)).use(async (c, next) => {
      const { csrf: token } = await c.req.parseBody({ all: true });
      csrf.check(c, c.var.session, { token });
      await next();
    });
    app.post("/pay", (c) => c.text("paid"));
    expect(await outcomes(await originFor(getRequestListener(app.fetch)))).toEqual(EXPECTED);
  });
});
