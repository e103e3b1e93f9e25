import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { gated, site, START, type SiteOptions } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";
import { memoryStore } from "../stores/memory.ts";
import { finishResponse } from "./finish-response.ts";
import { requestSessionOf } from "./session-handle.ts";

// Changes that nobody stores: each is reported, by an event and by a warning.

type Dictionary = Record<string, unknown>;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  vi.useRealTimers();
  warned.mockClear();
});

async function visiting(path: string, options: SiteOptions = {}) {
  const shop = site(options);
  const browser = shop.browser();
  await browser.visit((session) => {
    session.data["cart"] = ["tea"];
    session.data["seen"] = 0;
    session.signIn("alice");
  });
  shop.events.length = 0;
  const { session, end } = await browser.begin({}, `https://shop.example${path}`);
  return { ...shop, browser, session: session as unknown as Session<Dictionary>, end };
}

const finished = async (response: Response) => void (await response.text());

/** The reasons of the `dropped` events, once the checks have had their time. */
async function dropped(events: readonly { name: string; reason?: unknown }[]): Promise<unknown[]> {
  await vi.advanceTimersByTimeAsync(5000);
  return events.filter(({ name }) => name === "dropped").map(({ reason }) => reason);
}

describe("a change after the response, through data that were looked up before it,", () => {
  it.each([
    ["an assignment", (data: Dictionary) => void (data["late"] = 1)],
    ["a deletion", (data: Dictionary) => void delete data["cart"]],
    ["a change in place", (data: Dictionary) => void (data["cart"] as string[]).push("milk")],
    ["a definition", (data: Dictionary) => void Object.defineProperty(data, "late", { value: 1, enumerable: true })],
  ])("is reported: %s", async (what, change) => {
    const { session, end, events } = await visiting(`/retained/${what.replaceAll(" ", "-")}`);
    const { data } = session;
    await finished(await end());
    change(data);
    expect(await dropped(events)).toEqual(["late"]);
    expect(warned.mock.calls[0]![0]).toMatch(
      /^GET \/retained\/.*: the session was changed after its response had ended/,
    );
  });

  it("is reported again after an earlier one was", async () => {
    const { session, end, events } = await visiting("/retained-twice");
    const { data } = session;
    await finished(await end());
    data["late"] = 1;
    expect(await dropped(events)).toEqual(["late"]);
    data["late"] = 2;
    expect(await dropped(events)).toEqual(["late", "late"]);
  });

  it("is reported, if it is in an object that was looked up before", async () => {
    const { session, end, events } = await visiting("/retained-object");
    const cart = session.data["cart"] as string[];
    await finished(await end());
    cart.push("milk");
    expect(await dropped(events)).toEqual(["late"]);
  });

  it("is none, if it is only read", async () => {
    const { session, end, events } = await visiting("/retained-read");
    const { data } = session;
    await finished(await end());
    expect(data["cart"]).toEqual(["tea"]);
    expect(await dropped(events)).toEqual([]);
  });
});

describe("data that were looked up before", () => {
  it("refuse a change after signOut(), which would be lost", async () => {
    const { session } = await visiting("/signed-out");
    const { data } = session;
    session.signOut();
    expect(() => (data["late"] = 1)).toThrow("session.data anew");
    expect(() => delete data["cart"]).toThrow(TypeError);
    expect(data["seen"]).toBe(0);
    session.data["fresh"] = 1;
    expect(session.data).toEqual({ fresh: 1 });
  });

  it("refuse a change after reload(), which would be lost", async () => {
    const { session } = await visiting("/reloaded");
    const { data } = session;
    await session.reload();
    expect(() => (data["late"] = 1)).toThrow("session.data anew");
    session.data["late"] = 1;
    expect(session.data["late"]).toBe(1);
  });
});

describe("an object of data that was kept over signOut() or reload()", () => {
  const leaving: [string, (session: Session<Dictionary>) => unknown][] = [
    ["signOut()", (session) => session.signOut()],
    ["reload()", (session) => session.reload()],
  ];
  const cartOf = (session: Session<Dictionary>) => session.data["cart"] as unknown[];

  it.each(leaving)("is reported if it is changed in place after %s", async (name, leave) => {
    const { session, end, events } = await visiting(`/kept/${name}`);
    const { id } = session;
    const cart = cartOf(session);
    await leave(session);
    cart.push("milk");
    await finished(await end());
    expect(await dropped(events)).toEqual(["late"]);
    expect(events.find((event) => event.name === "dropped")).toMatchObject({ id, userId: "alice" });
    expect(warned.mock.calls).toEqual([
      [
        expect.stringMatching(
          /^GET \/kept\/.*: an object of session\.data was kept over signOut\(\) or reload\(\) and changed/,
        ),
        { type: "SojournWarning", code: "SOJOURN_GIVEN_UP_CHANGE" },
      ],
    ]);
  });

  it.each(leaving)("is reported if it is changed after the response, after %s", async (name, leave) => {
    const { session, end, events } = await visiting(`/kept-late/${name}`);
    const cart = cartOf(session);
    await leave(session);
    await finished(await end());
    cart.push("milk");
    expect(await dropped(events)).toEqual(["late"]);
  });

  it.each(leaving)("is not reported if it was changed before %s, read only, or copied", async (name, leave) => {
    const { session, end, events } = await visiting(`/kept-read/${name}`);
    const cart = cartOf(session);
    cart.push("milk");
    await leave(session);
    [...cart].push("honey");
    expect(cart).toEqual(["tea", "milk"]);
    await finished(await end());
    expect(await dropped(events)).toEqual([]);
    expect(warned).not.toHaveBeenCalled();
  });

  it.each(leaving)("is not reported if it is put into the data again after %s", async (name, leave) => {
    const { session, end, events, browser } = await visiting(`/kept-again/${name}`);
    const cart = cartOf(session);
    await leave(session);
    cart.push("milk");
    session.data["basket"] = { items: cart };
    await finished(await end());
    expect(await dropped(events)).toEqual([]);
    expect(await browser.data()).toMatchObject({ basket: { items: ["tea", "milk"] } });
  });

  it("is reported if it is a Map, is below another, or can't be stored any more", async () => {
    for (const [name, change] of Object.entries({
      map: (value: Dictionary) => (value["map"] as Map<string, number>).set("a", 2),
      below: (value: Dictionary) => (value["list"] as unknown[]).push(1),
      unstorable: (value: Dictionary) => (value["list"] as unknown[]).push(() => 1),
    })) {
      const { browser, events } = await visiting("/");
      await browser.visit(({ data }) => (data["value"] = { map: new Map([["a", 1]]), list: [] }));
      const { session, end } = await browser.begin({}, `https://shop.example/kept-${name}`);
      const value = session.data["value"] as Dictionary;
      session.signOut();
      change(value);
      await finished(await end());
      expect([name, await dropped(events)]).toEqual([name, ["late"]]);
    }
  });

  it("ends no process if it has become a cycle", async () => {
    const { session, end, events } = await visiting("/kept-cycle");
    const cart = cartOf(session);
    session.signOut();
    cart.push(cart);
    await finished(await end());
    expect(await dropped(events)).toEqual([]);
  });

  it("is looked at though signOut() is called twice, and reported once", async () => {
    const { session, end, events } = await visiting("/kept-twice");
    const cart = cartOf(session);
    session.signOut();
    session.signOut();
    cart.push("milk");
    await finished(await end());
    expect(await dropped(events)).toEqual(["late"]);
    expect(session.data).toEqual({});
    expect(await dropped(events)).toEqual(["late"]);
    cart.push("honey");
    expect(session.data).toEqual({});
    expect(await dropped(events)).toEqual(["late", "late"]);
  });

  it("is not reported if the data that it was put into are given up too", async () => {
    const { session, end, events } = await visiting("/kept-given-up");
    const cart = cartOf(session);
    session.signOut();
    cart.push("milk");
    session.data["cart"] = cart;
    session.signOut();
    await finished(await end());
    expect(await dropped(events)).toEqual([]);
  });

  it("is not reported if it is a save() that has changed it, by what another request had stored", async () => {
    const store = gated(memoryStore({ clock: () => START }));
    const { session, end, events, browser } = await visiting("/kept-saving", { store });
    const cart = cartOf(session);
    await browser.visit((other) => void cartOf(other).push("honey"));
    cart.push("milk");
    const held = store.hold("update");
    const saving = session.save();
    await held.arrived;
    session.signOut();
    held.letGo();
    await saving;
    expect(cart).toEqual(["tea", "honey", "milk"]);
    await finished(await end());
    expect(await dropped(events)).toEqual([]);
  });

  /** A session of a connection of its own, and how to close it. */
  async function connected(path: string) {
    const { sessions, browser, events } = await visiting("/");
    const closing = new AbortController();
    const headers = { cookie: browser.cookie, origin: "https://shop.example" };
    const request = new Request(`https://shop.example${path}`, { headers, signal: closing.signal });
    const session = (await sessions.attach(request)) as Session<Dictionary>;
    return { session, events, close: () => closing.abort() };
  }

  it("is reported in a connection of its own at the next reload(), or when it closes", async () => {
    const { session, events, close } = await connected("/kept-socket");
    const first = cartOf(session);
    await session.reload();
    const second = cartOf(session);
    first.push("milk");
    await session.reload();
    expect(await dropped(events)).toEqual(["late"]);
    second.push("honey");
    expect(await dropped(events)).toEqual(["late"]);
    close();
    expect(await dropped(events)).toEqual(["late", "late"]);
  });

  it("is reported in a connection of its own a second after reload()", async () => {
    const { session, events } = await connected("/kept-socket-open");
    const cart = cartOf(session);
    await session.reload();
    cart.push("milk");
    await vi.advanceTimersByTimeAsync(999);
    expect(events.map(({ name }) => name)).not.toContain("dropped");
    await vi.advanceTimersByTimeAsync(1);
    expect(events.filter(({ name }) => name === "dropped")).toHaveLength(1);
  });

  it("is in memory for a second after the last reload() of a connection that stays open, if nobody has it", async () => {
    const { session, events, close } = await connected("/kept-socket-memory");
    const carts: WeakRef<object>[] = [];
    for (let i = 0; i < 3; i += 1) {
      carts.push(new WeakRef(cartOf(session)));
      await session.reload();
      await vi.advanceTimersByTimeAsync(900);
    }
    const areThere = async () => {
      await new Promise((resolve) => void setImmediate(resolve));
      collectGarbage();
      return carts.map((cart) => cart.deref() !== undefined);
    };
    expect((await areThere())[2]).toBe(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(await areThere()).toEqual([false, false, false]);
    close();
    expect(await dropped(events)).toEqual([]);
  });
});

describe("a change after the response", () => {
  it("that can't be kept makes finishResponse reject, and throws nothing at once", async () => {
    const browser = site({ limits: { bytes: 100 } }).browser();
    await browser.visit((session) => (session.data["a"] = 1));
    const { session, end } = await browser.begin();
    expect(session.data["a"]).toBe(1);
    await end();
    session.data["big"] = "x".repeat(200);
    await expect(finishResponse(requestSessionOf(session))).rejects.toMatchObject({ code: "ERR_SESSION_TOO_LARGE" });
  });

  it("that can't be kept at all is reported, and ends no process", async () => {
    const { session, end, events } = await visiting("/function");
    expect(session.userId).toBe("alice");
    await finished(await end());
    session.data["late"] = () => 1;
    expect(await dropped(events)).toEqual(["late"]);
  });

  it("is reported, though a save() of earlier ones is under way when it is looked for", async () => {
    const store = gated(memoryStore({ clock: () => START }));
    const { session, end, events } = await visiting("/slow-save", { store, storeTimeout: "60s" });
    expect(session.userId).toBe("alice");
    await finished(await end());
    session.data["saved"] = 1;
    const held = store.hold("update");
    const saving = session.save();
    await held.arrived;
    session.data["late"] = 1;
    await vi.advanceTimersByTimeAsync(5000);
    held.letGo();
    await saving;
    expect(await dropped(events)).toEqual(["late"]);
  });
});

describe("a change in a connection of its own", () => {
  it("that nobody has saved when it closes is reported", async () => {
    const { sessions, browser, events } = await visiting("/");
    const closing = new AbortController();
    const headers = { cookie: browser.cookie, origin: "https://shop.example" };
    const request = new Request("https://shop.example/socket", { headers, signal: closing.signal });
    const session = (await sessions.attach(request)) as Session<Dictionary>;
    session.data["saved"] = 1;
    await session.save();
    session.data["late"] = 1;
    expect(await dropped(events)).toEqual([]);
    closing.abort();
    expect(await dropped(events)).toEqual(["late"]);
    expect(warned.mock.calls[0]![0]).toMatch(
      /^GET \/socket: the session was changed in a connection that closed before session\.save\(\)/,
    );
    session.data["later"] = 1;
    expect(await dropped(events)).toEqual(["late", "late"]);
  });

  it("that was saved is not reported", async () => {
    const { sessions, browser, events } = await visiting("/");
    const closing = new AbortController();
    const headers = { cookie: browser.cookie, origin: "https://shop.example" };
    const request = new Request("https://shop.example/socket-saved", { headers, signal: closing.signal });
    const session = (await sessions.attach(request)) as Session<Dictionary>;
    session.data["saved"] = 1;
    const saving = session.save();
    closing.abort();
    await saving;
    expect(await dropped(events)).toEqual([]);
    expect(await browser.data()).toMatchObject({ saved: 1 });
  });
});

describe("a change during a response that lasts for minutes", () => {
  /** A response whose body is sent until `close` is called, if it is called at all. */
  async function streaming(path: string) {
    const visit = await visiting(path);
    expect(visit.session.data["seen"]).toBe(0);
    let close!: () => void;
    const body = new ReadableStream({ start: (controller) => void (close = () => controller.close()) });
    return { ...visit, close, response: await visit.end(new Response(body)) };
  }

  it("is stored before its last byte, and not given up meanwhile", async () => {
    const { browser, session, events, close, response } = await streaming("/minutes");
    session.data["late"] = 1;
    await vi.advanceTimersByTimeAsync(180_000);
    close();
    await response.text();
    expect(await browser.data()).toMatchObject({ late: 1 });
    expect(events.map(({ name }) => name)).not.toContain("dropped");
  });

  it("is warned of after a minute, because nobody may ever read the response to its end", async () => {
    const { session } = await streaming("/unread");
    session.data["late"] = 1;
    await vi.advanceTimersByTimeAsync(59_000);
    expect(warned).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(180_000);
    expect(warned.mock.calls.map(([message]) => message)).toEqual([
      expect.stringMatching(/^GET \/unread: the session was changed while its response was sent/),
    ]);
  });

  it("is not warned of, if it was saved", async () => {
    const { session } = await streaming("/unread-saved");
    session.data["late"] = 1;
    await session.save();
    await vi.advanceTimersByTimeAsync(180_000);
    expect(warned).not.toHaveBeenCalled();
  });
});
