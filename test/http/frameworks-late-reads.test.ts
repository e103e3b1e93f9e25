import express from "express";
import Fastify from "fastify";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { TARGETED } from "../support/http/application.ts";
import { ask } from "../support/http/client.ts";
import { originFor, originOf, SECRET_KEY, serve, ways } from "../support/http/servers.ts";
import { createGate } from "../support/http/stage.ts";

const HOUR = 3_600_000;

describe.each(ways)("sojourn for $name and a session that is first read while the body streams", (way) => {
  // The first byte was written, and waits for the store together with the headers, so these can still be changed.
  it.runIf(way.detectsLateChanges)("is in time while the response is delayed", async () => {
    const { signedIn, clock, holds } = await serve(way);
    const client = await signedIn();
    clock.ahead = HOUR;
    const gate = createGate();
    holds.touch = gate;
    const asking = client.get("/late-look");
    await gate.reached;
    gate.open();
    const answer = await asking;
    expect([answer.body, answer.headers.vary, answer.headers["cache-control"]]).toEqual([
      "begun\nada",
      "Cookie",
      "private",
    ]);
  });
});

describe.each(ways)("sojourn for $name and what is said to one kind of cache", (way) => {
  it("also forbids storing if the response has a cookie", async () => {
    const { visitor } = await serve(way);
    const { headers, setCookies } = await visitor().get("/targeted?write");
    expect(setCookies).toHaveLength(1);
    for (const [name] of TARGETED)
      expect([name, headers[name]]).toEqual([name, name === "x-accel-expires" ? "0" : "no-store"]);
    expect(headers["cache-control"]).toBe("no-store");
  });

  it("keeps the application's Cache-Control if the response has no cookie", async () => {
    const { signedIn } = await serve(way);
    const { headers } = await (await signedIn()).get("/targeted");
    for (const [name, value] of TARGETED) expect([name, headers[name]]).toEqual([name, value]);
    expect([headers.vary, headers["cache-control"]]).toEqual(["Cookie", "private"]);
  });

  it("also forbids storing if the session could not be stored", async () => {
    const { visitor, faults } = await serve(way);
    faults.create = "error";
    const { status, headers } = await visitor().get("/targeted?write");
    expect([status, headers["cache-control"]]).toEqual([503, "no-store"]);
    for (const [name] of TARGETED) expect(headers[name] ?? "no-store").toMatch(/^(no-store|0)$/);
  });
});

describe("sojourn and a session that is first read after the response", () => {
  const newSessions = () => createSessions({ secretKey: SECRET_KEY, store: memoryStore() });

  it.each(["finish", "close"] as const)("lets Express' log see who it was, at %s", async (event) => {
    const seen: unknown[] = [];
    let log!: () => void;
    const logged = new Promise<void>((resolve) => (log = resolve));
    const app = express().use(onExpress(newSessions()));
    app.get("/", (req, res) => {
      res.on(event, () => {
        seen.push(req.session.isNew);
        log();
      });
      res.send("hello");
      seen.push(req.session.isNew);
    });
    expect(await ask(await originFor(app))).toMatchObject({ body: "hello", status: 200 });
    await logged;
    expect(seen).toEqual([true, true]);
  });

  it("lets Fastify's onResponse hook read the user", async () => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(onFastify(newSessions()));
    let log!: (isNew: boolean) => void;
    const logged = new Promise<boolean>((resolve) => (log = resolve));
    app.addHook("onResponse", (request, _reply, done) => {
      log(request.session.isNew);
      done();
    });
    app.get("/", () => "hello");
    await app.listen({ port: 0, host: "127.0.0.1" });
    expect((await ask(originOf(app.server))).body).toBe("hello");
    expect(await logged).toBe(true);
  });

  it("throws in a hijacked reply of Fastify, whose headers were sent without Sojourn", async () => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(onFastify(newSessions()));
    let outcome: unknown;
    app.get("/", (request, reply) => {
      reply.hijack();
      reply.raw.write("begun\n");
      try {
        outcome = request.session.userId;
      } catch (error) {
        outcome = error;
      }
      reply.raw.end("done");
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    expect((await ask(originOf(app.server))).body).toBe("begun\ndone");
    expect(outcome).toMatchObject({ code: "ERR_SESSION_HEADERS_SENT" });
  });

  it("sends the caching headers of an event stream that attached to its session", async () => {
    const sessions = newSessions();
    const app = express().use(onExpress(sessions));
    app.get("/events", (req, res, next) => {
      const stream = (session: Session) => {
        res.type("text/event-stream").write("data: hello\n\n");
        res.end(`data: ${session.userId}\n\n`);
      };
      sessions.attach(req).then(stream, next);
    });
    const answer = await ask(`${await originFor(app)}/events`);
    expect([answer.status, answer.headers.vary]).toEqual([200, "Cookie"]);
  });
});
