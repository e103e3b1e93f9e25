import { inspect } from "node:util";
import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { jumpingClock } from "../test/support/clock.ts";
import { storeError } from "../test/support/failures.ts";
import { begin, KEYS, START, site } from "../test/support/stores.ts";
import type { Session } from "./session.ts";
import { createSessions } from "./sessions.ts";
import { memoryStore } from "./stores/memory.ts";
import type { Fault } from "./testing/faulty.ts";

interface Data {
  n?: number;
}

const HTTPS = "https://shop.example/";

const signIn = (session: Session<Data>) => {
  session.data.n = 1;
  session.signIn("alice");
};

async function signedIn(options: Parameters<typeof site<Data>>[0] = {}) {
  const server = site<Data>(options);
  const browser = server.browser();
  await browser.visit(signIn);
  server.events.length = 0;
  return { ...server, browser };
}

describe("A visitor", () => {
  it("costs no store operation, and gets no cookie and no header, unless somebody looks", async () => {
    const { browser, store, events } = site<Data>();
    const answer = await browser().visit();
    expect(Array.from(answer.headers).filter(([name]) => name !== "content-type")).toEqual([]);
    expect(store.calls.total).toBe(0);
    expect(events).toEqual([]);
  });

  it.each<[string, (session: Session<Data>) => unknown]>([
    ["reads a key", (session) => session.data.n],
    ["pops a key", (session) => session.pop("n")],
    ["shows flashes", (session) => session.takeFlashes()],
    ["asks who it is", (session) => [session.userId, session.id, session.isNew, session.expiresAt]],
    ["signs out", (session) => session.signOut()],
    ["rotates", (session) => session.rotate()],
    ["saves", (session) => session.save()],
    ["takes back a change", (session) => ((session.data.n = 1), delete session.data.n)],
  ])("whose handler %s costs no store operation either, and caches are told to vary", async (_, handler) => {
    const { browser, store } = site<Data>();
    const answer = await browser().visit(handler);
    expect(answer.headers.get("vary")).toBe("Cookie");
    expect(answer.headers.get("cache-control")).toBeNull();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(store.calls.total).toBe(0);
  });

  it("who is written to gets one cookie, one create and an event", async () => {
    const { browser, store, events } = site<Data>();
    const one = browser();
    const answer = await one.visit((session) => (session.data.n = 1));
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    expect(answer.headers.getSetCookie()[0]).toMatch(
      /^__Host-session=1[\w-]{80}; Max-Age=2592000; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    );
    expect(store.calls).toMatchObject({ create: 1, total: 2 });
    expect(store.calls.deleteExpired).toBe(1);
    expect(events).toEqual([{ name: "created", id: (await one.begin()).session.id, userId: undefined }]);
    expect((await one.visit()).headers.getSetCookie()).toEqual([]);
  });

  it("has the id before it is stored that it has after", async () => {
    const { browser } = site<Data>();
    const one = browser();
    let id = "";
    await one.visit((session) => {
      ({ id } = session);
      session.data.n = 1;
    });
    expect((await one.begin()).session.id).toBe(id);
  });
});

describe("sessions.open", () => {
  it("gives the same session for the same request, and another for another", async () => {
    const { sessions } = site();
    const request = new Request(HTTPS);
    const session = await sessions.open(request);
    expect(await sessions.open(request)).toBe(session);
    expect(sessions.of(request)).toBe(session);
    expect(await sessions.open(new Request(HTTPS))).not.toBe(session);
  });

  it("keeps two applications' sessions of one request apart", async () => {
    const [one, two] = [site<Data>(), site<Data>({ cookie: { name: "other" } })];
    const request = new Request(HTTPS);
    (await one.sessions.open(request)).data.n = 1;
    expect((await two.sessions.open(request)).data.n).toBeUndefined();
  });

  it("reads the store once", async () => {
    const { browser, store } = await signedIn();
    const before = store.calls.read;
    const { session, request } = await browser.begin();
    await browser.sessions.open(request);
    await session.load();
    expect(store.calls.read).toBe(before + 1);
  });
});

describe("sessions.commit and caches", () => {
  const read = (session: Session<Data>) => session.data.n;
  const write = (session: Session<Data>) => ((session.data.n = 9), session.rotate());
  const headersOf = async (handler: (session: Session<Data>) => unknown, given: Record<string, string> = {}) => {
    const { browser } = await signedIn();
    const { headers } = await browser.visit(handler, { response: new Response("ok", { headers: given }) });
    return { vary: headers.get("vary"), cache: headers.get("cache-control"), cookies: headers.getSetCookie().length };
  };

  it("tells nothing of a session that nobody looked at", async () => {
    expect(await headersOf(() => undefined)).toEqual({ vary: null, cache: null, cookies: 0 });
    expect(await headersOf(() => undefined, { "cache-control": "public", vary: "Accept" })).toEqual({
      vary: "Accept",
      cache: "public",
      cookies: 0,
    });
  });

  it.each([
    ["", "Cookie"],
    ["Accept", "Accept, Cookie"],
    ["accept-encoding, cookie", "accept-encoding, cookie"],
    ["COOKIE", "COOKIE"],
    ["*", "*"],
    ["Accept,*", "Accept,*"],
    ["Cookie2", "Cookie2, Cookie"],
    ["X-Cookie", "X-Cookie, Cookie"],
  ])("makes of Vary: %j what caches need: %j", async (given, expected) => {
    const vary: Record<string, string> = given ? { vary: given } : {};
    expect((await headersOf(read, vary)).vary).toBe(expected);
    expect((await headersOf(write, vary)).vary).toBe(expected);
  });

  it.each([
    [undefined, "private", "no-store"],
    ["public, max-age=60", "public, max-age=60", "no-store"],
    ["max-age=60", "max-age=60", "no-store"],
    ["private, max-age=60", "private, max-age=60", "private, max-age=60"],
    ["no-store", "no-store", "no-store"],
    ["NO-STORE", "NO-STORE", "NO-STORE"],
    ["no-cache", "no-cache", "no-store"],
    ['private="x"', 'private="x"', "no-store"],
    ["x-private", "x-private", "no-store"],
  ])("keeps Cache-Control %j where no cookie is set (%j), and is safe where one is (%j)", async (given, kept, safe) => {
    const cache: Record<string, string> = given ? { "cache-control": given } : {};
    expect(await headersOf(read, cache)).toMatchObject({ cache: kept, cookies: 0 });
    expect(await headersOf(write, cache)).toMatchObject({ cache: safe, cookies: 1 });
    expect(await headersOf((session) => session.signOut(), cache)).toMatchObject({ cache: safe, cookies: 1 });
  });

  it("keeps every Set-Cookie of the application's own", async () => {
    const { browser } = site<Data>();
    const response = new Response("ok");
    response.headers.append("set-cookie", "a=1");
    response.headers.append("set-cookie", "session=mine");
    const answer = await browser().visit((session) => (session.data.n = 1), { response });
    expect(answer.headers.getSetCookie().slice(0, 2)).toEqual(["a=1", "session=mine"]);
    expect(answer.headers.getSetCookie()).toHaveLength(3);
  });

  it("gives the response itself where there is nothing to tell, otherwise a copy", async () => {
    const { browser } = site<Data>();
    const response = new Response("body", { status: 201 });
    const answer = await browser().visit(signIn, { response });
    expect(answer).not.toBe(response);
    expect([answer.status, await answer.text(), answer.headers.getSetCookie()]).toEqual([
      201,
      "body",
      [expect.any(String)],
    ]);
    const redirect = await browser().visit(signIn, { response: Response.redirect(`${HTTPS}home`, 303) });
    expect(redirect.status).toBe(303);
    expect(redirect.headers.get("location")).toBe(`${HTTPS}home`);
    expect(redirect.headers.getSetCookie()).toHaveLength(1);
    const fetched = await fetch("data:text/plain,hello");
    const copy = await browser().visit(signIn, { response: fetched });
    expect(copy.headers.getSetCookie()).toHaveLength(1);
    expect(await copy.text()).toBe("hello");
    const untouched = Response.redirect(HTTPS, 302);
    expect(await browser().visit(() => undefined, { response: untouched })).toBe(untouched);
  });
});

describe("The cookie", () => {
  it("is __Host- over HTTPS and bare over HTTP, and each opens only there", async () => {
    const { browser } = site<Data>();
    const one = browser();
    await one.visit(signIn, { url: "http://shop.example/" });
    expect(Array.from(one.jar.keys())).toEqual(["session"]);
    expect((await one.begin({}, "http://shop.example/")).session.userId).toBe("alice");
    expect((await one.begin({}, HTTPS)).session.userId).toBeUndefined();
  });

  it("follows a proxy only where it is trusted", async () => {
    for (const [trustProxy, name] of [
      [true, "__Host-session"],
      [false, "session"],
    ] as const) {
      const one = site<Data>({ trustProxy }).browser();
      await one.visit(signIn, { url: "http://shop.example/", headers: { "x-forwarded-proto": "https" } });
      expect(Array.from(one.jar.keys())).toEqual([name]);
    }
  });

  it("is cleared with the attributes that it was set with", async () => {
    const { browser } = await signedIn({
      cookie: { path: "/app", sameSite: "strict", secure: true, partitioned: true },
    });
    const answer = await browser.visit((session) => session.signOut());
    expect(answer.headers.getSetCookie()).toEqual([
      "__Secure-session=; Max-Age=0; Path=/app; Secure; HttpOnly; SameSite=Strict; Partitioned",
    ]);
    expect(browser.jar.size).toBe(0);
  });

  it("has no lifetime where it is to go with the browser, while the server's clocks rule", async () => {
    const { browser, time } = await signedIn({ cookie: { persistent: false }, idleTimeout: "1h" });
    const answer = await browser.visit((session) => session.rotate());
    expect(answer.headers.getSetCookie()[0]).not.toContain("Max-Age");
    time.now += 3_600_000;
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("A store that fails", () => {
  beforeEach(jumpingClock);

  const outcomes: [string, Fault | "throw"][] = [
    ["rejects", new Error("ECONNREFUSED")],
    ["hangs", "hang"],
    ["takes effect and loses its reply", "lost-reply"],
    ["takes effect and rejects", "error-after"],
    ["answers too late", { delay: 60 }],
    ["fails too late", { delay: 60, fault: "error" }],
    ["throws synchronously", "throw"],
  ];
  const handlers = {
    create: (session: Session<Data>) => (session.data.n = 5),
    update: (session: Session<Data>) => session.rotate(),
    delete: (session: Session<Data>) => session.signOut(),
  };

  /** A browser with a session, on a server whose store does as it is told from now on. */
  async function failing(operation: "read" | "create" | "update" | "touch" | "delete", loadError: Fault | "throw") {
    const healthy = await signedIn({ idleTimeout: "1h" });
    const { backend, time } = healthy;
    const thrown = new Error("thrown");
    const store =
      loadError === "throw"
        ? {
            ...backend,
            [operation]: () => {
              throw thrown;
            },
          }
        : backend;
    const faults = loadError === "throw" ? {} : { [operation]: () => loadError };
    const server = site<Data>({ store, faults, storeTimeout: "20ms", idleTimeout: "1h", clock: () => time.now });
    return { healthy, time, server, browser: healthy.browser.copy(server.sessions) };
  }

  it.each(outcomes)(
    "at read (%s) is ERR_SESSION_STORE, the cookie untouched, and nobody is anonymous",
    async (_, loadError) => {
      const { browser, server, healthy } = await failing("read", loadError);
      const request = new Request(HTTPS, { headers: { cookie: browser.cookie } });
      await expect(server.sessions.open(request)).rejects.toEqual(storeError());
      // It stays so for this request: a second look gives the same error, and never an empty session.
      await expect(server.sessions.open(request)).rejects.toEqual(storeError());
      const session = server.sessions.of(request);
      expect(session.isLoaded).toBe(false);
      expect(() => session.data).toThrow(expect.objectContaining({ code: "ERR_SESSION_STORE" }));
      expect(() => session.userId).toThrow(expect.objectContaining({ code: "ERR_SESSION_STORE" }));
      expect(() => session.signIn("bob")).toThrow(expect.objectContaining({ code: "ERR_SESSION_STORE" }));
      expect(() => session.signOut()).toThrow(expect.objectContaining({ code: "ERR_SESSION_STORE" }));
      const answer = await server.sessions.commit(
        session,
        new Response("sorry", { headers: { "cache-control": "public" } }),
      );
      expect(answer.headers.getSetCookie()).toEqual([]);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(await healthy.browser.userId()).toBe("alice");
    },
  );

  it.each(["create", "update", "delete"] as const)(
    "at %s, that takes effect and rejects, signs nobody out, and leaves nothing behind",
    async (operation) => {
      const { browser, server, healthy } = await failing(operation, "error-after");
      const one = operation === "create" ? server.browser() : browser;
      const { session, end } = await one.begin();
      handlers[operation](session);
      const { id } = session;
      await expect(end()).rejects.toEqual(storeError());
      expect(await healthy.browser.userId()).toBe(operation === "delete" ? undefined : "alice");
      if (operation === "create") expect(await healthy.backend.read(id)).toBeUndefined();
    },
  );

  it.each(
    (["create", "update", "delete"] as const).flatMap((operation) =>
      outcomes.map(([name, loadError]) => [operation, name, loadError] as const),
    ),
  )("at %s (%s) is ERR_SESSION_STORE, and no cookie is set or cleared", async (operation, _, loadError) => {
    const { browser, server } = await failing(operation, loadError);
    const one = operation === "create" ? server.browser() : browser;
    const { session, end } = await one.begin();
    handlers[operation](session);
    await expect(end()).rejects.toEqual(storeError());
    const answer = await end(new Response("sorry", { status: 503 }));
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    // The session of a deletion that had its effect is gone, which listeners are told all the same.
    const isGone = operation === "delete" && (loadError === "lost-reply" || loadError === "error-after");
    expect(server.events.map((event) => event.name)).toEqual(isGone ? ["signedOut"] : []);
  });

  it.each(outcomes)("at touch (%s) is told as a fault, and the response goes on", async (_, loadError) => {
    const { browser, server, time } = await failing("touch", loadError);
    time.now += 1_000_000;
    const answer = await browser.visit((session) => session.data.n);
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(server.events).toMatchObject([{ name: "error", error: { code: "ERR_SESSION_STORE" } }]);
  });

  it("leaves no rejection unhandled, however late it comes", async () => {
    const seen: unknown[] = [];
    const listener = (reason: unknown) => seen.push(reason);
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", listener);
    try {
      const late: ((reason: Error) => void)[] = [];
      const never = () => new Promise<never>((_, reject) => late.push(reject));
      const { browser, backend } = await signedIn();
      const store = { ...backend, read: never, create: never };
      const server = site<Data>({ store, storeTimeout: "5ms" });
      await expect(browser.copy(server.sessions).begin()).rejects.toEqual(storeError());
      await expect(server.browser().visit(signIn)).rejects.toEqual(storeError());
      expect(late).toHaveLength(2);
      for (const reject of late) reject(new Error("too late"));
      await nextTurn();
      await nextTurn();
    } finally {
      process.off("unhandledRejection", listener);
      for (const other of others) process.on("unhandledRejection", other);
    }
    expect(seen).toEqual([]);
  });

  it("holds up the other commits of a session no longer than the timeout", async () => {
    const { browser } = await failing("update", "hang");
    const began = performance.now();
    const ends = await Promise.allSettled(
      Array.from({ length: 20 }, () => browser.visit((session) => void session.update("n", (n = 0) => n + 1))),
    );
    expect(ends.every(({ status }) => status === "rejected")).toBe(true);
    // Twenty in a row, each waiting for itself, would be twenty times as long.
    expect(performance.now() - began).toBeLessThan(40);
  });

  it("says so where it knows a random id already", async () => {
    const { browser } = site<Data>({ store: { ...memoryStore(), create: async () => false } });
    await expect(browser().visit(signIn)).rejects.toEqual(storeError());
  });

  it("gives the error's own response nothing but its status", async () => {
    const { browser } = await failing("read", new Error("postgres://admin:hunter2@db"));
    const error = (await browser.begin().catch((reason: unknown) => reason)) as { getResponse(): Response };
    const response = error.getResponse();
    expect(response.status).toBe(503);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.text()).toBe("Service Unavailable: please try again in a moment\n");
  });
});

describe("After the response's head", () => {
  const late = expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT", status: 500 });

  it("a session can't begin, end or change its token", async () => {
    const { browser } = await signedIn();
    const { session, end } = await browser.begin();
    expect(session.userId).toBe("alice");
    await end();
    for (const act of [() => session.signIn("bob"), () => session.signOut(), () => session.rotate()]) {
      expect(act).toThrow(late);
    }
    const visitor = await site<Data>().browser().begin();
    expect(visitor.session.data).toEqual({});
    await visitor.end();
    visitor.session.data.n = 1;
    await expect(visitor.session.save()).rejects.toEqual(late);
  });

  it("a session that there is can be changed, if it is saved", async () => {
    const { browser } = await signedIn();
    const { session, end } = await browser.begin();
    expect(session.userId).toBe("alice");
    await end();
    session.data.n = 7;
    await session.save();
    expect((await browser.data()).n).toBe(7);
  });

  it("a session is not looked at for the first time, be it a visitor's, since caches were not told", async () => {
    for (const browser of [(await signedIn()).browser, site<Data>().browser()]) {
      const { session, end } = await browser.begin();
      const answer = await end();
      expect(answer.headers.get("vary")).toBeNull();
      expect(() => session.data).toThrow(late);
      expect(() => session.userId).toThrow(/personal: true/);
      await expect(session.save()).rejects.toEqual(late);
    }
  });

  it("a session is looked at for the first time where it was attached", async () => {
    const { browser } = await signedIn();
    const session = await browser.sessions.attach(new Request(HTTPS, { headers: { cookie: browser.cookie } }));
    expect(session.userId).toBe("alice");
  });
});

describe("sessions.commit, called once more", () => {
  it("leaves the response that it gave as it is", async () => {
    const { browser } = await signedIn();
    const { session, end } = await browser.begin();
    session.rotate();
    const answer = await end();
    const again = await browser.sessions.commit(session, answer);
    expect(again).toBe(answer);
    expect(again.headers.getSetCookie()).toHaveLength(1);
  });

  it("gives the cookie to another response too, which is the one that is sent", async () => {
    const { browser } = await signedIn();
    const { session, end } = await browser.begin();
    session.rotate();
    const answer = await end();
    const again = await browser.sessions.commit(session, new Response("another"));
    expect(Array.from(again.headers)).toEqual(Array.from(answer.headers));
    const third = await browser.sessions.commit(session, new Response("a third"));
    expect(third.headers.getSetCookie()).toEqual(answer.headers.getSetCookie());
  });

  it("stores what has changed since, and has one cookie of its own where there is a newer one", async () => {
    const { browser } = site<Data>();
    const one = browser();
    const { session, end } = await one.begin();
    session.data.n = 1;
    const answer = await end(new Response("ok", { headers: { "set-cookie": "theme=dark" } }));
    session.data.n = 2;
    const again = await one.sessions.commit(session, answer);
    expect(again.headers.getSetCookie()).toEqual(answer.headers.getSetCookie());
    expect((await one.data()).n).toBe(2);
  });

  it("takes the cookie out of the response where the session has ended meanwhile", async () => {
    const { browser } = site<Data>();
    const one = browser();
    const { session, end } = await one.begin();
    session.signIn("alice");
    const answer = await end(new Response("ok", { headers: { "set-cookie": "theme=dark" } }));
    await one.sessions.revokeAll("alice");
    session.data.n = 2;
    const again = await one.sessions.commit(session, answer);
    expect(again.headers.getSetCookie()).toEqual(["theme=dark"]);
  });

  it("makes an error's response of one that can't be stored, once", async () => {
    const { browser, store } = site<Data>({ faults: { create: ["error"] } });
    const one = browser();
    const { session, end } = await one.begin();
    session.data.n = 1;
    await expect(end()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    const sorry = await one.sessions.commit(session, new Response("sorry", { status: 503 }));
    expect([sorry.headers.get("cache-control"), sorry.headers.getSetCookie()]).toEqual(["no-store", []]);
    expect(store.calls.create).toBe(1);
  });

  it("refuses a response whose body was read, before it stores anything", async () => {
    const { browser, store } = site<Data>();
    const { session, end } = await browser().begin();
    session.data.n = 1;
    const used = new Response("read");
    await used.text();
    await expect(end(used)).rejects.toThrow(/body of this response has been read/);
    await expect(end(used)).rejects.toThrow(TypeError);
    expect(store.calls.create).toBe(0);
    expect((await end(new Response("new"))).headers.getSetCookie()).toHaveLength(1);
  });
});

describe("Secrets", () => {
  it("are in nothing that is logged: no event, no error, no inspected session, request or sessions", async () => {
    const seen: unknown[] = [];
    const server = await signedIn({ encrypted: true, faults: { update: ["ok", "ok", "error"] }, idleTimeout: "1h" });
    const { browser, sessions, events, time } = server;
    const tokens = [browser.jar.get("__Host-session")!];
    const keep = async (act: Promise<unknown>) => seen.push(await act.catch((error: unknown) => error));
    await browser.visit((session) => session.rotate());
    tokens.push(browser.jar.get("__Host-session")!);
    await keep(browser.visit((session) => session.signIn("alice")).then(() => undefined));
    tokens.push(browser.jar.get("__Host-session")!);
    await keep(browser.visit((session) => session.rotate()).then(() => undefined));
    const { session } = await browser.begin();
    session.data.n = 77_777;
    time.now += 1;
    seen.push(events, session, sessions, server.store);
    await keep(
      browser
        .copy()
        .visit((one) => one.signOut())
        .then(() => undefined),
    );
    await keep(session.save());

    const texts = seen.flatMap((one) => [
      inspect(one, { depth: 20, showHidden: true, getters: true }),
      JSON.stringify(one, Object.getOwnPropertyNames(Object(one))),
      JSON.stringify(one),
      one instanceof Error ? `${one.stack} ${inspect(one.cause)}` : String(one),
    ]);
    for (const text of texts) {
      for (const secret of [...tokens, ...tokens.map((token) => token.slice(23, 45)), KEYS[0]]) {
        expect(text ?? "").not.toContain(secret);
      }
    }
    expect(texts.join("")).not.toContain("77777");
    expect(seen.some((one) => (one as { code?: unknown } | undefined)?.code === "ERR_SESSION_STORE")).toBe(true);
  });

  it("are not in what the store is given: only their hash is, and that sealed", async () => {
    const { browser, backend } = await signedIn({ encrypted: true });
    const token = browser.jar.get("__Host-session")!;
    const { id } = (await browser.begin()).session;
    const row = (await backend.read(id))!;
    const text = Buffer.from(row.payload).toString("latin1") + JSON.stringify(row);
    expect(token).toContain(id);
    expect(text).not.toContain(token.slice(23, 45));
    expect(text).not.toContain('"n"');
  });
});

describe("Events", () => {
  it("tell what happened, in order, with id and user", async () => {
    const { browser, events } = site<Data>();
    const one = browser();
    await one.visit((session) => (session.data.n = 1));
    const { id } = (await one.begin()).session;
    await one.visit((session) => session.signIn("alice"));
    const nextId = (await one.begin()).session.id;
    await one.visit((session) => session.rotate());
    await one.visit((session) => session.signOut());
    expect(events).toEqual([
      { name: "created", id, userId: undefined },
      { name: "signedIn", id: nextId, userId: "alice", previousId: id },
      { name: "rotated", id: nextId, userId: "alice" },
      { name: "signedOut", id: nextId, userId: "alice" },
    ]);
  });

  it("of a listener that throws do not fail the request", async () => {
    const { browser, sessions } = site<Data>();
    sessions.on("created", () => {
      throw new Error("the listener's mistake");
    });
    expect((await browser().visit(signIn)).headers.getSetCookie()).toHaveLength(1);
  });
});

describe("sessions.close", () => {
  it("closes the store, after which every request with a cookie fails and visitors still pass", async () => {
    const { browser, sessions } = await signedIn();
    await sessions.close();
    await sessions.close();
    await expect(browser.begin()).rejects.toEqual(storeError());
    browser.jar.clear();
    expect((await browser.visit()).status).toBe(200);
  });

  it("passes for a store that has nothing to close", async () => {
    const { read, create, update, touch, delete: end } = memoryStore();
    const sessions = createSessions({ secretKey: KEYS[0], store: { read, create, update, touch, delete: end } });
    await expect(sessions.close()).resolves.toBeUndefined();
  });
});

describe("ids", () => {
  it("are 100,000 times different", async () => {
    const { sessions } = site({ clock: () => START });
    const ids = new Set<string>();
    const request = { url: HTTPS, headers: { get: () => null } };
    for (let i = 0; i < 100_000; i++) ids.add(begin(sessions, { ...request }).id);
    expect(ids.size).toBe(100_000);
  });
});
