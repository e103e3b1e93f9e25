import { getRequestListener } from "@hono/node-server";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions, SessionError, type Sessions } from "sojourn";
import { sessionPlugin as onFastify } from "sojourn/fastify";
import { withSession as onFetch } from "sojourn/fetch";
import { sessionMiddleware as onHono } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { afterAll, describe, expect, it } from "vitest";
import { ask } from "../support/http/client.ts";
import { originFor, SECRET_KEY } from "../support/http/servers.ts";

/** Responses that an application may keep, created by the present class `Response`. */
const shapes: Readonly<Record<string, () => Response>> = {
  "a text": () => new Response("kept"),
  "a text and a content type": () => new Response("kept", { headers: { "content-type": "text/html" } }),
  JSON: () => Response.json({ kept: true }),
  "an empty text": () => new Response(""),
  bytes: () => new Response(new TextEncoder().encode("kept")),
  "a blob": () => new Response(new Blob(["kept"], { type: "text/plain" })),
  "no body": () => new Response(null, { status: 204 }),
  "no body and a content type": () => new Response(null, { headers: { "content-type": "text/html" } }),
  "a redirect": () => Response.redirect("http://localhost/elsewhere", 303),
  "not modified": () => new Response(null, { status: 304, headers: { etag: '"a"' } }),
  "cookies of its own": () =>
    new Response("kept", {
      headers: [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    }),
};

type Handler = (request: Request) => Response | Promise<Response>;
type Make = (sessions: Sessions, response: () => Response) => Handler;

const makes: Readonly<Record<string, Make>> = {
  fetch: (sessions, response) =>
    onFetch(sessions, (request, session) => {
      const { searchParams } = new URL(request.url);
      if (searchParams.has("as")) session.data.username = searchParams.get("as");
      return response();
    }),
  "Hono 4": (sessions, response) => {
    const app = new Hono().use(onHono(sessions)).get("/", (c) => {
      const { as } = c.req.query();
      if (as !== undefined) c.var.session.data.username = as;
      return response();
    });
    return app.fetch;
  },
  "sessions.commit": (sessions, response) => async (request) => {
    const session = await sessions.open(request);
    const { searchParams } = new URL(request.url);
    if (searchParams.has("as")) session.data.username = searchParams.get("as");
    return sessions.commit(session, response());
  },
};

const newSessions = () => createSessions({ secretKey: SECRET_KEY, store: memoryStore() });

const cookiesOf = (setCookies: readonly string[]) => setCookies.filter((line) => line.startsWith("session="));

const native = { Request, Response };
// @hono/node-server replaces the global classes for the whole process.
afterAll(() => void Object.assign(globalThis, native));

describe.each(Object.entries(makes))("sojourn for %s and a response that the application keeps", (_name, make) => {
  describe.each(Object.entries(shapes))("with %s", (_shape, shape) => {
    it("can be sent under @hono/node-server as often as without a session, and gives nobody another's cookie", async () => {
      const plainOrigin = await originFor(getRequestListener(() => plain));
      const plain = shape();
      const kept = shape();
      const origin = await originFor(getRequestListener(make(newSessions(), () => kept)));
      const before = await ask(plainOrigin);
      for (const as of ["alice", undefined, "bob", undefined, "carol", undefined]) {
        const answer = await ask(origin + (as === undefined ? "/" : `/?as=${as}`));
        expect([answer.status, answer.body]).toEqual([before.status, before.body]);
        expect(cookiesOf(answer.setCookies)).toHaveLength(as === undefined ? 0 : 1);
        expect(answer.setCookies.length - cookiesOf(answer.setCookies).length).toBe(before.setCookies.length);
        expect(answer.headers["content-type"]).toBe(before.headers["content-type"]);
      }
      expect(kept.headers.getSetCookie()).toEqual(shape().headers.getSetCookie());
      expect(Array.from(kept.headers.keys())).toEqual(Array.from(shape().headers.keys()));
    });

    it("is not changed if Response is the runtime's own class", async () => {
      Object.assign(globalThis, native);
      const kept = shape();
      const handle = make(newSessions(), () => kept);
      const mine = await handle(new Request("http://localhost/?as=alice"));
      expect(mine).not.toBe(kept);
      expect(cookiesOf(mine.headers.getSetCookie())).toHaveLength(1);
      expect(Array.from(kept.headers)).toEqual(Array.from(shape().headers));
      expect(await mine.text()).toBe(await shape().text());
    });
  });
});

describe.each(Object.entries(makes))("sojourn for %s and a response", (_name, make) => {
  const get = async (response: () => Response, query = "?as=alice") =>
    make(newSessions(), response)(new Request(`http://localhost/${query}`));

  it("of a stream passes its chunks on one by one as they are asked for, and its cancelling", async () => {
    Object.assign(globalThis, native);
    let pulled = 0;
    let cancelled: unknown;
    const body = new ReadableStream(
      {
        pull(controller) {
          controller.enqueue(new TextEncoder().encode(`${(pulled += 1)}`));
        },
        cancel(reason) {
          cancelled = reason;
        },
      },
      { highWaterMark: 0 },
    );
    const answer = await get(() => new Response(body));
    expect(pulled).toBe(0);
    const reader = answer.body!.getReader();
    await reader.read();
    expect(pulled).toBe(1);
    await reader.cancel("enough");
    expect(cancelled).toBe("enough");
  });

  it("that was fetched, and has headers that can't be changed, gets the cookie in a copy", async () => {
    Object.assign(globalThis, native);
    const fetched = await fetch("data:text/plain,hello");
    const answer = await get(() => fetched);
    expect(cookiesOf(answer.headers.getSetCookie())).toHaveLength(1);
    expect(await answer.text()).toBe("hello");
  });

  it("that is a network error is passed on, unless a session should begin with it", async () => {
    Object.assign(globalThis, native);
    expect((await get(() => Response.error(), "")).type).toBe("error");
    const outcome = await get(() => Response.error()).catch((error: unknown) => error);
    expect(outcome instanceof SessionError ? 500 : (outcome as Response).status).toBe(500);
  });

  it("of the application's own class keeps its class and its properties", async () => {
    Object.assign(globalThis, native);
    class Page extends Response {
      title = "a page";
      shout(): string {
        return this.title.toUpperCase();
      }
    }
    const page = new Page("text");
    const answer = await get(() => page);
    expect(answer).toBeInstanceOf(Page);
    expect(answer).not.toBe(page);
    expect((answer as Page).shout()).toBe("A PAGE");
    expect(cookiesOf(answer.headers.getSetCookie())).toHaveLength(1);
    expect(await answer.text()).toBe("text");
  });

  it("with a body that was read is refused before anything is stored", async () => {
    Object.assign(globalThis, native);
    const used = new Response("read");
    await used.text();
    const sessions = newSessions();
    let created = 0;
    sessions.on("created", () => void (created += 1));
    const outcome = Promise.resolve(make(sessions, () => used)(new Request("http://localhost/?as=alice")));
    const status = await outcome.then(
      ({ status: of }) => of,
      (error: Error) => error.constructor,
    );
    expect([500, TypeError]).toContain(status);
    expect(created).toBe(0);
  });
});

describe("sojourn for fetch, where a connection was taken over", () => {
  const upgraded = (response: unknown) =>
    onFetch(newSessions(), (_request, session) => {
      expect(session.userId).toBeUndefined();
      return response as Response;
    })(new Request("http://localhost/"));

  it("passes on the runtime's result: nothing, or a response with more properties", async () => {
    expect(await upgraded(undefined)).toBeUndefined();
    const switching = Object.create(Response.prototype, { status: { value: 101 } }) as Response;
    expect(await upgraded(switching)).toBe(switching);
  });
});

describe("sojourn for fetch and an error's response that the application keeps", () => {
  it("leaves it as it is", async () => {
    Object.assign(globalThis, native);
    const sorry = new Response(null, { status: 503, headers: { "cdn-cache-control": "max-age=60", vary: "Origin" } });
    const store = { ...memoryStore(), create: async () => Promise.reject(new Error("down")) };
    const handle = onFetch(
      createSessions({ secretKey: SECRET_KEY, store }),
      (_request, session) => {
        session.data.n = 1;
        return new Response("never");
      },
      { onError: () => sorry },
    );
    const answer = await handle(new Request("http://localhost/"));
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("cdn-cache-control")).toBe("no-store");
    expect(answer.headers.get("vary")).toBe("Origin, Cookie");
    expect(Array.from(sorry.headers)).toEqual([
      ["cdn-cache-control", "max-age=60"],
      ["vary", "Origin"],
    ]);
  });
});

describe("sojourn for Fastify and a Response as the payload", () => {
  it("sets the caching headers whatever headers it has, and does not change it", async () => {
    const headers = { "cache-control": "public, max-age=60", "cdn-cache-control": "max-age=60", vary: "Accept" };
    const kept = new Response(null, { status: 201, headers });
    const app = Fastify();
    await app.register(onFastify(newSessions()));
    app.get("/", (request, reply) => {
      request.session.data.n = 1;
      return reply.send(kept);
    });
    const answer = await app.inject("/");
    expect(answer.statusCode).toBe(201);
    expect(answer.headers).toMatchObject({
      "cache-control": "no-store",
      "cdn-cache-control": "no-store",
      vary: "Accept, Cookie",
      "set-cookie": expect.stringMatching(/^session=/),
    });
    expect(Object.fromEntries(kept.headers)).toEqual(headers);
    await app.close();
  });
});

describe("sojourn and lists of headers that the application keeps", () => {
  it("leaves a list of cookies as it is under Fastify, and gives nobody another's", async () => {
    const kept = ["theme=dark", "lang=eo"];
    const app = Fastify();
    await app.register(onFastify(newSessions()));
    app.get("/", (request, reply) => {
      request.session.data.n = 1;
      return reply.header("set-cookie", kept).send("ok");
    });
    for (let n = 0; n < 2; n += 1) {
      const { headers } = await app.inject("/");
      expect(headers["set-cookie"]).toEqual(["theme=dark", "lang=eo", expect.stringMatching(/^session=/)]);
    }
    expect(kept).toEqual(["theme=dark", "lang=eo"]);
    await app.close();
  });

  it("keeps the cookies that were set on Fastify's raw response", async () => {
    const app = Fastify();
    await app.register(onFastify(newSessions()));
    app.get("/", (request, reply) => {
      request.session.data.n = 1;
      reply.raw.setHeader("set-cookie", "theme=dark");
      return "ok";
    });
    const { headers } = await app.inject("/");
    expect(headers["set-cookie"]).toEqual(["theme=dark", expect.stringMatching(/^session=/)]);
    await app.close();
  });

  it.each(["fetch", "Hono 4", "sessions.commit"] as const)(
    "leaves a Headers object as it is under %s",
    async (name) => {
      const kept = new Headers({ "content-type": "text/html", vary: "Accept" });
      const origin = await originFor(
        getRequestListener(makes[name]!(newSessions(), () => new Response("text", { headers: kept }))),
      );
      for (const path of ["/?as=alice", "/"]) {
        const answer = await ask(origin + path);
        expect([answer.body, answer.setCookies.length]).toEqual(["text", path === "/" ? 0 : 1]);
      }
      expect(Object.fromEntries(kept)).toEqual({ "content-type": "text/html", vary: "Accept" });
    },
  );
});

describe("SessionError", () => {
  it("has headers of its own, which middleware may add to", () => {
    const [one, other] = [new SessionError("ERR_SESSION_STORE", "one"), new SessionError("ERR_SESSION_STORE", "other")];
    one.headers["x-user"] = "alice";
    expect(other.headers).toEqual({ "cache-control": "no-store", vary: "Cookie" });
    expect(new SessionError("ERR_SESSION_CONFLICT", "third").getResponse().headers.has("x-user")).toBe(false);
  });
});
