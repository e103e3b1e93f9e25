import express from "express";
import Fastify from "fastify";
import { H3, type H3Event } from "h3";
import { Hono } from "hono";
import Koa from "koa";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { site } from "../../test/support/stores.ts";
import { csrfProtection } from "./csrf.ts";
import * as ofExpress from "./express.ts";
import * as ofFastify from "./fastify.ts";
import * as ofFetch from "./fetch.ts";
import * as ofH3 from "./h3.ts";
import * as ofHono from "./hono.ts";
import * as ofAstro from "./astro.ts";
import * as ofKoa from "./koa.ts";
import * as ofSocketIo from "./socket-io/entry.ts";
import * as ofSvelteKit from "./sveltekit.ts";

// JavaScript has no types that refuse these, and TypeScript accepts a function of fewer parameters.

/** The answer of a server to a request, with the error's message as its text. */
async function answerOf(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)).text();
}

const REMEDY = 'sessionMiddleware(sessions)) from "sojourn/express"';

describe("an adapter in another framework", () => {
  const { sessions } = site();
  const handler = ofFetch.withSession(sessions, () => new Response("never"));
  it.each<[string, unknown]>([
    ["withSession of sojourn/fetch", handler],
    ["requireUser of sojourn/fastify", ofFastify.requireUser()],
    ["requireRecentSignIn of sojourn/fastify", ofFastify.requireRecentSignIn({ within: "10m" })],
    ["requireUser of sojourn/hono", ofHono.requireUser()],
    ["sessionMiddleware of sojourn/koa", ofKoa.sessionMiddleware(sessions)],
    ["requireUser of sojourn/koa", ofKoa.requireUser()],
    ["sessionMiddleware of sojourn/h3", ofH3.sessionMiddleware(sessions)],
    ["requireUser of sojourn/h3", ofH3.requireUser()],
    ["requireRecentSignIn of sojourn/hono", ofHono.requireRecentSignIn({ within: "10m" })],
    ["sessionMiddleware of sojourn/socket.io", ofSocketIo.sessionMiddleware(sessions)],
    ["requireUser of sojourn/socket.io", ofSocketIo.requireUser()],
    ["sessionHandle of sojourn/sveltekit", ofSvelteKit.sessionHandle(sessions)],
    ["sessionMiddleware of sojourn/astro", ofAstro.sessionMiddleware(sessions)],
  ])("names the import for Express: %s", async (_, middleware) => {
    const app = express();
    app.use(ofExpress.sessionMiddleware(sessions), middleware as express.RequestHandler);
    app.use(((error, _req, res, _next) => void res.send(error.message)) as express.ErrorRequestHandler);
    expect(await answerOf(createServer(app))).toContain(REMEDY);
  });

  it("names the import for Fastify: requireUser of sojourn/hono", async () => {
    const app = Fastify();
    await app.register(ofFastify.sessionPlugin(sessions));
    app.get("/", { preHandler: ofHono.requireUser() as never }, () => "never");
    expect((await app.inject("/")).json().message).toContain('sessionPlugin(sessions)) from "sojourn/fastify"');
  });

  it.each<[string, unknown]>([
    ["sessionMiddleware of sojourn/express", ofExpress.sessionMiddleware(sessions)],
    ["requireUser of sojourn/express", ofExpress.requireUser()],
    ["requireUser of sojourn/hono", ofHono.requireUser()],
    ["withSession of sojourn/fetch", handler],
  ])("names the import for Koa: %s", async (_, middleware) => {
    const app = new Koa().use(ofKoa.sessionMiddleware(sessions)).use(middleware as Koa.Middleware);
    const error = new Promise<string>((resolve) => app.on("error", ({ message }: Error) => resolve(message)));
    await answerOf(createServer((req, res) => void app.callback()(req, res)));
    expect(await error).toContain('sessionMiddleware(sessions)) from "sojourn/koa"');
  });

  it.each<[string, unknown]>([
    ["requireUser of sojourn/fastify", ofFastify.requireUser()],
    ["withSession of sojourn/fetch", handler],
  ])("names the import for Hono: %s", async (_, middleware) => {
    const app = new Hono();
    app.use(ofHono.sessionMiddleware(sessions), middleware as never);
    app.onError((error, c) => c.text(error.message));
    expect(await (await app.request("/")).text()).toContain('sessionMiddleware(sessions)) from "sojourn/hono"');
  });

  it.each<[string, (socket: object, next: () => void) => unknown]>([
    ["sessionMiddleware of sojourn/express", ofExpress.sessionMiddleware(sessions) as never],
    ["requireUser of sojourn/express", ofExpress.requireUser() as never],
  ])("names the import for socket.io: %s", (_, middleware) => {
    const socket = { nsp: {}, handshake: { headers: {} }, request: {}, conn: {}, data: {} };
    expect(() => middleware(socket, () => undefined)).toThrow('sessionMiddleware(sessions)) from "sojourn/socket.io"');
  });

  // As the guides on express-session say. No WebSocket could connect.
  it("names the import for socket.io: sessionMiddleware of sojourn/express as middleware of its engine", () => {
    const request = { httpVersion: "1.1", headers: {}, socket: {}, _query: { EIO: "4", transport: "polling" } };
    const response = { setHeader: () => undefined };
    const middleware = ofExpress.sessionMiddleware(sessions) as (...given: unknown[]) => void;
    expect(() => middleware(request, response, () => undefined)).toThrow(
      'io.use(sessionMiddleware(sessions)) from "sojourn/s',
    );
  });

  it.each<[string, (event: never, next: never) => unknown]>([
    ["requireUser of sojourn/hono", ofHono.requireUser()],
    ["requireUser of sojourn/koa", ofKoa.requireUser()],
  ])("names the import for h3: %s", async (_, middleware) => {
    const app = new H3({ silent: true, onError: ({ cause }) => (cause as Error).message });
    app.use(ofH3.sessionMiddleware(sessions)).use((event: H3Event, next) => middleware(event as never, next as never));
    expect(await (await app.request("/")).text()).toContain('sessionMiddleware(sessions)) from "sojourn/h3"');
  });

  it("throws under node:http, where nobody would see a rejection", () => {
    const request = { httpVersion: "1.1", headers: {} };
    expect(() => handler(request as never)).toThrow('withSession(sessions, handler)) from "sojourn/node"');
  });
});

describe("an adapter's function that was not called", () => {
  const { sessions } = site();
  const uncalled = (given: unknown) => given as never;

  it.each<[string, unknown, string]>([
    ["sessionMiddleware", ofExpress.sessionMiddleware, REMEDY],
    ["requireUser", ofExpress.requireUser, "requireUser()"],
    ["requireRecentSignIn", ofExpress.requireRecentSignIn, 'requireRecentSignIn({ within: "10m" })'],
  ])("says so in Express: %s", async (name, middleware, remedy) => {
    const app = express();
    app.use(uncalled(middleware));
    app.use(((error, _req, res, _next) => void res.send(error.message)) as express.ErrorRequestHandler);
    const message = await answerOf(createServer(app));
    expect(message).toContain(`${name} must be called: `);
    expect(message).toContain(remedy);
  });

  it.each<[string, unknown]>([
    ["sessionMiddleware", ofHono.sessionMiddleware],
    ["requireUser", ofHono.requireUser],
  ])("says so in Hono: %s", async (name, middleware) => {
    const app = new Hono();
    app.use(uncalled(middleware));
    app.onError((error, c) => c.text(error.message));
    expect(await (await app.request("/")).text()).toContain(`${name} must be called: `);
  });

  it("says so in Koa: sessionMiddleware", async () => {
    const app = new Koa().use(uncalled(ofKoa.sessionMiddleware));
    const error = new Promise<string>((resolve) => app.on("error", ({ message }: Error) => resolve(message)));
    await answerOf(createServer((req, res) => void app.callback()(req, res)));
    expect(await error).toContain("sessionMiddleware must be called: mount app.use(sessionMiddleware(sessions))");
  });

  it("says so in Fastify: requireUser", async () => {
    const app = Fastify();
    await app.register(ofFastify.sessionPlugin(sessions));
    app.get("/", { preHandler: uncalled(ofFastify.requireUser) }, () => "never");
    expect((await app.inject("/")).json().message).toBe("requireUser must be called: requireUser()");
  });

  it("says so where the sessions are the second argument of Fastify's register: sessionPlugin", () => {
    const plugin = uncalled(ofFastify.sessionPlugin) as (...given: unknown[]) => unknown;
    expect(() => plugin(Fastify(), sessions, () => undefined)).toThrow(
      "sessionPlugin must be called: register app.register(sessionPlugin(sessions))",
    );
  });

  it("says so for a Request: withSession of sojourn/fetch", () => {
    const serve = uncalled(ofFetch.withSession) as (request: Request) => unknown;
    expect(() => serve(new Request("http://localhost/"))).toThrow("withSession must be called: wrap the handler");
  });
});

describe("app.register of Fastify", () => {
  const { sessions } = site();
  const register = async (options: object) => {
    await Fastify().register(ofFastify.sessionPlugin(sessions), options);
  };

  it.each([
    ["csrf", { csrf: csrfProtection() }],
    ["lazy", { prefix: "/shop", lazy: true }],
    ["secret", { secret: "x" }],
  ])("refuses an option that it does not pass on: %s", async (name, options) => {
    await expect(register(options)).rejects.toThrow(
      `app.register does not pass "${name}" on: write app.register(sessionPlugin(sessions, { ${name} }))`,
    );
  });

  it("takes the options that Fastify reads itself", async () => {
    await expect(register({ prefix: "/shop", logLevel: "warn", logSerializers: {} })).resolves.toBeUndefined();
  });
});
