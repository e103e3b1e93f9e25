import { request, type ServerResponse } from "node:http";
import express from "express";
import Fastify from "fastify";
import { createSessions, type Session } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { withSession } from "sojourn/node";
import { describe, expect, it } from "vitest";
import { createGate } from "../support/http/stage.ts";
import { originFor, originOf, SECRET_KEY } from "../support/http/servers.ts";

type Handler = (res: ServerResponse, session: Session) => Promise<void>;

const servers: [string, (handler: Handler, sessions: ReturnType<typeof create>) => Promise<string>][] = [
  ["node:http", (handler, sessions) => originFor(withSession(sessions, (_req, res, session) => handler(res, session)))],
  [
    "Express 5",
    (handler, sessions) =>
      originFor(express().use(sessionMiddleware(sessions), (req, res) => void handler(res, req.session))),
  ],
  [
    "Fastify 5",
    async (handler, sessions) => {
      const app = Fastify({ forceCloseConnections: true });
      await app.register(sessionPlugin(sessions));
      app.get("/", (incoming, reply) => void handler(reply.raw, incoming.session));
      await app.listen({ port: 0, host: "127.0.0.1" });
      return originOf(app.server);
    },
  ],
];

const create = () => createSessions({ secretKey: SECRET_KEY, store: memoryStore() });

describe.each(servers)("sojourn for %s and an informational response", (_, serve) => {
  it.each<[number, (res: ServerResponse) => void]>([
    [100, (res) => res.writeContinue()],
    [102, (res) => res.writeProcessing()],
    [103, (res) => res.writeEarlyHints({ link: "</style.css>; rel=preload" })],
  ])("lets the handler sign in after it: %i", async (status, inform) => {
    const sessions = create();
    const informed = createGate();
    const origin = await serve(async (res, session) => {
      expect(session.userId).toBeUndefined();
      inform(res);
      await informed.pass();
      session.signIn("ada");
      res.end("signed in");
    }, sessions);
    const asking = request(`${origin}/`, { agent: false });
    asking.on(status === 100 ? "continue" : "information", () => informed.open());
    const cookies = await new Promise<string[]>((resolve, reject) => {
      asking.on("response", (response) => resolve(response.resume().headers["set-cookie"] ?? []));
      asking.on("error", reject).end();
    });
    expect(cookies).toHaveLength(1);
    const headers = { cookie: cookies[0]!.split(";")[0]! };
    expect((await sessions.open(new Request(`${origin}/`, { headers }))).userId).toBe("ada");
  });
});
