import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KEYS, site } from "../../../test/support/stores.ts";
import { SessionError } from "../../errors.ts";
import { cookieStore } from "../../cookie-store/store.ts";
import type { Session } from "../../session.ts";
import { createSessions, type Sessions } from "../../sessions.ts";
import { createNextSessions, type NextFunctions, type NextOptions } from "./create.ts";
import { isPrefetch, originOf } from "./request.ts";

type Data = Record<string, unknown>;

/** Stands for Next.js in one request. */
function nextFor(cookie = "", { isRendering = false, isPrefetching = false, headers = {} } = {}) {
  const set = new Map<string, string>();
  const given = new Headers({
    host: "shop.example",
    "x-forwarded-proto": "https",
    ...(cookie && { cookie }),
    ...headers,
  });
  const tasks: (() => void)[] = [];
  const next = {
    headers: () => Promise.resolve(given),
    cookies: () =>
      Promise.resolve({
        set(name: string, value: string) {
          if (isRendering) throw new Error("Cookies can only be modified in a Server Action or Route Handler.");
          // The same as in Next.js, where the first argument may be an object.
          set.set(typeof name === "string" ? name : (name as { name: string }).name, value);
        },
      }),
    connection: () => (isPrefetching ? new Promise<void>(() => {}) : Promise.resolve()),
    after: (task: () => void) => void tasks.push(task),
    refresh: vi.fn<() => void>(),
  };
  return { next, set, tasks };
}

/** An application, whose requests have each a Next.js of their own. */
function application(sessions: Sessions<Data>, options: NextOptions = {}) {
  let current: NextFunctions;
  const forwarded: NextFunctions = {
    headers: () => current.headers(),
    cookies: () => current.cookies(),
    connection: () => current.connection(),
    after: (task) => current.after(task),
    refresh: () => current.refresh(),
  };
  const app = createNextSessions<Data>(forwarded, sessions, options);
  return { app, during: (next: NextFunctions) => ((current = next), app) };
}

const navigation = (digest: string) => Object.assign(new Error(digest), { digest });

describe("nextSessions", () => {
  const { sessions, store, browser, time } = site<Data>({ idleTimeout: "10m" });
  const { app, during } = application(sessions);
  let cookie = "";
  beforeEach(async () => {
    const one = browser();
    await one.visit((session) => {
      session.data["cart"] = { items: ["tea"] };
      session.signIn("ada");
    });
    ({ cookie } = one);
  });
  afterEach(() => vi.restoreAllMocks());

  it("gives a component the session, with one read for all that ask", async () => {
    const { next } = nextFor(cookie);
    const { getSession } = during(next);
    const { read } = store.calls;
    const [one, other] = await Promise.all([getSession(), getSession()]);
    expect([one === other, one.userId, one.data]).toEqual([true, "ada", { cart: { items: ["tea"] } }]);
    expect(store.calls.read).toBe(read + 1);
  });

  it("refuses a component every change, at any depth, with the remedy", async () => {
    const session = (await during(nextFor(cookie).next).getSession()) as unknown as Session<Data>;
    const { items } = session.data["cart"] as { items: string[] };
    for (const change of [
      () => (session.data["n"] = 1),
      () => delete session.data["cart"],
      () => items.push("milk"),
      () => Object.defineProperty(items, 0, { value: "" }),
      () => session.signIn("eve"),
      () => session.signOut(),
      () => session.flash("info", "no"),
      () => session.save(),
      () => ((session as unknown as Data)["user"] = 1),
    ])
      expect(change).toThrow(/action\(async \(session\) => …\), or in a route handler, route\(/);
    expect(items).toEqual(["tea"]);
  });

  it("refuses a component changes in sets, in keys of maps, and of URLs", async () => {
    const { next } = nextFor(cookie);
    during(next);
    await app.action(({ data }) => {
      data["set"] = new Set([{ n: 1 }]);
      data["map"] = new Map([[{ n: 1 }, 1]]);
      data["url"] = new URL("https://shop.example/a?b=1");
    })();
    interface Stored {
      readonly set: Set<{ n: number }>;
      readonly map: Map<{ n: number }, number>;
      readonly url: URL;
    }
    const { set, map, url } = (await app.getSession()).data as unknown as Stored;
    for (const change of [
      () => ([...set][0]!.n = 2),
      () => ([...map.keys()][0]!.n = 2),
      () => (url.pathname = "/b"),
      () => url.searchParams.append("c", "1"),
    ])
      expect(change).toThrow(/action\(async \(session\) => …\)/);
    expect([[...set], [...map], url.href]).toEqual([[{ n: 1 }], [[{ n: 1 }, 1]], "https://shop.example/a?b=1"]);
  });

  it("extends the session of a visit, but not for a prefetch", async () => {
    for (const [isPrefetching, extended] of [
      [true, 0],
      [false, 1],
    ] as const) {
      time.now += 4 * 60_000;
      const { touch } = store.calls;
      const { next } = nextFor(cookie, { isPrefetching });
      await during(next).getSession();
      await vi.waitFor(() => expect(store.calls.touch).toBe(touch + extended));
    }
  });

  it("refuses getSession() in a function that is cached, and gives it the plain object", async () => {
    const { next } = nextFor(cookie);
    const cached = {
      ...next,
      connection() {
        throw new Error("`connection()` inside use cache: private");
      },
    };
    await expect(during(cached).getSession()).rejects.toThrow("call readSession() there");
    expect((await during(cached).readSession()).userId).toBe("ada");
  });

  it("releases session.signal when the page has been sent", async () => {
    const { next, tasks } = nextFor(cookie);
    const session = await during(next).getSession();
    expect(session.signal.aborted).toBe(false);
    expect(tasks).toHaveLength(1);
    for (const task of tasks) task();
  });

  it("stores an action that signs in, sets its cookie, and shows the user to the components after it", async () => {
    const { next, set } = nextFor();
    const login = app.action((session, name: string) => session.signIn(name));
    during(next);
    await login("bob");
    expect([...set.keys()]).toEqual(["__Host-session"]);
    expect((await app.getSession()).userId).toBe("bob");
  });

  it.each(["NEXT_REDIRECT;push;/;307;", "NEXT_HTTP_ERROR_FALLBACK;404"])(
    "stores an action that ends with %s",
    async (digest) => {
      const { next, set } = nextFor();
      const login = app.action((session) => {
        session.signIn("bob");
        throw navigation(digest);
      });
      during(next);
      await expect(login()).rejects.toThrow(digest);
      expect(set.size).toBe(1);
    },
  );

  it("renews a token of a previous key with an action, since a component can't", async () => {
    const { backend, ...former } = site<Data>({ secretKey: KEYS[1] });
    const one = former.browser();
    await one.visit((session) => session.signIn("ada"));
    const renewing = application(
      createSessions<Data>({ secretKey: [KEYS[0], KEYS[1]], store: backend, clock: () => time.now }),
    );
    const { next, set } = nextFor(one.cookie);
    renewing.during(next);
    expect((await renewing.app.getSession()).userId).toBe("ada");
    expect(set.size).toBe(0);
    await renewing.app.action((session) => session.userId)();
    expect([...set.keys()]).toEqual(["__Host-session"]);
  });

  it("discards the changes of an action that fails", async () => {
    const { next, set } = nextFor(cookie);
    const { update } = store.calls;
    const fail = app.action((session) => {
      session.data["n"] = 1;
      throw new Error("planned");
    });
    during(next);
    await expect(fail()).rejects.toThrow("planned");
    expect([set.size, store.calls.update]).toEqual([0, update]);
    expect((await app.getSession()).userId).toBe("ada");
  });

  it("shows and stores nothing of a failed action, in components and in an action after it", async () => {
    const { next } = nextFor(cookie);
    const fail = app.action((session) => {
      session.data["n"] = 1;
      session.signIn("eve");
      throw new Error("planned");
    });
    during(next);
    await expect(fail()).rejects.toThrow("planned");
    const { userId, data } = await app.getSession();
    expect([userId, data]).toEqual(["ada", { cart: { items: ["tea"] } }]);
    await app.action((session) => void (session.data["m"] = 2))();
    during(nextFor(cookie).next);
    expect(await app.readSession()).toMatchObject({ userId: "ada", data: { cart: { items: ["tea"] }, m: 2 } });
  });

  it("runs an action that a route handler calls, with its session", async () => {
    const { next } = nextFor();
    const login = app.action((session, name: string) => session.signIn(name));
    const handle = app.route(async (_request, session) => {
      await login("bob");
      return new Response(session.userId);
    });
    during(next);
    const response = await handle(new Request("https://shop.example/", { method: "POST" }));
    expect([await response.text(), response.headers.getSetCookie().length]).toEqual(["bob", 1]);
  });

  it("has the page rendered anew if an action has changed the session, and not otherwise", async () => {
    const { next } = nextFor(cookie);
    during(next);
    await app.action((session) => session.userId)();
    expect(next.refresh).not.toHaveBeenCalled();
    await app.action((session) => void (session.data["n"] = 1))();
    expect(next.refresh).toHaveBeenCalledOnce();
  });

  it("refuses an action that a component calls, before anything is stored", async () => {
    const { next } = nextFor(cookie, { isRendering: true });
    const { total } = store.calls;
    const login = app.action((session) => session.signIn("eve"));
    during(next);
    await expect(login()).rejects.toThrow("action(fn): this function was called while Next.js renders");
    expect(store.calls.total).toBe(total);
  });

  it("refuses an action of a page of another site, with the option csrf", async () => {
    const { csrfProtection } = await import("../csrf.ts");
    const guarded = application(sessions, { csrf: csrfProtection() });
    const { next } = nextFor(cookie, { headers: { "sec-fetch-site": "cross-site" } });
    guarded.during(next);
    const perform = vi.fn<() => void>();
    await expect(guarded.app.action(perform)()).rejects.toThrow(SessionError);
    expect(perform).not.toHaveBeenCalled();
  });

  it("takes flashes once in a component, and says why it can't with sessions in cookies", async () => {
    const { next } = nextFor(cookie);
    during(next);
    await app.action((session) => session.flash("info", "Saved."))();
    during(nextFor(cookie).next);
    expect(await app.takeFlashes()).toEqual([{ category: "info", message: "Saved." }]);
    during(nextFor(cookie).next);
    expect(await app.takeFlashes()).toEqual([]);

    const inCookies = application(createSessions<Data>({ secretKey: KEYS[0], store: cookieStore() }));
    const { next: first, set } = nextFor();
    inCookies.during(first);
    await inCookies.app.action((session) => session.flash("info", "Saved."))();
    inCookies.during(nextFor(Array.from(set, (pair) => pair.join("=")).join("; ")).next);
    await expect(inCookies.app.takeFlashes()).rejects.toThrow("takeFlashes(): sessions are kept in cookies");
  });

  it("gives a plain object, and no id to a visitor", async () => {
    during(nextFor(cookie).next);
    const { id, ...snapshot } = await app.readSession();
    expect(id).toMatch(/^[\w-]{22}$/);
    expect(snapshot).toEqual({ userId: "ada", signedInAt: expect.any(Number), data: { cart: { items: ["tea"] } } });
    expect(structuredClone(snapshot)).toEqual(snapshot);
    during(nextFor().next);
    expect(await app.readSession()).toEqual({ id: undefined, userId: undefined, signedInAt: undefined, data: {} });
  });

  it("runs a route handler without Next.js, in a test of the application", async () => {
    const hello = app.route((_request, session) => new Response(`Hello ${session.userId}`));
    const { next } = nextFor();
    during({ ...next, headers: () => Promise.reject(new Error("outside a request scope")) });
    const response = await hello(new Request("https://shop.example/", { headers: { cookie } }));
    expect(await response.text()).toBe("Hello ada");
  });

  it("refuses sessions that createSessions has not made, and an unknown option", () => {
    const { next } = nextFor();
    expect(() => createNextSessions(next, { ...sessions }, {})).toThrow(TypeError);
    expect(() => createNextSessions(next, sessions, { lazily: true } as never)).toThrow(TypeError);
  });
});

describe("a prefetch", () => {
  it.each([
    [{ "next-router-prefetch": "1" }, true],
    [{ "sec-purpose": "prefetch;prerender" }, true],
    [{ purpose: "prefetch" }, true],
    [{ rsc: "1" }, false],
  ])("is known by its headers: %o", (headers, expected) => {
    expect(isPrefetch(new Headers(headers as Record<string, string>))).toBe(expected);
  });

  it("is known by the header that headers() of Next.js hides from components", () => {
    const hiding = (headers: Record<string, string>) => Object.assign(new Headers(), { headers });
    expect(isPrefetch(hiding({ "next-router-prefetch": "1" }))).toBe(true);
    expect(isPrefetch(hiding({ rsc: "1" }))).toBe(false);
  });
});

describe("the origin of a request of Next.js", () => {
  it.each([
    [{ host: "a.example", "x-forwarded-proto": "https" }, "https://a.example"],
    [{ host: "a.example:3000" }, "http://a.example:3000"],
    [{}, "http://localhost"],
  ])("follows its headers: %o", (headers, expected) => {
    expect(originOf(new Headers(headers as Record<string, string>))).toBe(expected);
  });
});
