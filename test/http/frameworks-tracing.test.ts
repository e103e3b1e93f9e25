import { tracingChannel } from "node:diagnostics_channel";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions, type Session, type SessionsOptions } from "sojourn";
import { sessionPlugin } from "sojourn/fastify";
import { sessionMiddleware } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { tracing } from "sojourn/tracing";
import { afterEach, describe, expect, it, vi } from "vitest";

const KEY = "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-";
const NAMES = ["open", "commit", "store", "revoke"] as const;
const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of endings.splice(0).toReversed()) await end();
});

/** Everything that is published from now on, as it was at that moment. */
function listen() {
  const seen: { name: string; event: string; message: Record<string, unknown> }[] = [];
  for (const name of NAMES) {
    const channel = tracingChannel<unknown, object>(`sojourn:${name}`);
    const listener = (event: string) => (message: object) => void seen.push({ name, event, message: { ...message } });
    const listeners = Object.fromEntries(EVENTS.map((event) => [event, listener(event)]));
    channel.subscribe(listeners as never);
    endings.push(() => channel.unsubscribe(listeners as never));
  }
  return seen;
}

function application(options: Partial<SessionsOptions> = {}) {
  const sessions = createSessions({ secretKey: KEY, store: memoryStore(), tracing, ...options });
  endings.push(() => sessions.close());
  return sessions;
}

const change = (path: string, session: Session) => {
  if (path === "/login") session.signIn("ada");
  if (path === "/write") (session.data as Record<string, unknown>)["card"] = "4111-secret-data";
  return String(session.userId);
};

type Ask = (path: string, cookie?: string) => Promise<string>;
const FRAMEWORKS: Readonly<Record<string, (sessions: ReturnType<typeof application>) => Ask | Promise<Ask>>> = {
  async Fastify(sessions) {
    const app = Fastify();
    await app.register(sessionPlugin(sessions));
    app.get("/*", (request) => change(request.url, request.session));
    endings.push(() => app.close());
    return async (url, cookie = "") => {
      const { cookies } = await app.inject({ url, headers: { cookie } });
      return cookies[0] ? `${cookies[0].name}=${cookies[0].value}` : "";
    };
  },
  Hono(sessions) {
    const app = new Hono();
    app.use(sessionMiddleware(sessions));
    app.get("/*", (c) => c.text(change(c.req.path, (c.var as unknown as { session: Session }).session)));
    return async (path, cookie = "") => {
      const response = await app.request(path, { headers: { cookie } });
      return response.headers.getSetCookie()[0]?.split(";", 1)[0] ?? "";
    };
  },
};

describe.each(Object.entries(FRAMEWORKS))("tracing with %s", (_, start) => {
  it("publishes reading, committing and the calls of the store, within each other, with the public id", async () => {
    const store = memoryStore();
    const sessions = application({
      store: { ...store, read: async (id) => store.read(id), update: async (...args) => store.update(...args) },
    });
    const ask = await start(sessions);
    const cookie = await ask("/login");
    const seen = listen();
    await ask("/write", cookie);
    const { id } = (await sessions.list("ada"))[0]!;
    const spans = seen
      .filter(({ name, message }) => name !== "store" || ["read", "update"].includes(message["operation"] as string))
      .map(({ name, event }) => `${name} ${event}`);
    expect(spans.slice(0, 16).join(", ")).toBe(
      "open start, store start, store end, open end, store asyncStart, store asyncEnd, open asyncStart, open asyncEnd, " +
        "commit start, store start, store end, commit end, store asyncStart, store asyncEnd, commit asyncStart, commit asyncEnd",
    );
    expect(seen.find(({ name, event }) => name === "open" && event === "asyncEnd")!.message).toEqual({
      id,
      status: "live",
      isAsync: true,
    });
    expect(seen.find(({ name }) => name === "commit")!.message).toEqual({ id, operation: "update" });
  });

  it("publishes answers at once without asyncStart and asyncEnd", async () => {
    const ask = await start(application());
    const cookie = await ask("/login");
    const seen = listen();
    await ask("/", cookie);
    expect(seen.map(({ name, event }) => `${name} ${event}`)).toEqual([
      "open start",
      "store start",
      "store end",
      "open end",
    ]);
  });

  it("publishes nothing for a visitor", async () => {
    const ask = await start(application());
    const seen = listen();
    await ask("/");
    expect(seen).toEqual([]);
  });

  it("shows no token, no secret key and no data", async () => {
    const ask = await start(application());
    const seen = listen();
    const cookie = await ask("/login");
    const stored = await ask("/write", cookie);
    expect(stored).toBe("");
    expect(seen.length).toBeGreaterThan(8);
    const text = JSON.stringify(seen);
    const token = cookie.split("=")[1]!;
    // After the format and the id comes the secret.
    for (const secret of [token.slice(23, 45), token.slice(-32), KEY, "4111-secret-data", "ada"]) {
      expect(text).not.toContain(secret);
    }
  });

  it("publishes the error of a store that fails", async () => {
    const store = memoryStore();
    const failing = { ...store, read: () => Promise.reject(new Error("the disk is gone")) };
    const working = await start(application({ store }));
    const cookie = await working("/login");
    const ask = await start(application({ store: failing }));
    const seen = listen();
    // Hono prints the errors of a handler.
    vi.spyOn(console, "error").mockImplementation(() => {});
    await ask("/", cookie);
    const errors = seen.filter(({ event }) => event === "error");
    expect(errors.map(({ name }) => name)).toEqual(["store", "open"]);
    expect(errors[1]!.message["error"]).toMatchObject({ code: "ERR_SESSION_STORE" });
  });
});

describe("tracing", () => {
  it("publishes revocations with what they have ended", async () => {
    const sessions = application();
    const ask = await FRAMEWORKS["Hono"]!(sessions);
    for (let i = 0; i < 3; i++) await ask("/login");
    const { id } = (await sessions.list("ada"))[0]!;
    const seen = listen();
    await sessions.revoke(id);
    await sessions.revokeAll("ada");
    await sessions.revokeEverything();
    const ends = seen.filter(({ name, event }) => name === "revoke" && event === "asyncEnd");
    expect(ends.map(({ message }) => message)).toEqual([
      { operation: "revoke", id, isAsync: true, ended: true },
      { operation: "revokeAll", isAsync: true, ended: 2 },
      { operation: "revokeEverything", isAsync: true, ended: 0 },
    ]);
  });

  it.each<[string, "traceSync" | "tracePromise", () => string | Promise<string>]>([
    ["answers at once", "traceSync", () => "done"],
    [
      "fails at once",
      "traceSync",
      () => {
        throw new Error("failed");
      },
    ],
    ["answers later", "tracePromise", async () => "done"],
    ["fails later", "tracePromise", async () => Promise.reject(new Error("failed"))],
  ] as const)(
    "publishes the events of an operation that %s as %s of node:diagnostics_channel does",
    async (...given) => {
      const [, method, operation] = given;
      const seen = listen();
      const eventsOf = async (work: () => unknown) => {
        seen.length = 0;
        await (async () => work())().catch(() => {});
        return seen.map(({ event }) => event);
      };
      const own = await eventsOf(() => tracing.run("open", {}, operation));
      const channel = tracingChannel<unknown, object>("sojourn:open");
      expect(own).toEqual(await eventsOf(() => channel[method](operation as never, {})));
      expect(own).toContain(method === "traceSync" ? "end" : "asyncEnd");
    },
  );

  it("carries the store of a subscriber, such as the current span, into what is done within", async () => {
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const storage = new AsyncLocalStorage<string>();
    const { start } = tracingChannel<string, object>("sojourn:open");
    start.bindStore(storage, () => "span of open");
    endings.push(() => start.unbindStore(storage));
    const spans: unknown[] = [];
    const store = memoryStore();
    const observed = { ...store, read: async (id: string) => (spans.push(storage.getStore()), store.read(id)) };
    const ask = await FRAMEWORKS["Hono"]!(application({ store: observed }));
    await ask("/", await ask("/login"));
    expect(spans).toEqual(["span of open"]);
  });

  it("keeps a store's answers at once, and its capabilities", () => {
    const store = memoryStore();
    const traced = tracing.store(store);
    expect(Object.keys(traced).toSorted()).toEqual(Object.keys(store).toSorted());
    expect(traced.read).toHaveProperty("sync");
  });

  it("is refused where it is something else", () => {
    const wrong = true as unknown as typeof tracing;
    expect(() => application({ tracing: wrong })).toThrow('tracing takes tracing of "sojourn/tracing"');
  });
});
