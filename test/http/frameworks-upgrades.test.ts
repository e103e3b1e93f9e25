import { once } from "node:events";
import type { Server } from "node:http";
import { serve, upgradeWebSocket } from "@hono/node-server";
import { Hono } from "hono";
import { createSessions, type Session, type Sessions } from "sojourn";
import { sessionMiddleware } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { originOf, SECRET_KEY } from "../support/http/servers.ts";

type Dictionary = Record<string, unknown>;
type Prepare = (session: Session<Dictionary>, sessions: Sessions<Dictionary>, request: Request) => unknown;
type Message = (session: Session<Dictionary>) => unknown;

/** A server that closes waits for them. */
const sockets: WebSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});

/** A WebSocket of a browser that Ada has signed in on, to a Hono application. */
async function connected({ prepare, onMessage }: { prepare?: Prepare; onMessage?: Message } = {}) {
  const sessions = createSessions<Dictionary>({ secretKey: SECRET_KEY, store: memoryStore() });
  const first = await sessions.open(new Request("http://localhost/"));
  first.signIn("ada");
  const cookie = (await sessions.commit(first, new Response())).headers.getSetCookie()[0]!.split(";")[0]!;
  const dropped = new Promise<string>((resolve) => sessions.on("dropped", ({ reason }) => resolve(reason)));
  const userOf = async (jar: string) =>
    (await sessions.open(new Request("http://localhost/", { headers: { cookie: jar } }))).userId;

  const app = new Hono().use(sessionMiddleware(sessions));
  let opened!: (session: Session<Dictionary>) => void;
  const opening = new Promise<Session<Dictionary>>((resolve) => (opened = resolve));
  app.get(
    "/socket",
    async (c, next) => {
      const { session } = c.var as unknown as { session: Session<Dictionary> };
      await prepare?.(session, sessions, c.req.raw);
      await next();
    },
    upgradeWebSocket((c) => {
      const { session } = c.var as unknown as { session: Session<Dictionary> };
      return { onOpen: () => opened(session), onMessage: () => void onMessage?.(session) };
    }),
  );
  const websocket = { server: new WebSocketServer({ noServer: true }) as never };
  const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1", websocket }) as Server;
  await once(server, "listening");
  const origin = originOf(server);
  const socket = new WebSocket(`${origin.replace("http", "ws")}/socket`, { headers: { cookie, origin } });
  let setCookies: string[] = [];
  socket.on("upgrade", (response) => (setCookies = response.headers["set-cookie"] ?? []));
  sockets.push(socket);
  await once(socket, "open");
  return { sessions, session: await opening, socket, cookie, setCookies, dropped, userOf };
}

describe("sojourn for Hono and upgradeWebSocket", () => {
  it("sends the new cookie with the upgrade if the handler signs in", async () => {
    const { cookie, setCookies, userOf } = await connected({ prepare: (session) => session.signIn("eve") });
    expect(await userOf(cookie)).toBeUndefined();
    expect(await userOf(setCookies[0]!.split(";")[0]!)).toBe("eve");
  });

  it("reports a change in a message", async () => {
    const { socket, dropped } = await connected({
      prepare: (session) => session.userId,
      onMessage: (session) => (session.data["late"] = 1),
    });
    socket.send("hello");
    expect(await dropped).toBe("late");
  });

  it("keeps the signal of an attached session until the session ends", async () => {
    const { sessions, session } = await connected({
      prepare: async (_session, all, request) => (await all.attach(request)).signal,
    });
    const { signal } = session;
    await sessions.revoke(session.id);
    if (!signal.aborted) await once(signal, "abort");
    expect(signal.aborted).toBe(true);
  });

  it("refuses to sign in on an attached session, and keeps the browser's token", async () => {
    const { session, cookie, setCookies, userOf } = await connected({
      prepare: (_session, all, request) => all.attach(request),
    });
    expect(() => session.signIn("eve")).toThrow("This connection can't sign in, since it sets no cookie");
    session.data["saved"] = 1;
    await session.save();
    expect(setCookies).toEqual([]);
    expect(await userOf(cookie)).toBe("ada");
  });

  it("reports what an attached session has not saved when its connection closes", async () => {
    const { socket, session, dropped } = await connected({
      prepare: (_session, all, request) => all.attach(request),
    });
    session.data["late"] = 1;
    socket.close();
    expect(await dropped).toBe("late");
  });
});
