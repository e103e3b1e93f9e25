import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { begin, site } from "../../test/support/stores.ts";
import { EventEmitter } from "node:events";
import type { Session } from "../session.ts";
import type { FaultPlan } from "../testing/faulty.ts";
import { claimResponse, commitSession } from "../adapters/adapter.ts";

// A client has gone, and the handler goes on. Nothing but a timer can notice that it changes an object in place.

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** A handler that has looked a list up, whose client goes away then. */
async function abandoned(faults: FaultPlan = {}, before?: (session: Session<{ cart?: string[] }>) => Promise<void>) {
  const shop = site<{ cart?: string[] }>({ faults });
  const browser = shop.browser();
  const visited = await browser.visit((session) => {
    session.data.cart = [];
    session.signIn("ada");
  });
  await visited.text();
  shop.events.length = 0;
  const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
  const session = begin(shop.sessions, request);
  const response = Object.assign(new EventEmitter(), { destroyed: false, headersSent: false, writableEnded: false });
  claimResponse(session, response);
  await session.load();
  const cart = session.data.cart!;
  await before?.(session);
  response.destroyed = true;
  response.emit("close");
  return { ...shop, browser, session, cart };
}

describe("a change in place after the client has gone, by a handler that does not respond,", () => {
  it.each([300, 1600, 10_000, 59_000])("is stored %i ms later", async (after) => {
    const { browser, cart, events } = await abandoned();
    await vi.advanceTimersByTimeAsync(after);
    cart.push("tea");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await browser.data()).toEqual({ cart: ["tea"] });
    expect(events.map(({ name }) => name)).not.toContain("dropped");
  });

  it("is stored each time", async () => {
    const { browser, cart } = await abandoned();
    for (const item of ["tea", "milk", "sugar"]) {
      await vi.advanceTimersByTimeAsync(7000);
      cart.push(item);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await browser.data()).toEqual({ cart: ["tea", "milk", "sugar"] });
  });

  it("is looked for a bounded number of times", async () => {
    await abandoned();
    let timers = 0;
    while (vi.getTimerCount() > 0) {
      timers += 1;
      await vi.advanceTimersToNextTimerAsync();
    }
    expect(timers).toBeLessThan(10);
  });
});

describe("session.save() after the client has gone", () => {
  it("rejects one that an earlier save() has failed to store, and keeps the session", async () => {
    const { browser, session } = await abandoned({ update: ["error"] }, async (given) => {
      given.rotate();
      await expect(given.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    });
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_HEADERS_SENT" });
    expect(await browser.userId()).toBe("ada");
  });

  it.each(["rotate", "signIn"] as const)(
    "rejects a change that needs a cookie, and keeps the session: %s",
    async (what) => {
      const { browser, session, events } = await abandoned();
      if (what === "rotate") session.rotate();
      else session.signIn("ada");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_HEADERS_SENT" });
      await vi.advanceTimersByTimeAsync(60_000);
      expect(events).toMatchObject([{ name: "dropped", reason: "disconnected" }]);
      expect(await browser.userId()).toBe("ada");
    },
  );

  it("begins no session after a sign-out", async () => {
    const { browser, session, events, sessions } = await abandoned();
    session.signOut();
    session.rotate();
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_HEADERS_SENT" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events.map(({ name }) => name)).not.toContain("created");
    expect(await sessions.list("ada")).toEqual([]);
    expect(await browser.userId()).toBeUndefined();
  });

  it("carries a sign-out out", async () => {
    const { browser, session } = await abandoned();
    session.signOut();
    await session.save();
    expect(await browser.userId()).toBeUndefined();
  });

  it("stores a change of data", async () => {
    const { browser, session, cart } = await abandoned();
    cart.push("tea");
    await session.save();
    expect(await browser.data()).toEqual({ cart: ["tea"] });
  });

  it("does not keep sessions.credentialsChanged from ending the user's other sessions", async () => {
    const { sessions, session } = await abandoned();
    expect(await sessions.list("ada")).toHaveLength(1);
    expect(await sessions.credentialsChanged(session)).toBe(0);
  });
});

describe("a response after the client has gone", () => {
  it("drops a sign-in that came while earlier changes were stored, and keeps the session", async () => {
    const { browser, session, events } = await abandoned({ update: [{ delay: 20 }] }, async ({ data }) => {
      data.cart = ["tea"];
    });
    session.signIn("ada");
    const responding = commitSession(session, new Response());
    await vi.advanceTimersByTimeAsync(1000);
    await responding;
    expect(await browser.userId()).toBe("ada");
    expect(await browser.data()).toEqual({ cart: ["tea"] });
    expect(events).toMatchObject([{ name: "dropped", reason: "disconnected" }]);
  });

  it("carries a sign-out out that came while earlier changes were stored", async () => {
    const { browser, session } = await abandoned({ update: [{ delay: 20 }] }, async ({ data }) => {
      data.cart = ["tea"];
    });
    session.signOut();
    const responding = commitSession(session, new Response());
    await vi.advanceTimersByTimeAsync(1000);
    await responding;
    expect(await browser.userId()).toBeUndefined();
  });

  it.each(["responds", "does not respond"])(
    "carries a sign-out out that came while storing earlier changes failed, of a handler that %s",
    async (what) => {
      const { browser, session, sessions, events } = await abandoned(
        { update: [{ delay: 20, fault: "error" }] },
        async ({ data }) => {
          data.cart = ["tea"];
        },
      );
      session.signOut();
      const responding = what === "responds" ? commitSession(session, new Response()) : undefined;
      await vi.advanceTimersByTimeAsync(1000);
      await responding;
      expect(await sessions.list("ada")).toEqual([]);
      expect(await browser.userId()).toBeUndefined();
      expect(events.map(({ name }) => name)).toEqual(["error", "dropped", "signedOut"]);
    },
  );

  it("tries a sign-out that can't be stored only once", async () => {
    const { session, events } = await abandoned({ update: () => "error", delete: () => "error" });
    session.signOut();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events.filter(({ name }) => name === "dropped")).toHaveLength(1);
  });
});
