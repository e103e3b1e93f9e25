import { inspect } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { begin, site } from "../test/support/stores.ts";
import { createSessions } from "./sessions.ts";
import { memoryStore } from "./stores/memory.ts";

// Mistakes that people make, and the messages that they see.

/** Code as CommonJS without "use strict" runs it. */
const sloppy = (code: string): ((session: object) => unknown) =>
  // oxlint-disable-next-line typescript/no-implied-eval -- modules are always strict
  new Function("session", code) as (session: object) => unknown;

async function signedIn() {
  const shop = site();
  const browser = shop.browser();
  await browser.visit((session) => {
    session.data["cart"] = ["tea"];
    session.signIn("alice");
  });
  return { ...shop, browser, ...(await browser.begin()) };
}

describe("a session", () => {
  it.each([
    [
      "session.cart = []",
      "session.cart would be lost with this request, since only session.data is kept: set session.data.cart",
    ],
    ["session.data = {}", "session.data can be changed and not replaced"],
    [
      "const { flash } = session; flash('info', 'x')",
      "session.flash was called without its session: write session.flash(…)",
    ],
    ["const { signOut } = session; signOut()", "session.signOut was called without its session"],
    ["session.regenerate(() => {})", "session.signIn(userId) gives the session a new id and token"],
    ["session.destroy(() => {})", "session.signOut() ends the session"],
    ["session.touch()", "a session is extended by being read"],
    ["session.cookie.maxAge = 1000", "see the option cookie of createSessions"],
    ["session.userId = 'alice'", "session.signIn(userId) signs in"],
    ["session.set('a', 1)", "session.data.key = value sets a key"],
    ["session.get('a')", "session.data.key reads a key"],
    ["session.sessionID", "session.id is the public id"],
    ["session.flash('Saved.')", "the message is missing"],
    ["session.flash = {}", "session.flash is a method"],
    ["session.update('cart', (cart) => { cart.push('milk') })", "the function returned nothing. Return the new value"],
    ["session.update('basket', (basket = []) => { basket.push('milk') })", "the function returned nothing"],
    ["session.update('cart', async (cart) => cart)", "needs a synchronous function"],
    ["session.signIn(7)", "signIn(userId) takes the user's id"],
    ["session.signIn('alice', { rememer: '30d' })", 'signIn has no option "rememer"'],
    ["session.signIn('alice', { remember: { idle: '30d' } })", 'signIn: remember has no option "idle"'],
    ["session.signIn('alice', { remember: 30 })", "has no unit"],
    [
      "session.signedInWithin(600)",
      '600 has no unit; write "600s" for seconds (10 minutes), or "600ms" for milliseconds',
    ],
  ])("says what to write instead of %s", async (code, message) => {
    const { session } = await signedIn();
    expect(() => sloppy(code)(session)).toThrow(TypeError);
    expect(() => sloppy(code)(session)).toThrow(message);
  });

  it.each(["save", "reload"] as const)(
    "refuses a callback of %s at once, since nobody awaits a promise then",
    async (name) => {
      const { session } = await signedIn();
      const callback = session[name] as (done: () => void) => unknown;
      expect(() => callback.call(session, () => {})).toThrow(`session.${name}() takes no callback`);
    },
  );

  it("is shown by console.log with id, user, data and times, and never its token", async () => {
    const { session, browser } = await signedIn();
    const shown = inspect(session, { depth: 5 });
    for (const part of [session.id, "alice", "tea", "expiresAt", "2001"]) expect(shown).toContain(part);
    const [token] = browser.jar.values();
    expect(shown).not.toContain(token!.slice(30, 60));
  });

  it("is shown as not loaded, without reading it, where a route is lazy", async () => {
    const { sessions, browser } = await signedIn();
    const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
    expect(inspect(begin(sessions, request))).toBe("Session (not loaded)");
  });

  it("tells its end with the timeouts of a sign-in that remembers", async () => {
    const { session, time } = await signedIn();
    session.signIn("alice", { remember: "60d" });
    expect(session.expiresAt).toBe(time.now + 60 * 86_400_000);
  });

  it("gives a copy of its data that can be cloned, which has no effect on the session", async () => {
    const { session, end, browser } = await signedIn();
    const copy = structuredClone(session.toJSON()) as { cart: string[] };
    copy.cart.push("milk");
    expect(JSON.stringify(session)).toBe('{"cart":["tea"]}');
    await end();
    expect(await browser.data()).toEqual({ cart: ["tea"] });
  });

  it("loses every key by clear()", async () => {
    const { session, end, browser } = await signedIn();
    session.clear();
    await end();
    expect(await browser.data()).toEqual({});
    expect(await browser.userId()).toBe("alice");
  });
});

describe("sessions.of", () => {
  const sessions = createSessions({
    secretKey: "4f0c1d5e8a7b92e6c3d81f40a59be7264f0c9d5e8a7b12e6c3d81f40a59be72d",
    store: memoryStore(),
  });

  it.each([
    [
      { app: {}, res: {}, headers: {}, socket: {}, httpVersion: "1.1" },
      'app.use(sessionMiddleware(sessions)) from "sojourn/express"',
    ],
    [
      { routeOptions: {}, headers: {}, raw: { headers: {}, socket: {}, httpVersion: "1.1" } },
      'app.register(sessionPlugin(sessions)) from "sojourn/fastify"',
    ],
    [{ req: { raw: new Request("http://localhost/") } }, 'app.use(sessionMiddleware(sessions)) from "sojourn/hono"'],
    [
      { headers: {}, socket: {}, httpVersion: "1.1" },
      'createServer(withSession(sessions, handler)) from "sojourn/node"',
    ],
    [new Request("http://localhost/"), 'withSession(sessions, handler) from "sojourn/fetch"'],
  ])("names the middleware to mount for a request without a session", (request, advice) => {
    expect(() => sessions.of(request as never)).toThrow(TypeError);
    expect(() => sessions.of(request as never)).toThrow(advice);
  });
});

describe("sessions", () => {
  it.each([
    ["revokeAll", [undefined]],
    ["revokeAll", [""]],
    ["list", [undefined]],
    ["revoke", [undefined]],
    ["revoke", ["id", { userId: undefined }]],
    ["revokeAll", ["alice", { exept: "id" }]],
  ] as const)("refuse %s(%j)", async (name, args) => {
    const { sessions, browser } = await signedIn();
    const call = sessions[name] as (...given: unknown[]) => Promise<unknown>;
    await expect(call(...args)).rejects.toThrow(TypeError);
    expect(await browser.userId()).toBe("alice");
  });

  it.each(["revokeAll", "list"] as const)("refuse a session in place of its id: %s", async (name) => {
    const { sessions, browser, session } = await signedIn();
    const option = name === "list" ? { current: session } : { except: session };
    const call = sessions[name] as (...given: unknown[]) => Promise<unknown>;
    await expect(call("alice", option)).rejects.toThrow(TypeError);
    await expect(call("alice", option)).rejects.toThrow("the id of a session, session.id");
    expect(await browser.userId()).toBe("alice");
  });

  it("revoke a session only if it is the given user's", async () => {
    const { sessions, browser, session } = await signedIn();
    expect(await sessions.revoke(session.id, { userId: "mallory" })).toBe(false);
    expect(await browser.userId()).toBe("alice");
    expect(await sessions.revoke(session.id, { userId: "alice" })).toBe(true);
    expect(await browser.userId()).toBeUndefined();
  });

  it("refuse to open the session of a request for a WebSocket, which could lose the browser its token", async () => {
    const { sessions, browser } = await signedIn();
    const headers = { cookie: browser.cookie, upgrade: "websocket" };
    const request = { url: "https://shop.example/", headers: new Headers(headers) };
    await expect(sessions.open(request)).rejects.toThrow("use sessions.attach(request)");
  });
});

describe("a change after the response", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  afterEach(() => {
    vi.useRealTimers();
    warned.mockClear();
  });

  async function changedLate(save: boolean, path: string) {
    vi.useFakeTimers();
    const { sessions, browser, events } = await signedIn();
    const { session, end } = await browser.begin({}, `https://shop.example${path}?secret=1`);
    expect(session.userId).toBe("alice");
    await (await end()).text();
    session.data["late"] = 1;
    if (save) await session.save();
    await vi.advanceTimersByTimeAsync(2000);
    const { data } = await sessions.open(new Request("https://shop.example/", { headers: { cookie: browser.cookie } }));
    return { events, data };
  }

  it("that nobody saves is reported by an event, and by one warning that names the route", async () => {
    for (let i = 0; i < 2; i++) {
      const { events, data } = await changedLate(false, "/late-change");
      expect(events.at(-1)).toMatchObject({ name: "dropped", reason: "late", userId: "alice" });
      expect(data).not.toHaveProperty("late");
    }
    expect(warned).toHaveBeenCalledTimes(1);
    expect(warned.mock.calls[0]![0]).toMatch(
      /^GET \/late-change: the session was changed after its response had ended.*save\(\)/,
    );
  });

  it("that is saved is kept, and nothing is reported", async () => {
    const { events, data } = await changedLate(true, "/late-save");
    expect(data).toHaveProperty("late", 1);
    expect(events.filter(({ name }) => name === "dropped")).toEqual([]);
    expect(warned).not.toHaveBeenCalled();
  });
});
