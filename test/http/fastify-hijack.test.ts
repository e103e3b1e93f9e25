import { once } from "node:events";
import Fastify, { type FastifyInstance } from "fastify";
import { createSessions } from "sojourn";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { cookieFor } from "sojourn/testing";
import { describe, expect, it } from "vitest";
import { ask } from "../support/http/client.ts";
import { originOf, SECRET_KEY } from "../support/http/servers.ts";

const HOUR = 3_600_000;

/** An application whose sessions last for an hour since the last request, and Ada's cookie there. */
async function application(prepare: (app: FastifyInstance, plugin: ReturnType<typeof sessionPlugin>) => unknown) {
  let now = 0;
  const clock = () => now;
  const store = memoryStore({ clock });
  const sessions = createSessions({ secretKey: SECRET_KEY, store, idleTimeout: "1h", clock });
  const app = Fastify({ forceCloseConnections: true });
  await prepare(app, sessionPlugin(sessions));
  await app.listen({ port: 0, host: "127.0.0.1" });
  const origin = originOf(app.server);
  const open = (headers: Record<string, string>) => sessions.open(new Request("http://localhost/", { headers }));
  const cookie = await cookieFor(sessions, "ada");
  return {
    pass: (milliseconds: number) => void (now += milliseconds),
    get: () => ask(`${origin}/`, { cookie }),
    userId: async () => (await open({ cookie })).userId,
  };
}

describe("sojourn for Fastify and a hijacked reply", () => {
  it("extends the session though the handler does not use it", async () => {
    const { get, pass, userId } = await application(async (app, plugin) => {
      await app.register(plugin);
      app.get("/", (_request, reply) => void reply.hijack().raw.end("raw"));
    });
    pass(0.75 * HOUR);
    expect((await get()).body).toBe("raw");
    pass(0.75 * HOUR);
    expect(await userId()).toBe("ada");
  });

  it("does so in a nested instance that has replies of its own", async () => {
    const { get, pass, userId } = await application(async (app, plugin) => {
      await app.register(plugin);
      await app.register(async (nested) => {
        nested.decorateReply("answer", "raw");
        nested.get(
          "/",
          (_request, reply) => void reply.hijack().raw.end((reply as unknown as { answer: string }).answer),
        );
      });
    });
    pass(0.75 * HOUR);
    expect((await get()).body).toBe("raw");
    pass(0.75 * HOUR);
    expect(await userId()).toBe("ada");
  });

  it("leaves a reply alone that was hijacked before the plugin's hook", async () => {
    const { get } = await application(async (app, plugin) => {
      app.addHook("onRequest", (_request, reply) => void reply.hijack().raw.end("early"));
      await app.register(plugin);
      app.get("/", () => "late");
    });
    expect(await get()).toMatchObject({ body: "early", setCookies: [] });
  });

  it("keeps no method in each reply, which would keep requests in memory until a major garbage collection", async () => {
    let ownMethods: string[] | undefined;
    const { get } = await application(async (app, plugin) => {
      const bare = Fastify();
      bare.get("/", (_request, reply) => void reply.send(methodsOf(reply)));
      const before = (await bare.inject("/")).json<string[]>();
      await app.register(plugin);
      app.get("/", (_request, reply) => {
        ownMethods = methodsOf(reply).filter((name) => !before.includes(name));
        return "hello";
      });
    });
    expect((await get()).body).toBe("hello");
    expect(ownMethods).toEqual([]);
  });

  it("says that the reply is sent, as Fastify's own method does", async () => {
    let sent: boolean | undefined;
    const { get } = await application(async (app, plugin) => {
      await app.register(plugin);
      app.get("/", async (_request, reply) => {
        sent = reply.hijack().sent;
        reply.raw.end("raw");
        await once(reply.raw, "finish");
      });
    });
    expect((await get()).body).toBe("raw");
    expect(sent).toBe(true);
  });
});

function methodsOf(reply: object): string[] {
  return Object.entries(reply).flatMap(([name, value]) => (typeof value === "function" ? [name] : []));
}
