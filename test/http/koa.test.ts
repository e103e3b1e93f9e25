import Koa from "koa";
import { createSessions } from "sojourn";
import { sessionMiddleware } from "sojourn/koa";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { Client } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

type Use = (ctx: Koa.Context) => unknown;

/** Serves one route beside `/login` and `/who`. Gives a client that has signed in, and the errors that the application is told. */
async function serve(use: Use, app = new Koa()) {
  const sessions = createSessions({ secretKey: SECRET_KEY, store: memoryStore(), client: { address: true } });
  const errors: Error[] = [];
  app.on("error", (error: Error) => errors.push(error));
  app.use(sessionMiddleware(sessions)).use((ctx) => {
    if (ctx.path === "/login") return ctx.session.signIn("ada");
    if (ctx.path === "/who") return void (ctx.body = JSON.stringify([ctx.session.userId, ctx.session.data]));
    return use(ctx);
  });
  const origin = await originFor(app.callback());
  const client = new Client(origin);
  await client.post("/login");
  return { client, errors, origin, sessions };
}

describe("sessionMiddleware of Koa", () => {
  it.each<[string, unknown]>([
    ["null, as koa-session signs out", null],
    ["undefined", undefined],
    ["data, as koa-session takes them", { cart: [] }],
  ])("answers 500 where the handler sets ctx.session to %s, and says what to call", async (_, replacement) => {
    const { client, errors } = await serve((ctx) => {
      ctx["session"] = replacement;
      ctx.body = "bye";
    });
    const answer = await client.get("/");
    expect([answer.status, answer.setCookies]).toEqual([500, []]);
    expect(errors).toEqual([
      expect.objectContaining({
        message: expect.stringContaining(
          "ctx.session was replaced, which changes nothing of the session: session.signOut()",
        ),
      }),
    ]);
    expect((await client.get("/who")).body).toBe('["ada",{}]');
  });

  it("stores the changes of a handler that throws, where middleware before the sessions answers", async () => {
    const app = new Koa().use(async (ctx, next) => {
      try {
        await next();
      } catch (error) {
        ctx.status = (error as { status: number }).status;
        ctx.body = "answered";
      }
    });
    const { client } = await serve((ctx) => {
      ctx["session"].data.seen = true;
      ctx.throw(418);
    }, app);
    const answer = await client.get("/");
    expect([answer.status, answer.body]).toEqual([418, "answered"]);
    expect((await client.get("/who")).body).toBe('["ada",{"seen":true}]');
  });

  it("keeps the client's address that Koa finds behind its trusted proxy", async () => {
    const { sessions, origin } = await serve(() => {}, new Koa({ proxy: true }));
    const browser = new Client(origin);
    await browser.get("/login", { method: "POST", headers: { "x-forwarded-for": "192.0.2.7" } });
    const addresses = (await sessions.list("ada")).map(({ client }) => client?.address);
    expect(addresses).toContain("192.0.2.7");
  });

  it("answers 500 to a Response whose body was sent before", async () => {
    const kept = new Response("once");
    const { client, errors } = await serve((ctx) => {
      ctx.body = kept;
    });
    expect((await client.get("/")).body).toBe("once");
    expect((await client.get("/")).status).toBe(500);
    expect(errors.map(String)).toEqual([
      expect.stringContaining("The body of this response has been read or sent already"),
    ]);
  });
});
