import express from "express";
import Fastify, { type FastifyRequest } from "fastify";
import { Hono } from "hono";
import { createSessions, type Session, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { withSession as onNode } from "sojourn/node";
import { describe, expect, expectTypeOf, it } from "vitest";
import { SECRET_KEY } from "../support/http/servers.ts";

interface Data {
  username: string;
  visits: number;
  cart?: { items: string[] };
}

const sessions = createSessions<Data>({ secretKey: SECRET_KEY, store: memoryStore() });

// The compiler checks the types. Running the code only shows that it is valid.
describe("the types of a session", () => {
  it("know each key's type, and that any may be missing", async () => {
    const session = await sessions.open(new Request("http://localhost/"));
    expectTypeOf(session).toEqualTypeOf<Session<Data>>();
    expectTypeOf(session.data.username).toEqualTypeOf<string | undefined>();
    expectTypeOf(session.data.cart).toEqualTypeOf<{ items: string[] } | undefined>();
    expectTypeOf(session.pop("username")).toEqualTypeOf<string | undefined>();
    expectTypeOf(session.pop("username", null)).toEqualTypeOf<string | null>();
    expectTypeOf(session.pop("cart", undefined)).toEqualTypeOf<{ items: string[] } | undefined>();
    expectTypeOf(session.update("visits", (visits = 0) => visits + 1)).toEqualTypeOf<number>();
    // @ts-expect-error -- there is no such key
    session.data.unknown = 1;
    // @ts-expect-error -- it is a string
    session.data.username = 1;
    // @ts-expect-error -- there is no such key
    session.pop("unknown");
    // @ts-expect-error -- it is a number
    session.update("visits", () => "many");
    // @ts-expect-error -- the data can be changed, not replaced
    expect(() => (session.data = {})).toThrow(TypeError);
    expect(session.data).toEqual({ visits: "many", username: 1 });
  });

  it("are those of an unknown dictionary by default", async () => {
    const plain = createSessions({ secretKey: SECRET_KEY, store: memoryStore() });
    expectTypeOf(plain).toEqualTypeOf<Sessions<Record<string, unknown>>>();
    const session = await plain.open(new Request("http://localhost/"));
    expectTypeOf(session.data.anything).toEqualTypeOf<unknown>();
    expect(session.isNew).toBe(true);
  });

  it("reach the handlers of fetch, node:http and Hono", async () => {
    const handle = onFetch(sessions, (_request, session, env: { region: string }) => {
      expectTypeOf(session).toEqualTypeOf<Session<Data>>();
      return new Response(env.region);
    });
    expectTypeOf(handle).parameters.toEqualTypeOf<[Request, { region: string }]>();
    expect(await (await handle(new Request("http://localhost/"), { region: "eu" })).text()).toBe("eu");

    const app = new Hono().use(onHono(sessions)).get("/", (c) => {
      expectTypeOf(c.var.session).toEqualTypeOf<Session<Data>>();
      expectTypeOf(c.get("session").data.visits).toEqualTypeOf<number | undefined>();
      return c.text("typed");
    });
    expect(await (await app.request("/")).text()).toBe("typed");

    onNode(sessions, (_req, res, session) => {
      expectTypeOf(session).toEqualTypeOf<Session<Data>>();
      res.end();
    });
  });

  it("are given by sessions.of in Express and Fastify", async () => {
    const app = express().use(onExpress(sessions, { lazy: (req) => req.url === "/robots.txt" }));
    app.get("/", (req, res) => {
      expectTypeOf(req.session).toEqualTypeOf<Session>();
      expectTypeOf(sessions.of(req)).toEqualTypeOf<Session<Data>>();
      res.end();
    });

    const fastify = Fastify();
    await fastify.register(onFastify(sessions, { lazy: (request: FastifyRequest) => request.url === "/" }));
    fastify.get("/", (request) => {
      expectTypeOf(request.session).toEqualTypeOf<Session>();
      expectTypeOf(sessions.of(request)).toEqualTypeOf<Session<Data>>();
      return sessions.of(request) === (request.session as unknown);
    });
    expect((await fastify.inject("/")).body).toBe("true");
    await fastify.close();
  });

  it("refuse unknown options, as the code does at run time", () => {
    // @ts-expect-error -- it is called lazy
    expect(() => onExpress(sessions, { lazily: true })).toThrow('no option "lazily": did you mean "lazy"?');
    // @ts-expect-error -- it is called lazy
    expect(() => onHono(sessions, { lazily: true })).toThrow(TypeError);
    // @ts-expect-error -- it is called lazy
    expect(() => onFastify(sessions, { lazily: true })).toThrow(TypeError);
  });
});
