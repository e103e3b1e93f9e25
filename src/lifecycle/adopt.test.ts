import { beforeEach, describe, expect, it, vi } from "vitest";
import { begin, gated, KEYS, site, START, type SiteOptions } from "../../test/support/stores.ts";
import { MAX_TIME } from "../duration.ts";
import type { FormerSession, FormerSessions } from "../former.ts";
import { bearerTokens, type BearerTokens } from "../adapters/bearer.ts";
import { cached } from "../stores/cached.ts";
import { createSessions } from "../sessions.ts";
import { cookieStore } from "../cookie-store/store.ts";
import { memoryStore } from "../stores/memory.ts";
import type { Fault } from "../testing/faulty.ts";

interface Data {
  cart?: string[];
  n?: number;
}

const HOUR = 3_600_000;
const ADA: FormerSession = { userId: "ada", data: { cart: ["tea"] }, expiresAt: START + HOUR };

/** A former library whose cookie `old` has the id, and whose store is a Map. A cookie that begins with `forged` is not authentic. */
function library() {
  const sessions = new Map<string, FormerSession>([["one", ADA]]);
  const calls = { find: 0, read: 0, end: 0 };
  const old = { sessions, calls, isDown: false, source: undefined! as FormerSessions };
  old.source = {
    name: "old",
    cookies: [{ name: "old" }],
    find(valuesOf) {
      calls.find++;
      return valuesOf("old").flatMap((key) => (key.startsWith("forged") ? [] : [{ key }]));
    },
    async read({ key }) {
      calls.read++;
      if (old.isDown) throw new Error("down");
      return sessions.get(key);
    },
    async end(key) {
      calls.end++;
      if (old.isDown) throw new Error("down");
      sessions.delete(key);
    },
  };
  return old;
}

/** An application that has moved. `elsewhere` is another process of it. */
function moved(options: SiteOptions = {}, old = library()) {
  const server = site<Data>({ adopt: [old.source], ...options });
  const { time, backend } = server;
  const adopted: { id: string; userId?: string | undefined }[] = [];
  server.sessions.on("adopted", ({ id, userId }) => adopted.push({ id, userId }));
  return {
    ...server,
    old,
    adopted,
    elsewhere: (others: SiteOptions = {}) =>
      site<Data>({ adopt: [old.source], ...options, faults: {}, ...others, store: backend, clock: () => time.now }),
    /** A browser that has the former cookie alone. */
    former(sessions = server.sessions, value = "one") {
      const browser = server.browser().copy(sessions);
      browser.jar.set("old", value);
      return browser;
    },
  };
}

async function idsIn(store: { all?(): AsyncIterable<string> }): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.all!()) ids.push(id);
  return ids;
}

describe("The option adopt", () => {
  it("goes on with a session that has the former one's user, data and time of expiry", async () => {
    const { former, adopted, sessions } = moved();
    const browser = former();
    await browser.visit((session) => {
      expect(session.userId).toBe("ada");
      expect(session.data).toEqual({ cart: ["tea"] });
      expect(session.expiresAt).toBe(START + HOUR);
      expect(session.isNew).toBe(false);
    });
    expect([...browser.jar.keys()]).toEqual(["__Host-session"]);
    expect(adopted).toEqual([{ id: expect.any(String), userId: "ada" }]);
    expect(await browser.userId()).toBe("ada");
    expect((await sessions.list("ada")).map(({ id }) => id)).toEqual([adopted[0]!.id]);
  });

  it("lets the next request extend the session by the timeouts of the application", async () => {
    const { former, time } = moved();
    const browser = former();
    await browser.visit();
    time.now += 1;
    await browser.visit();
    await browser.visit((session) => expect(session.expiresAt).toBe(START + 1 + 24 * HOUR));
  });

  it("stores what the adopting request changes, and shows the former flashes once", async () => {
    const { former, old } = moved();
    old.sessions.set("one", { ...ADA, flashes: [{ category: "info", message: "Saved." }] });
    const browser = former();
    await browser.visit((session) => {
      session.data.cart!.push("milk");
      expect(session.takeFlashes()).toEqual([{ category: "info", message: "Saved." }]);
    });
    expect(await browser.data()).toEqual({ cart: ["tea", "milk"] });
    await browser.visit((session) => expect(session.takeFlashes()).toEqual([]));
  });

  it("adopts a visitor's session, which a sign-in continues", async () => {
    const { former, old, sessions } = moved();
    old.sessions.set("one", { data: { cart: ["tea"] } });
    const browser = former();
    await browser.visit((session) => {
      expect(session.userId).toBeUndefined();
      session.signIn("eve");
    });
    expect(await browser.data()).toEqual({ cart: ["tea"] });
    expect(await sessions.list("eve")).toHaveLength(1);
    await browser.visit((session) => session.signOut());
    expect(old.sessions.size).toBe(0);
  });

  it("stores nothing for a visitor's session without data, which does not count beside another one either", async () => {
    const { former, old, store, sessions } = moved();
    old.sessions.set("empty", { data: {} });
    const browser = former(undefined, "empty");
    await browser.visit((session) => expect(session.isNew).toBe(true));
    expect([browser.jar.size, store.calls.create]).toEqual([0, 0]);
    const both = new Request("https://shop.example/", { headers: { cookie: "old=empty; old=one" } });
    expect((await sessions.open(both)).userId).toBe("ada");
  });

  it.each([
    ["a visitor without it", undefined, 0],
    ["a forged one", "forged", 1],
    ["an empty one", "", 1],
    ["a huge one", "x".repeat(60_000), 1],
  ])("costs no call of a store for %s", async (_which, value, finds) => {
    const { former, old, store, browser } = moved();
    const client = value === undefined ? browser() : former(undefined, value);
    await client.visit((session) => expect(session.userId).toBeUndefined());
    expect(old.calls).toMatchObject({ find: finds, read: 0 });
    expect(store.calls.total).toBe(0);
  });

  it("asks no store for a route that does not look at its session", async () => {
    const { sessions, old, store } = moved();
    begin(sessions, new Request("https://shop.example/", { headers: { cookie: "old=one" } }));
    expect([old.calls.find, old.calls.read, store.calls.total]).toEqual([0, 0, 0]);
  });

  it("ignores the former cookie of a request that has a session of its own", async () => {
    const { former, old } = moved();
    const browser = former();
    await browser.visit((session) => session.signIn("bea"));
    browser.jar.set("old", "one");
    const { find } = old.calls;
    await browser.visit((session) => expect(session.userId).toBe("bea"));
    expect(old.calls.find).toBe(find);
  });

  it("is anonymous for a former session that has expired, and removes its cookie", async () => {
    const { former, old, time, store } = moved();
    time.now = ADA.expiresAt!;
    const browser = former();
    await browser.visit((session) => expect(session.userId).toBeUndefined());
    expect([...browser.jar]).toEqual([]);
    expect(old.calls.read).toBe(1);
    expect(store.calls.create).toBe(0);
  });

  it("keeps the cookie of a session that the source does not find: its store may have another prefix", async () => {
    const { former, old, store } = moved();
    old.sessions.delete("one");
    const browser = former();
    await browser.visit((session) => expect(session.userId).toBeUndefined());
    expect([...browser.jar]).toEqual([["old", "one"]]);
    expect(store.calls.create).toBe(0);
    old.sessions.set("one", ADA);
    expect(await browser.userId()).toBe("ada");
  });

  it("keeps the former cookies where the source finds the session of none of several", async () => {
    const { sessions, old } = moved();
    old.sessions.clear();
    const session = await sessions.open(
      new Request("https://shop.example/", { headers: { cookie: "old=one; old=two" } }),
    );
    const response = await sessions.commit(session, new Response("ok"));
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it.each([MAX_TIME, Number.MAX_SAFE_INTEGER, 1e300])("adopts a former session that ends at %s", async (expiresAt) => {
    const { former, old } = moved();
    old.sessions.set("one", { ...ADA, expiresAt });
    expect(await former().userId()).toBe("ada");
    expect(await former().userId()).toBe("ada");
  });

  it("is anonymous for a former sign-in that is past the absolute timeout", async () => {
    const { former, old, store } = moved({ absoluteTimeout: "2d" });
    old.sessions.set("one", { ...ADA, createdAt: START - 48 * HOUR });
    expect(await former().userId()).toBeUndefined();
    expect(store.calls.create).toBe(0);
  });

  it("takes no adopted session for a recent sign-in", async () => {
    const { former, old } = moved();
    await former().visit((session) => expect(session.signedInWithin("1h")).toBe(false));
    old.sessions.set("two", { ...ADA, createdAt: START - 60_000 });
    await former(undefined, "two").visit((session) => expect(session.signedInWithin("1h")).toBe(true));
  });

  it("believes no time of a sign-in that is in the future", async () => {
    const { former, old } = moved();
    old.sessions.set("one", { ...ADA, createdAt: START + 10 * HOUR });
    await former().visit((session) => expect([session.createdAt, session.signedInAt]).toEqual([START, START]));
  });

  it("keeps the former cookie where the source says so", async () => {
    const old = library();
    Object.assign(old.source, { keepCookies: true });
    const browser = moved({}, old).former();
    await browser.visit();
    expect([...browser.jar.keys()]).toEqual(["old", "__Host-session"]);
  });

  it("removes a former cookie that was kept at a sign-out, and nothing where there is none", async () => {
    const old = library();
    Object.assign(old.source, { keepCookies: true, end: undefined });
    const { former, browser } = moved({}, old);
    const client = former();
    await client.visit();
    await client.visit((session) => session.signOut());
    expect([...client.jar]).toEqual([]);
    const other = browser();
    await other.visit((session) => session.signIn("bea"));
    const response = await other.visit((session) => session.signOut());
    expect(response.headers.getSetCookie()).toHaveLength(1);
  });

  it("replaces a former cookie of the same name, and never removes its own", async () => {
    const old = library();
    Object.assign(old.source, { cookies: [{ name: "old" }, { name: "old", path: "/app" }] });
    const { former } = moved({ cookie: { name: "old", secure: false } }, old);
    const browser = former();
    const response = await browser.visit();
    const lines = response.headers.getSetCookie();
    expect(lines).toEqual([
      expect.stringMatching(/^old=1[\w-]{80}; Max-Age/),
      expect.stringContaining("old=; Max-Age=0; Path=/app"),
    ]);
  });

  it("extends nothing for a passive request", async () => {
    const { former } = moved();
    const browser = former();
    await browser.visit((session) => (session.passive = true));
    await browser.visit((session) => {
      session.passive = true;
      expect(session.expiresAt).toBe(START + HOUR);
    });
  });

  it("keeps each key of the former data as data, whatever it is called", async () => {
    const { former, old } = moved();
    const data = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":1}') as Record<string, unknown>;
    old.sessions.set("one", { ...ADA, data });
    const browser = former();
    await browser.visit();
    await browser.visit((session) => {
      expect(Object.keys(session.data)).toEqual(["__proto__", "constructor"]);
      expect((session.data as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    });
  });

  it("refuses former data over the limits, and stores nothing", async () => {
    const { former, store } = moved({ limits: { bytes: 10 } });
    await expect(former().visit()).rejects.toMatchObject({ code: "ERR_SESSION_TOO_LARGE" });
    expect(store.calls.create).toBe(0);
  });

  it("reads past a near cache, which may not know the marker or the end of a session yet", async () => {
    const backend = memoryStore({ clock: () => START });
    const clock = () => START;
    const [here, there] = [0, 1].map(() => cached(backend, { clock, elapsed: clock }));
    const { former, elsewhere, sessions } = moved({ store: here! });
    const other = createSessions<Data>({ secretKey: KEYS[0], clock, store: there!, adopt: [library().source] });
    const browser = former();
    await browser.visit();
    expect(await former(other).userId()).toBe("ada");
    expect(elsewhere).toBeDefined();
    await browser.visit((session) => session.signOut());
    expect(await former(other).userId()).toBeUndefined();
    expect(await former(sessions).userId()).toBeUndefined();
  });

  it("lets the header Authorization count beside a former cookie", async () => {
    const { sessions, old, store } = moved();
    const headers = { cookie: "old=one", authorization: "Bearer x" };
    const open = (bearer: BearerTokens) => sessions.open(new Request("https://shop.example/", { headers }), { bearer });
    expect((await open(bearerTokens())).userId).toBeUndefined();
    expect((await open(bearerTokens({ cookies: true }))).userId).toBeUndefined();
    expect([old.calls.find, store.calls.total]).toEqual([0, 0]);
    const browser = new Request("https://shop.example/", { headers: { cookie: "old=one" } });
    expect((await sessions.open(browser, { bearer: bearerTokens({ cookies: true }) })).userId).toBe("ada");
  });

  it("adopts for a WebSocket, whose answer has no cookie, and gives it to the next request", async () => {
    const { former, sessions, adopted } = moved();
    const request = new Request("https://shop.example/", {
      headers: { cookie: "old=one", origin: "https://shop.example" },
    });
    const attached = await sessions.attach(request);
    expect(attached.userId).toBe("ada");
    const browser = former();
    await browser.visit((session) => expect(session.id).toBe(attached.id));
    expect(adopted).toHaveLength(1);
    expect(browser.jar.size).toBe(1);
  });
});

describe("While an application is being moved, and not in production", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  beforeEach(() => warned.mockClear());

  /** A source whose warnings were not given yet. */
  function sourceOf(name: string) {
    const old = library();
    Object.assign(old.source, { name });
    return moved({ diagnostics: true }, old);
  }

  it("a warning tells of a cookie that no secret has made", async () => {
    const { former } = sourceOf("foreign");
    for (let n = 0; n < 2; n += 1) expect(await former(undefined, "forged").userId()).toBeUndefined();
    expect(warned.mock.calls).toEqual([
      [expect.stringContaining("a cookie of foreign that no secret"), expect.anything()],
    ]);
  });

  it("a warning tells of a session that the old store has not", async () => {
    const { former, old } = sourceOf("missing");
    old.sessions.clear();
    for (let n = 0; n < 2; n += 1) expect(await former().userId()).toBeUndefined();
    expect(warned.mock.calls).toEqual([[expect.stringContaining("another prefix"), expect.anything()]]);
  });

  it("a warning names the key that may hold the user, where no user was found", async () => {
    const { former, old } = sourceOf("userless");
    old.sessions.set("one", { data: { cart: ["tea"] } });
    old.sessions.set("two", { data: { loggedInUser: "ada" } });
    await former().userId();
    expect(warned).not.toHaveBeenCalled();
    await former(undefined, "two").userId();
    expect(warned.mock.calls).toEqual([[expect.stringContaining('"loggedInUser"'), expect.anything()]]);
  });
});

describe("Two requests with one former cookie", () => {
  it.each([false, true])("have one session, in one process and in two (encrypted: %s)", async (encrypted) => {
    const { former, elsewhere, adopted, backend } = moved({ encrypted });
    const other = elsewhere();
    const clients = Array.from({ length: 50 }, (_, i) => former(i % 2 ? other.sessions : undefined));
    const ids = await Promise.all(
      clients.map(async (client) => {
        let id = "";
        await client.visit((session) => {
          id = session.id;
          session.update("n", (n = 0) => n + 1);
          expect(session.userId).toBe("ada");
        });
        return id;
      }),
    );
    expect(new Set(ids).size).toBe(1);
    expect(adopted.length).toBeLessThanOrEqual(1);
    // The session and its marker.
    expect(await idsIn(backend)).toHaveLength(2);
    expect(new Set(clients.map(({ jar }) => jar.get("__Host-session"))).size).toBe(1);
    expect(await clients[0]!.data()).toEqual({ cart: ["tea"], n: 50 });
  });

  it("have one session if the first response is lost", async () => {
    const { former } = moved();
    let first = "";
    await former()
      .begin()
      .then(({ session }) => (first = session.id));
    const browser = former();
    await browser.visit((session) => expect(session.id).toBe(first));
    expect(await browser.userId()).toBe("ada");
  });

  it("have one session while the secret key is replaced", async () => {
    const { former, elsewhere } = moved({ secretKey: [KEYS[0], KEYS[1]] });
    let first = "";
    await former().visit((session) => void (first = session.id));
    const later = elsewhere({ secretKey: [KEYS[1], KEYS[0]] });
    const browser = former(later.sessions);
    await browser.visit((session) => expect(session.id).toBe(first));
    await browser.visit((session) => session.signOut());
    expect(await former().userId()).toBeUndefined();
  });

  it("have one session under periodic rotation, and a copy of the former cookie opens nothing once the token was replaced", async () => {
    const { former, time } = moved({ rotation: { every: "10m", grace: "10s" } });
    const browser = former();
    await browser.visit();
    time.now += 11 * 60_000;
    await browser.visit();
    await browser.visit();
    time.now += 11_000;
    expect(await former().userId()).toBeUndefined();
    expect(await browser.userId()).toBe("ada");
  });
});

describe("A former cookie", () => {
  it("opens nothing after a sign-out, and its session has ended in the former store", async () => {
    const { former, old, elsewhere } = moved();
    const browser = former();
    await browser.visit();
    await browser.visit((session) => session.signOut());
    expect(old.sessions.size).toBe(0);
    old.sessions.set("one", ADA);
    for (const sessions of [undefined, elsewhere().sessions]) {
      const copy = former(sessions);
      await copy.visit((session) => expect(session.userId).toBeUndefined());
      expect([...copy.jar]).toEqual([]);
    }
  });

  it("opens nothing after a sign-out in the request that adopts it", async () => {
    const { former, old } = moved();
    const browser = former();
    await browser.visit((session) => session.signOut());
    expect([...browser.jar]).toEqual([]);
    expect(old.sessions.size).toBe(0);
    expect(await former().userId()).toBeUndefined();
  });

  it("opens nothing after another sign-in of the same user, whose sign-out ends the former session", async () => {
    const { former, old } = moved();
    const browser = former();
    await browser.visit();
    await browser.visit((session) => session.signIn("ada"));
    expect(await former().userId()).toBeUndefined();
    expect(old.calls.end).toBe(0);
    await browser.visit((session) => session.signOut());
    expect(old.sessions.size).toBe(0);
  });

  it("opens nothing after the sign-in of another user, which ends the former session", async () => {
    const { former, old } = moved();
    const browser = former();
    await browser.visit();
    await browser.visit((session) => session.signIn("bea"));
    expect(old.sessions.size).toBe(0);
    old.sessions.set("one", ADA);
    expect(await former().userId()).toBeUndefined();
    expect(await browser.userId()).toBe("bea");
  });

  it("of a request that comes after a sign-in sets no cookie, which would undo that of the sign-in", async () => {
    const { former } = moved();
    const browser = former();
    const parallel = browser.copy();
    await browser.visit((session) => session.signIn("bea"));
    const response = await parallel.visit((session) => {
      expect(session.userId).toBeUndefined();
      session.data.n = 1;
    });
    expect(response.headers.getSetCookie().filter((cookie) => !cookie.startsWith("old="))).toEqual([]);
    // A client whose new cookie was lost signs in once more.
    await former().visit((session) => session.signIn("cleo"));
    expect(await browser.userId()).toBe("bea");
  });

  it("opens nothing after a replay, which ends the former session", async () => {
    const { former, old, time } = moved({ rotation: { every: "10m", grace: "10s" } });
    const browser = former();
    await browser.visit();
    const thief = browser.copy();
    time.now += 11 * 60_000;
    await browser.visit();
    await browser.visit();
    time.now += 11_000;
    old.isDown = true;
    expect(await thief.userId()).toBeUndefined();
    expect([old.calls.end, await browser.userId()]).toEqual([1, undefined]);
  });

  it.each([
    ["revoke", async ({ sessions }: ReturnType<typeof moved>, id: string) => sessions.revoke(id)],
    ["revokeAll", async ({ sessions }: ReturnType<typeof moved>) => sessions.revokeAll("ada")],
    ["revokeEverything", async ({ sessions }: ReturnType<typeof moved>) => sessions.revokeEverything()],
  ])("opens nothing after %s", async (_which, end) => {
    const server = moved();
    const { former, old, adopted } = server;
    await former().visit();
    expect(Number(await end(server, adopted[0]!.id))).toBe(1);
    expect(old.sessions.size).toBe(0);
    old.sessions.set("one", ADA);
    expect(await former().userId()).toBeUndefined();
  });

  it.each(["revokeAll", "credentialsChanged", "revokeEverything"])(
    "that comes for the first time after %s opens nothing",
    async (call) => {
      const { former, sessions, browser, elsewhere, backend } = moved();
      const own = browser();
      await own.visit((session) => session.signIn("ada"));
      if (call === "revokeAll") await sessions.revokeAll("ada");
      else if (call === "revokeEverything") await sessions.revokeEverything();
      else await own.visit(async (session) => void (await sessions.credentialsChanged(session)));
      expect(await former(elsewhere().sessions).userId()).toBeUndefined();
      expect(await sessions.revokeEverything()).toBe(call === "credentialsChanged" ? 1 : 0);
      expect(await former().userId()).toBeUndefined();
      expect((await idsIn(backend)).length).toBeLessThanOrEqual(2);
    },
  );

  it("of another user is adopted after revokeAll", async () => {
    const { former, sessions } = moved();
    await sessions.revokeAll("bea");
    expect(await former().userId()).toBe("ada");
  });

  it("opens nothing where its session is revoked while it is adopted", async () => {
    const store = gated({ ...memoryStore({ clock: () => START }) });
    const { former, sessions } = moved({ store });
    const held = store.hold("create", "after");
    const visiting = former().userId();
    await held.arrived;
    expect(await sessions.revokeAll("ada")).toBe(1);
    held.letGo();
    expect(await visiting).toBeUndefined();
    expect(await former().userId()).toBeUndefined();
  });

  it("opens nothing as long as it could be accepted, once its session has expired", async () => {
    const { former, time, old } = moved({ idleTimeout: "30m" });
    old.sessions.set("one", { ...ADA, expiresAt: undefined });
    await former().visit();
    time.now += 31 * 60_000;
    expect(await former().userId()).toBeUndefined();
    time.now += 399 * 24 * HOUR;
    expect(await former().userId()).toBeUndefined();
  });

  it("opens nothing beside another authentic one of the same library", async () => {
    const { sessions, old, store } = moved();
    old.sessions.set("two", { ...ADA, userId: "bea" });
    const open = (cookie: string) => sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
    expect((await open("old=one; old=two")).userId).toBeUndefined();
    expect(store.calls.create).toBe(0);
    expect((await open("old=gone; old=one")).userId).toBe("ada");
    expect((await open("old=one; old=gone")).userId).toBe("ada");
  });

  it("stays beside a planted one, which would otherwise be the only one that the next request has", async () => {
    const { sessions, old } = moved();
    old.sessions.set("two", { ...ADA, userId: "mallory" });
    const request = new Request("https://shop.example/", { headers: { cookie: "old=one; old=two" } });
    const response = await sessions.commit(await sessions.open(request), new Response());
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it("counts by the order of the sources where two libraries have one", async () => {
    const [first, second] = [library(), library()];
    const { find } = second.source;
    Object.assign(second.source, {
      name: "older",
      cookies: [{ name: "older" }],
      find: (valuesOf: (name: string) => readonly string[]) => find(() => valuesOf("older")),
    });
    second.sessions.set("one", { ...ADA, userId: "bea" });
    const { sessions } = site<Data>({ adopt: [first.source, second.source] });
    const open = async (cookie: string) => sessions.open(new Request("https://shop.example/", { headers: { cookie } }));
    expect((await open("older=one; old=gone")).userId).toBe("bea");
    const request = new Request("https://shop.example/", { headers: { cookie: "older=one; old=one" } });
    const session = await sessions.open(request);
    expect(session.userId).toBe("ada");
    const response = await sessions.commit(session, new Response());
    expect(response.headers.getSetCookie().slice(1)).toEqual([
      expect.stringContaining("old=; Max-Age=0"),
      expect.stringContaining("older=; Max-Age=0"),
    ]);
  });
});

describe("An outage", () => {
  it("of the former store is an error of 503, signs nobody out and sets no cookie", async () => {
    const { former, old, store } = moved();
    old.isDown = true;
    const browser = former();
    await expect(browser.visit()).rejects.toMatchObject({
      status: 503,
      message: "adopt: old failed to read a former session: down",
    });
    expect([...browser.jar.keys()]).toEqual(["old"]);
    expect(store.calls.create).toBe(0);
    old.isDown = false;
    await browser.visit((session) => expect(session.userId).toBe("ada"));
  });

  it("of the former store fails a sign-out and a revocation, which can be tried again", async () => {
    const { former, old, sessions, adopted } = moved();
    const browser = former();
    await browser.visit();
    old.isDown = true;
    await expect(browser.visit((session) => session.signOut())).rejects.toMatchObject({
      status: 503,
      message: "adopt: old failed to end a former session: down",
    });
    await expect(sessions.revoke(adopted[0]!.id)).rejects.toMatchObject({ status: 503 });
    expect(await browser.userId()).toBe("ada");
    old.isDown = false;
    await browser.visit((session) => session.signOut());
    expect(await browser.userId()).toBeUndefined();
    expect(old.sessions.size).toBe(0);
  });

  const faults: Fault[] = ["error", "error-after", "lost-reply", "hang"];
  const steps = [
    ["the marker is read", "read", 1],
    ["the session is created", "create", 1],
    ["refusals are read", "read", 2],
    ["the marker is created", "create", 2],
  ] as const;
  const cases = steps.flatMap(([step, operation, call]) =>
    faults.map((fault) => [step, fault, operation, call] as const),
  );

  it.concurrent.each(cases)(
    "when %s (%s) leaves the user signed in, with one session",
    async (_step, fault, operation, call) => {
      const { former, sessions, backend } = moved({
        storeTimeout: "1s",
        faults: { [operation]: (number: number) => (number === call ? fault : "ok") },
      });
      const browser = former();
      const outcome = await browser.visit().then(
        () => "adopted",
        (error: { status?: number }) => error.status,
      );
      expect(["adopted", 503]).toContain(outcome);
      if (outcome === 503) expect([...browser.jar.keys()]).toEqual(["old"]);
      await browser.visit((session) => expect(session.userId).toBe("ada"));
      await former().visit((session) => expect(session.userId).toBe("ada"));
      // A session without a client is deleted, in the background where the store fails at first.
      await vi.waitFor(async () => expect(await sessions.list("ada")).toHaveLength(1), { timeout: 20_000 });
      expect(await idsIn(backend)).toHaveLength(2);
      await browser.visit((session) => session.signOut());
      expect(await former().userId()).toBeUndefined();
    },
  );

  it("of the process after the session is created leaves the user signed in", async () => {
    const store = gated({ ...memoryStore({ clock: () => START }) });
    const { former, elsewhere } = moved({ store });
    const held = store.hold("create", "after");
    const crashed = former().userId();
    await held.arrived;
    const browser = former(elsewhere().sessions);
    await browser.visit((session) => expect(session.userId).toBe("ada"));
    held.letGo();
    expect(await crashed).toBe("ada");
  });

  it("while revokeAll notes the refusal is an error of 503", async () => {
    const { sessions } = moved({ faults: { create: ["error"] } });
    await expect(sessions.revokeAll("ada")).rejects.toMatchObject({ status: 503 });
    expect(await sessions.revokeAll("ada")).toBe(0);
  });
});

describe("The option adopt refuses", () => {
  it.each([
    ["no list", expect.stringContaining("adopt takes a list"), {}],
    ["what is no source", expect.stringContaining("adopt takes a list"), [undefined]],
    ["a source without a name", "adopt: a source has a name, a list of cookies, find and read", [{ find() {} }]],
    [
      "two sources of one name",
      'adopt: two sources have the name "old"; give each a name of its own',
      [library().source, library().source],
    ],
  ])("%s", (_which, message, adopt) => {
    expect(() => site({ adopt: adopt as never })).toThrow(
      expect.objectContaining({ name: "TypeError", message }) as Error,
    );
  });

  it("cookieStore", () => {
    const options = { secretKey: KEYS[0], adopt: [library().source], store: cookieStore() };
    expect(() => createSessions(options)).toThrow(/^adopt needs a store on the server/);
  });

  it.each([
    [{ ...ADA, userId: "" }, "must give the user's id"],
    [
      { ...ADA, userId: 7 as never },
      /must give the user's id .* visitor, not 7: give String\(user\.id\) \(in the option userId /,
    ],
    [
      { ...ADA, userId: { id: 7 } as never },
      /must give the user's id .*, not an object: give its id \(in the option userId /,
    ],
    [{ ...ADA, userId: "\ud800" }, "must give the user's id"],
    [{ ...ADA, expiresAt: NaN }, "must give times in epoch milliseconds"],
  ])("a former session that the source has got wrong: %o", async (wrong, message) => {
    const { former, old } = moved();
    old.sessions.set("one", wrong);
    await expect(former().visit()).rejects.toThrow(message);
  });

  it("no request for a source that throws: the cookie is anonymous, and an event tells", async () => {
    const old = library();
    const errors: unknown[] = [];
    Object.assign(old.source, { find: () => [{ key: 5 }] });
    const { former, sessions } = moved({}, old);
    sessions.on("error", ({ error }) => errors.push(String(error)));
    expect(await former().userId()).toBeUndefined();
    expect(errors).toEqual([expect.stringContaining("must find sessions with a key")]);
  });
});
