import { createServer as createHttp2Server, connect } from "node:http2";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { serve as serveHono } from "@hono/node-server";
import express from "express";
import Fastify, { type FastifyInstance } from "fastify";
import { Hono } from "hono";
import { streamSSE, streamText } from "hono/streaming";
import { createSessions, type Session, type Sessions } from "sojourn";
import { sessionMiddleware as onExpress } from "sojourn/express";
import { sessionPlugin } from "sojourn/fastify";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { withSession } from "sojourn/node";
import { withSession as onFetch } from "sojourn/fetch";
import { describe, expect, it, vi } from "vitest";
import { originFor, originOf, SECRET_KEY } from "../support/http/servers.ts";

type Dictionary = Record<string, unknown>;

/** Sessions with one of Ada's, and what becomes of it. */
async function signedIn() {
  const store = memoryStore();
  const sessions = createSessions<Dictionary>({ secretKey: SECRET_KEY, store });
  const open = (headers: Record<string, string> = {}) => sessions.open(new Request("http://localhost/", { headers }));
  const first = await open();
  first.signIn("ada");
  first.data["cart"] = { items: ["tea"] };
  const response = await sessions.commit(first, new Response());
  const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
  const dropped = new Promise<string>((resolve) => sessions.on("dropped", ({ reason }) => resolve(reason)));
  const data = async () => ({ ...(await open({ cookie })).data });
  return { sessions, cookie, dropped, data };
}

const change = (session: Session<Dictionary>): void => void (session.data["late"] = 1);

describe("sojourn for Express and a change after res.send", () => {
  type Late = (session: Session<Dictionary>, res: express.Response) => unknown;
  const cases: [string, Late][] = [
    ["at once", change],
    ["in a listener for finish", (session, res) => res.on("finish", () => change(session))],
    ["in a later turn", (session) => setImmediate(() => change(session))],
    ["by update", (session) => setImmediate(() => session.update("late", () => 1))],
    ["by flash", (session) => setImmediate(() => session.flash("info", "late"))],
    ["in place", (session) => setImmediate(() => (session.data["cart"] as { items: string[] }).items.push("milk"))],
  ];

  it.each(cases)("reports it: %s", async (_name, late) => {
    const { sessions, cookie, dropped, data } = await signedIn();
    const app = express().use(onExpress(sessions));
    app.get("/", (req, res) => {
      expect(req.session.userId).toBe("ada");
      res.send("done");
      late(req.session, res);
    });
    expect((await fetch(await originFor(app), { headers: { cookie } })).status).toBe(200);
    expect(await dropped).toBe("late");
    expect(await data()).toEqual({ cart: { items: ["tea"] } });
  });

  it("reports it through data and objects that the handler keeps", async () => {
    const { sessions, cookie, dropped } = await signedIn();
    const app = express().use(onExpress(sessions));
    app.get("/", (req, res) => {
      const { cart } = req.session.data as unknown as { cart: { items: string[] } };
      res.send("done");
      setImmediate(() => cart.items.push("milk"));
    });
    await fetch(await originFor(app), { headers: { cookie } });
    expect(await dropped).toBe("late");
  });
});

describe("sojourn for node:http and HTTP/2", () => {
  it("stores a change after the client of a stream has gone away", async () => {
    const { sessions, cookie, data } = await signedIn();
    const server = createHttp2Server();
    const handler = withSession<Dictionary>(sessions, (_req, res, session) => {
      expect(session.userId).toBe("ada");
      res.write("begun");
      res.once("close", () => change(session));
    });
    server.on("request", handler as never);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = client.request({ cookie });
    await once(stream, "data");
    stream.close(8);
    await vi.waitFor(async () => expect(await data()).toMatchObject({ late: 1 }), { timeout: 30_000 });
    client.destroy();
    server.close();
  });
});

describe("sojourn for Fastify", () => {
  async function answer(
    sessions: Sessions<Dictionary>,
    cookie: string,
    prepare: (app: FastifyInstance) => void,
  ): Promise<Response> {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(sessionPlugin(sessions));
    prepare(app);
    await app.listen({ port: 0, host: "127.0.0.1" });
    return fetch(`${originOf(app.server)}/`, { headers: { cookie } });
  }

  it("reports a change in an onResponse hook", async () => {
    const { sessions, cookie, dropped } = await signedIn();
    const response = await answer(sessions, cookie, (app) => {
      app.addHook("onResponse", async (request) => change(request.session));
      app.get("/", (request) => request.session.userId);
    });
    expect(await response.text()).toBe("ada");
    expect(await dropped).toBe("late");
  });

  it("stores what a hijacked reply has changed before its first byte", async () => {
    const { sessions, cookie, data } = await signedIn();
    const response = await answer(sessions, cookie, (app) => {
      app.get("/", (request, reply) => {
        change(request.session);
        reply.hijack();
        reply.raw.end("hijacked");
      });
    });
    expect(await response.text()).toBe("hijacked");
    expect(await data()).toMatchObject({ late: 1 });
  });

  it("signs out in a hijacked reply, and clears the cookie", async () => {
    const { sessions, cookie, data } = await signedIn();
    const response = await answer(sessions, cookie, (app) => {
      app.get("/", (request, reply) => {
        reply.hijack();
        request.session.signOut();
        reply.raw.writeHead(200, { "content-type": "text/plain" }).end("bye");
      });
    });
    expect(response.headers.getSetCookie()[0]).toMatch(/Max-Age=0/);
    expect(await data()).toEqual({});
  });

  it.each([
    ["a Readable", (steps: AsyncIterable<string>) => Readable.from(steps)],
    ["a web stream", (steps: AsyncIterable<string>) => Readable.toWeb(Readable.from(steps))],
    ["a Response", (steps: AsyncIterable<string>) => new Response(Readable.toWeb(Readable.from(steps)) as never)],
  ])("stores a change while %s is sent", async (_name, wrap) => {
    const { sessions, cookie, data } = await signedIn();
    const response = await answer(sessions, cookie, (app) => {
      app.get("/", (request, reply) => {
        expect(request.session.userId).toBe("ada");
        async function* steps() {
          yield "begun\n";
          await turn();
          change(request.session);
          yield "done\n";
        }
        return reply.send(wrap(steps()));
      });
    });
    expect(await response.text()).toBe("begun\ndone\n");
    expect(await data()).toMatchObject({ late: 1 });
  });
});

describe("sojourn for Hono", () => {
  async function originOfHono(app: Hono<never>): Promise<string> {
    const server = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
    await once(server, "listening");
    return originOf(server);
  }

  it.each(["streamText", "streamSSE"])("stores a change during %s", async (name) => {
    const { sessions, cookie, data } = await signedIn();
    const app = new Hono().use(onHono(sessions));
    app.get("/", (c) => {
      const { session } = c.var as unknown as { session: Session<Dictionary> };
      expect(session.userId).toBe("ada");
      const write = async (stream: { write(text: string): Promise<unknown> }) => {
        await stream.write("begun\n");
        change(session);
      };
      return name === "streamSSE" ? streamSSE(c, write) : streamText(c, write);
    });
    const response = await fetch(await originOfHono(app as never), { headers: { cookie } });
    expect(await response.text()).toBe("begun\n");
    expect(await data()).toMatchObject({ late: 1 });
  });

  it.each([
    [
      "under node:http",
      (app: Hono<never>) => originOfHono(app).then((origin) => (init: RequestInit) => fetch(origin, init)),
    ],
    ["elsewhere", (app: Hono<never>) => async (init: RequestInit) => app.fetch(new Request("http://localhost/", init))],
  ])("reports a change in app.onError after a failed commit, and behind the response: %s", async (_name, start) => {
    const { sessions, cookie, dropped } = await signedIn();
    const app = new Hono().use(onHono(sessions));
    app.get("/", (c) => {
      (c.var as unknown as { session: Session<Dictionary> }).session.data["never"] = () => 1;
      return c.text("done");
    });
    app.onError((_error, c) => {
      const { session } = c.var as unknown as { session: Session<Dictionary> };
      delete session.data["never"];
      change(session);
      return c.text("failed", 500);
    });
    const ask = await start(app as never);
    expect((await ask({ headers: { cookie } })).status).toBe(500);
    expect(await dropped).toBe("late");
  });
});

describe("sojourn for fetch", () => {
  it("reports a change in the background after a response for a failed commit", async () => {
    const { sessions, cookie, dropped } = await signedIn();
    const handler = onFetch<Dictionary>(
      sessions,
      (_request, session) => {
        session.data["cart"] = "x".repeat(1e7);
        void turn().then(async () => {
          await turn();
          await turn();
          change(session);
        });
        return new Response("done");
      },
      { onError: (error) => error.getResponse() },
    );
    const response = await handler(new Request("http://localhost/", { headers: { cookie } }));
    expect([response.status, await response.text()]).toEqual([413, expect.any(String)]);
    expect(await dropped).toBe("late");
  });

  it.each(["HEAD", "GET"])("reports a change in the background after the response to %s", async (method) => {
    const { sessions, cookie, dropped } = await signedIn();
    let answered!: () => void;
    const waiting = new Promise<void>((resolve) => (answered = resolve));
    const handler = onFetch<Dictionary>(sessions, (_request, session) => {
      expect(session.userId).toBe("ada");
      void waiting.then(() => change(session));
      return new Response("done");
    });
    const response = await handler(new Request("http://localhost/", { method, headers: { cookie } }));
    await response.text();
    answered();
    expect(await dropped).toBe("late");
  });

  it("reports a change after the client has cancelled a stream", async () => {
    const { sessions, cookie, dropped } = await signedIn();
    let cancelled!: () => void;
    const waiting = new Promise<void>((resolve) => (cancelled = resolve));
    const handler = onFetch<Dictionary>(sessions, (_request, session) => {
      expect(session.userId).toBe("ada");
      void waiting.then(() => change(session));
      return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1)) }));
    });
    const response = await handler(new Request("http://localhost/", { headers: { cookie } }));
    await response.body!.cancel();
    cancelled();
    expect(await dropped).toBe("late");
  });
});

describe("a connection that an upgrade has begun", () => {
  it("reports what nobody has saved when it closes, and refuses to sign in", async () => {
    const { sessions, cookie, dropped } = await signedIn();
    const server = createServer();
    let refused: unknown;
    server.on("upgrade", (req, socket) => {
      void sessions.attach(req, { origins: ["http://shop.example"] }).then((session) => {
        try {
          session.signIn("eve");
        } catch (error) {
          refused = (error as { code?: string }).code;
        }
        change(session);
        socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { request } = await import("node:http");
    const headers = { cookie, connection: "Upgrade", upgrade: "websocket", origin: "http://shop.example" };
    request(originOf(server), { headers })
      .on("upgrade", (_response, socket) => socket.end())
      .end();
    expect(await dropped).toBe("late");
    expect(refused).toBe("ERR_SESSION_HEADERS_SENT");
  });
});
