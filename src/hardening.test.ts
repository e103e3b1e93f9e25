import { afterEach, describe, expect, it, vi } from "vitest";
import { gated, site, START } from "../test/support/stores.ts";
import { finishResponse } from "./request/respond.ts";
import { requestSessionOf } from "./request/session-handle.ts";
import { routeOf } from "./request/request.ts";
import { memoryStore } from "./stores/memory.ts";

// Breaches that an attacker found, each as its smallest program.

describe("A late value that can't be kept", () => {
  it("rejects, and throws nothing at once", async () => {
    const browser = site({ limits: { bytes: 100 } }).browser();
    await browser.visit((session) => (session.data["a"] = 1));
    const { session, end } = await browser.begin();
    expect(session.data["a"]).toBe(1);
    await end();
    session.data["big"] = "x".repeat(200);
    await expect(finishResponse(requestSessionOf(session))).rejects.toMatchObject({ code: "ERR_SESSION_TOO_LARGE" });
  });
});

describe("The name of a route", () => {
  it.each(["//", "/\\", "//[", "http://[", "*", "?", "/a?token=1"])("can be given for a request of %s", (url) => {
    expect(routeOf({ url, headers: new Headers() })).toMatch(/^GET /);
    expect(routeOf({ url, headers: new Headers() })).not.toContain("token");
  });
});

describe("An update of a key that objects inherit", () => {
  it.each(["__proto__", "constructor", "toString"])(
    "changes no prototype before another user's sign-in: %s",
    async (key) => {
      const browser = site().browser();
      await browser.visit((session) => session.signIn("eve"));
      const { session, end } = await browser.begin();
      session.update(key, (list: unknown = {}) => Object.assign(list as object, { isAdmin: true }));
      session.signIn("ada", { keep: ["cart"] as never });
      await end();
      expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
      expect((Object as unknown as { isAdmin?: unknown }).isAdmin).toBeUndefined();
      expect(Object.hasOwn(await browser.data(), key)).toBe(true);
    },
  );
});

describe("Another user's sign-in", () => {
  it("takes no object of before along that was put into an updated value", async () => {
    const browser = site().browser();
    await browser.visit((session) => {
      session.data["profile"] = { iban: "secret" };
      session.data["draft"] = {};
      session.signIn("ada");
    });
    await browser.visit((session) => {
      session.update("draft", (draft: unknown = {}) => draft);
      (session.data["draft"] as Record<string, unknown>)["from"] = session.data["profile"];
      session.signIn("bob");
    });
    expect(JSON.stringify(await browser.data())).not.toContain("secret");
  });
});

describe("A sign-out while a save() stores the session's first state", () => {
  it("ends it: neither a cookie nor a listed session is left", async () => {
    const store = gated(memoryStore({ clock: () => START }));
    const shop = site({ store });
    const browser = shop.browser();
    const { session, end } = await browser.begin();
    session.signIn("ada");
    const saving = session.save();
    session.signOut();
    await saving;
    await end();
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });
});

describe("A response without a body", () => {
  it("waits for a change that came while its session was stored", async () => {
    const store = gated(memoryStore({ clock: () => START }));
    const shop = site({ store });
    const browser = shop.browser();
    await browser.visit((session) => (session.data["a"] = 1));
    const { session, end } = await browser.begin();
    session.data["a"] = 2;
    const held = store.hold("update");
    const answering = end(new Response(null, { status: 303 }));
    await held.arrived;
    session.data["b"] = 1;
    held.letGo();
    await answering;
    expect(await browser.data()).toEqual({ a: 2, b: 1 });
  });
});

describe("A change during a response that lasts for minutes", () => {
  afterEach(() => void vi.useRealTimers());

  it("is stored before its last byte, and not given up meanwhile", async () => {
    vi.useFakeTimers();
    const shop = site();
    const browser = shop.browser();
    await browser.visit((session) => (session.data["a"] = 1));
    const { session, end } = await browser.begin();
    expect(session.data["a"]).toBe(1);
    let close!: () => void;
    const body = new ReadableStream({ start: (controller) => void (close = () => controller.close()) });
    const response = await end(new Response(body));
    session.data["late"] = 1;
    await vi.advanceTimersByTimeAsync(180_000);
    close();
    await response.text();
    expect(await browser.data()).toEqual({ a: 1, late: 1 });
    expect(shop.events.map(({ name }) => name)).not.toContain("dropped");
  });
});
