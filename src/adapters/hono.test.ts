import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { sessionMiddleware } from "./hono.ts";

const sessions = createSessions({
  secretKey: "kuDEP9ZgV5mS3yB1xHc7Qa0RtLwYfJ2n",
  store: memoryStore(),
});

describe("sessionMiddleware of Hono", () => {
  it("has the same functions follow the request of every context, so that they have one hidden class", async () => {
    const followers: unknown[] = [];
    const app = new Hono().use(sessionMiddleware(sessions)).get("/", (c) => {
      followers.push(Object.getOwnPropertyDescriptor(c.req, "raw")?.get);
      return c.text("ok");
    });
    await app.request("/");
    await app.request("/");
    expect(followers[0]).toBeTypeOf("function");
    expect(followers[1]).toBe(followers[0]);
  });

  it("answers 500 where the handler puts null or data in the session's place, and says what to call", async () => {
    for (const replacement of [null, { cart: [] }]) {
      const messages: string[] = [];
      const app = new Hono().use(sessionMiddleware(sessions)).get("/", (c) => {
        c.set("session" as never, replacement as never);
        return c.text("bye");
      });
      app.onError((error, c) => {
        messages.push(error.message);
        return c.text("failed", 500);
      });
      expect((await app.request("/")).status).toBe(500);
      expect(messages).toEqual([expect.stringContaining("c.var.session was replaced, which changes nothing")]);
    }
  });

  it("gives one session to a request that is replaced twice", async () => {
    const app = new Hono().use(sessionMiddleware(sessions)).get("/", (c) => {
      const { raw: first } = c.req;
      c.req.raw = new Request(c.req.raw);
      c.req.raw = new Request(c.req.raw);
      expect(c.req.raw).not.toBe(first);
      return c.json([first, c.req.raw, c.req].map((request) => sessions.of(request) === c.var.session));
    });
    expect(await (await app.request("/")).json()).toEqual([true, true, true]);
  });
});
