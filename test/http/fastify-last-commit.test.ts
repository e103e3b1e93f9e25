import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import Fastify, { type FastifyInstance } from "fastify";
import { createSessions, type Session, type SessionsOptions } from "sojourn";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { cookieFor, faulty } from "sojourn/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ask } from "../support/http/client.ts";
import { originOf, SECRET_KEY } from "../support/http/servers.ts";

// Headers that have not left can still carry the session: whatever uses it until then is stored before.

afterEach(() => void vi.restoreAllMocks());

/** An application, Ada's cookie there, and whether the store fails from then on. */
async function application(prepare: (app: FastifyInstance) => unknown, options: Partial<SessionsOptions> = {}) {
  vi.spyOn(console, "error").mockReturnValue();
  let isDown = false;
  const fate = () => (isDown ? "error" : "ok");
  const store = faulty(memoryStore(), { update: fate, delete: fate });
  const sessions = createSessions({ secretKey: SECRET_KEY, ...options, store });
  const dropped: string[] = [];
  sessions.on("dropped", ({ reason }) => dropped.push(reason));
  const app = Fastify({ forceCloseConnections: true });
  await app.register(sessionPlugin(sessions));
  await prepare(app);
  await app.listen({ port: 0, host: "127.0.0.1" });
  const origin = originOf(app.server);
  const open = (headers: Record<string, string>) => sessions.open(new Request("http://localhost/", { headers }));
  const cookie = await cookieFor(sessions, "ada");
  return {
    dropped,
    get: (path = "/", given: string | undefined = cookie) => ask(origin + path, { cookie: given }),
    session: () => open({ cookie }),
    fail: () => void (isDown = true),
  };
}

const change = (session: Session): void => void (session.data.late = 1);
const hook = async (request: { session: Session }) => change(request.session);
const user = (request: { session: Session }) => request.session.userId ?? "anonymous";

describe("sojourn for Fastify and a session that is changed in an onSend hook which runs after its own", () => {
  const places: [string, (app: FastifyInstance) => unknown, path?: string][] = [
    ["of the instance", (app) => app.addHook("onSend", hook).get("/", user)],
    ["of the route", (app) => app.get("/", { onSend: hook }, user)],
    ["that is added after the route", (app) => app.get("/", user).addHook("onSend", hook)],
    ["of a child instance", (app) => app.register(async (child) => child.addHook("onSend", hook).get("/", user))],
    ["of a page that is not found", (app) => app.addHook("onSend", hook), "/nowhere"],
    [
      "of an error's response",
      (app) =>
        app.addHook("onSend", hook).get("/", async () => {
          throw new Error("the application's mistake");
        }),
    ],
    [
      "of a streamed response",
      (app) => app.get("/", { onSend: hook }, async (_request, reply) => reply.send(Readable.from(["a", "b"]))),
    ],
    [
      "of a handler that has changed it, too",
      (app) =>
        app.get("/", { onSend: hook }, async ({ session }) => {
          session.data.early = 1;
          return "changed";
        }),
    ],
  ];

  it.each(places)("stores it before the response: %s", async (_, prepare, path) => {
    const { get, session, dropped } = await application(prepare);
    const answer = await get(path);
    expect((await session()).data.late).toBe(1);
    expect(answer.complete).toBe(true);
    expect(answer.headers).toMatchObject({ vary: expect.stringMatching(/cookie/i), "cache-control": "private" });
    expect(dropped).toEqual([]);
  });

  it.each(places)("answers 503 if it can't be stored: %s", async (_, prepare, path) => {
    const { get, session, fail } = await application(prepare);
    fail();
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 503, complete: true, headers: { "cache-control": "no-store" } });
    expect((await session()).data.late).toBeUndefined();
  });

  it("signs out, and clears the cookie that the commit before has set", async () => {
    const { get } = await application((app) =>
      app.get("/", { onSend: async ({ session }) => session.signOut() }, async ({ session }) => {
        session.rotate();
        return "rotated";
      }),
    );
    const { setCookies, body } = await get();
    expect(body).toBe("rotated");
    expect(setCookies).toEqual([expect.stringContaining("Max-Age=0")]);
  });

  it("signs in a visitor", async () => {
    const { get } = await application((app) =>
      app.get("/", { onSend: async ({ session }) => session.signIn("eve") }, async () => "welcome").get("/user", user),
    );
    const { setCookies } = await get("/", "");
    expect(setCookies).toHaveLength(1);
    expect((await get("/user", setCookies[0]!.split(";")[0])).body).toBe("eve");
  });

  it("keeps the length of a streamed response, of which the last byte waits", async () => {
    const { get, session } = await application((app) =>
      app.get("/", { onSend: hook }, async (request, reply) => {
        async function* body() {
          yield "begun ";
          yield "done";
          request.session.data.last = 1;
        }
        return reply.header("content-length", "10").send(Readable.from(body()));
      }),
    );
    expect(await get()).toMatchObject({ complete: true, body: "begun done" });
    expect((await session()).data).toMatchObject({ late: 1, last: 1 });
  });
});

describe("sojourn for Fastify and a handler that writes to reply.raw without hijacking the reply", () => {
  const writers: [string, (raw: ServerResponse) => unknown][] = [
    ["end", (raw) => raw.end("raw")],
    [
      "write and end",
      (raw) => {
        raw.write("r");
        raw.end("aw");
      },
    ],
    ["writeHead with a length", (raw) => raw.writeHead(200, { "content-length": 3 }).end("raw")],
    [
      "flushHeaders",
      (raw) => {
        raw.flushHeaders();
        raw.end("raw");
      },
    ],
  ];

  it.each(writers)("stores what it has changed before the first byte: %s", async (_, write) => {
    const { get, session, dropped } = await application((app) =>
      app.get("/", (request, reply) => {
        change(request.session);
        write(reply.raw);
      }),
    );
    expect(await get()).toMatchObject({
      body: "raw",
      complete: true,
      headers: { vary: "Cookie", "cache-control": "private" },
    });
    expect((await session()).data.late).toBe(1);
    expect(dropped).toEqual([]);
  });

  it.each(writers)("answers 503 if that can't be stored: %s", async (_, write) => {
    const { get, fail } = await application((app) =>
      app.get("/", (request, reply) => {
        change(request.session);
        reply.raw.setHeader("content-length", 3);
        write(reply.raw);
      }),
    );
    fail();
    const answer = await get();
    expect(answer).toMatchObject({ status: 503, complete: true, headers: { "cache-control": "no-store" } });
    expect(answer.body).not.toContain("raw");
  });

  it("signs out and clears the cookie", async () => {
    const { get, session } = await application((app) =>
      app.get("/", (request, reply) => {
        request.session.signOut();
        reply.raw.end("bye");
      }),
    );
    expect((await get()).setCookies).toEqual([expect.stringContaining("Max-Age=0")]);
    expect((await session()).userId).toBeUndefined();
  });

  it("tells caches of a session that was only read, and nothing of one that was not used", async () => {
    const { get } = await application((app) => {
      app.get("/read", (request, reply) => void reply.raw.end(request.session.userId));
      app.get("/unused", (_request, reply) => void reply.raw.end("raw"));
    });
    expect((await get("/read")).headers).toMatchObject({ vary: "Cookie", "cache-control": "private" });
    expect((await get("/unused")).headers).not.toHaveProperty("vary");
  });
});
