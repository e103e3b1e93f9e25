import { request, type IncomingHttpHeaders } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodOverride } from "hono/method-override";
import { createSessions, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { cookieFor } from "sojourn/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { ask, Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

let sessions: Sessions;
beforeEach(() => {
  sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
});

/** Posts without a Content-Length. */
function postChunked(url: string): Promise<{ status: number; setCookies: string[]; body: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method: "POST" }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode!, setCookies: response.headers["set-cookie"] ?? [], body }),
      );
    });
    asking.on("error", reject);
    asking.write("a=1&");
    asking.end("b=2");
  });
}

describe("sojourn for Hono and a request that middleware replaces", () => {
  it.each(["before", "after"])("has one session and one cookie with bodyLimit %s it", async (place) => {
    const mine = onHono(sessions);
    const limit = bodyLimit({ maxSize: 1000 });
    const app = new Hono().use(place === "before" ? limit : mine, place === "before" ? mine : limit);
    app.post("/login", async (c) => {
      const { username } = Object.fromEntries(new URLSearchParams(await c.req.text()));
      const opened = await sessions.open(c.req.raw);
      opened.data["by"] = "open";
      opened.signIn("ada");
      const same = [sessions.of(c), sessions.of(c.req), sessions.of(c.req.raw), c.get("session" as never)];
      return c.json({ username, isSame: same.every((one) => one === (opened as unknown)) });
    });
    app.get("/", (c) => c.json([sessions.of(c).userId, sessions.of(c).data]));
    const origin = await originFor(getRequestListener(app.fetch));
    const { status, setCookies, body } = await postChunked(`${origin}/login`);
    expect([status, JSON.parse(body)]).toEqual([200, { isSame: true }]);
    expect(setCookies).toHaveLength(1);
    const page = await ask(origin, { cookie: setCookies[0]!.split(";")[0] });
    expect(JSON.parse(page.body)).toEqual(["ada", { by: "open" }]);
  });

  it("has two kinds of sessions, each one", async () => {
    const others = createSessions({ secretKey: SECRET_KEY, store: memoryStore(), cookie: { name: "other" } });
    const app = new Hono().use(onHono(sessions), onHono(others), bodyLimit({ maxSize: 1000 }));
    app.post("/", async (c) => {
      (await sessions.open(c.req.raw)).data["n"] = 1;
      (await others.open(c.req.raw)).data["n"] = 1;
      return c.text("ok");
    });
    const { setCookies } = await postChunked(await originFor(getRequestListener(app.fetch)));
    expect(new Set(setCookies.map((line) => line.split("=")[0]))).toEqual(new Set(["session", "other"]));
    expect(setCookies).toHaveLength(2);
  });

  it("sets one cookie if methodOverride calls the application again", async () => {
    const app = new Hono().use(onHono(sessions));
    app.use("/items", methodOverride({ app }));
    app.delete("/items", (c) => {
      sessions.of(c).signIn("ada");
      return c.text("deleted");
    });
    const origin = await originFor(getRequestListener(app.fetch));
    const form = new URLSearchParams({ _method: "DELETE" });
    const answer = await fetch(`${origin}/items`, { method: "POST", body: form });
    expect(await answer.text()).toBe("deleted");
    expect(answer.headers.getSetCookie()).toHaveLength(1);
  });
});

describe("sessions.of", () => {
  it.each<[string, (req: express.Request) => object]>([
    ["a proxy around the request", (req) => new Proxy(req, {})],
    ["an object that inherits from it", (req) => Object.create(req) as object],
    [
      "the request with a body of other middleware's in its raw",
      (req) => Object.assign(req, { raw: Buffer.from("a") }),
    ],
    ["the request with another request in its raw", (req) => Object.assign(req, { raw: new Request("http://x/") })],
    ["a wrapper as frameworks have", (req) => ({ raw: req })],
    ["a context as frameworks have", (req) => ({ req })],
  ])("is the session of the request, given %s", async (_, of) => {
    const app = express().use(onExpress(sessions));
    app.get("/", (req, res) => {
      const given = of(req) as express.Request;
      sessions.of(given).data["n"] = 1;
      res.send(String(sessions.of(given) === (req.session as unknown)));
    });
    const client = new Client(await originFor(app));
    expect(await client.get("/")).toMatchObject({ body: "true", setCookies: [expect.any(String)] });
  });

  it("returns one session for a request that was frozen before", async () => {
    const frozen = Object.freeze(new Request("http://localhost/"));
    const session = await sessions.open(frozen);
    expect(sessions.of(frozen)).toBe(session);
    expect(await sessions.open(Object.freeze(new Request("http://localhost/")))).not.toBe(session);
  });
});

describe("a request that is made from another one", () => {
  const cookieOf = async (user: string) => cookieFor(sessions, user);
  /** The ways in which programs make a request from another one. */
  const derivedFrom = (req: object, headers: IncomingHttpHeaders): object[] => {
    const assigned = Object.assign(Object.create(Object.getPrototypeOf(req) as object) as object, req);
    return [
      Object.create(req, { headers: { value: headers } }) as object,
      { ...req, headers },
      Object.defineProperty(assigned, "headers", { value: headers }),
    ];
  };
  /** The users of requests that Express' handler makes of its own, with these headers. */
  async function usersOf(change: (headers: IncomingHttpHeaders) => IncomingHttpHeaders): Promise<unknown> {
    const app = express().use(onExpress(sessions));
    app.get("/", (req, res, next) => {
      const opened = derivedFrom(req, change(req.headers)).map((one) => sessions.open(one as never));
      Promise.all(opened).then(
        (all) => res.json(all.map((session) => [session.userId, session === (sessions.of(req) as unknown)])),
        next,
      );
    });
    const { body } = await ask(await originFor(app), { cookie: await cookieOf("alice") });
    return JSON.parse(body);
  }

  it("has the session of its own cookie, where that is another one", async () => {
    const cookie = await cookieOf("bob");
    expect(await usersOf((headers) => ({ ...headers, cookie }))).toEqual([
      ["bob", false],
      ["bob", false],
      ["bob", false],
    ]);
    expect(await usersOf((headers) => ({ ...headers, cookie: undefined }))).toEqual([
      [null, false],
      [null, false],
      [null, false],
    ]);
  });

  it("has the same session, where its cookie is the same, so that a change through it is stored", async () => {
    expect(await usersOf((headers) => headers)).toEqual([
      ["alice", true],
      ["alice", true],
      ["alice", true],
    ]);
  });
});
