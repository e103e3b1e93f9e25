import { describe, expect, it, onTestFinished, vi } from "vitest";
import { gated, KEYS, site, START, type Site } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";
import type { Fault } from "../testing/faulty.ts";
import { memoryStore } from "../stores/memory.ts";

const MINUTE = 60_000;

interface Data {
  cart?: string[];
  language?: string;
  planted?: string;
  username?: string;
  n?: number;
}

/** A server, and a browser with an anonymous session of some data. */
async function visited(options: Parameters<typeof site<Data>>[0] = {}) {
  const shop = site<Data>(options);
  const browser = shop.browser();
  await browser.visit((session) => {
    session.data.cart = ["tea"];
    session.data.planted = "by whoever had the browser before";
    session.flash("info", "of before");
  });
  shop.events.length = 0;
  return { shop, browser, id: (await browser.begin()).session.id };
}

const idsOfUser = async (shop: Site<Data>, userId: string) => (await shop.sessions.list(userId)).map(({ id }) => id);

describe("Signing in to a session that there is", () => {
  it("gives it a new id at once, which is the one that is stored", async () => {
    const { shop, browser, id } = await visited();
    let during = "";
    await browser.visit((session) => {
      session.signIn("ada");
      during = session.id;
      expect(session.isNew).toBe(false);
    });
    expect(during).not.toBe(id);
    expect((await browser.begin()).session.id).toBe(during);
    expect(await idsOfUser(shop, "ada")).toEqual([during]);
    expect(shop.events).toMatchObject([{ name: "signedIn", id: during, userId: "ada", previousId: id }]);
  });

  it("keeps the id that a visitor's session was to have", async () => {
    const browser = site<Data>().browser();
    await browser.visit((session) => {
      const { id } = session;
      session.signIn("ada");
      expect(session.id).toBe(id);
    });
  });

  it("leaves the old id to nobody: it can't be revoked, listed, or read by the old token", async () => {
    const { shop, browser, id } = await visited();
    const planted = browser.copy();
    await browser.visit((session) => session.signIn("ada"));
    expect(await shop.sessions.revoke(id)).toBe(false);
    expect(await idsOfUser(shop, "ada")).not.toContain(id);
    expect(await planted.data()).toEqual({});
    const late = await planted.visit((session) => (session.data.n = 1));
    expect(late.headers.getSetCookie()).toEqual([]);
    expect(shop.events.at(-1)).toMatchObject({ name: "dropped", reason: "superseded" });
    expect(await browser.userId()).toBe("ada");
  });

  it("spares the session itself where its handler then signs out everywhere else", async () => {
    const { shop, browser } = await visited();
    await browser.visit((session) => session.signIn("ada"));
    const elsewhere = shop.browser();
    await elsewhere.visit((session) => session.signIn("ada"));
    await browser.visit(async (session) => {
      session.signIn("ada");
      expect(
        (await shop.sessions.list("ada", { current: session.id })).filter(({ isCurrent }) => isCurrent),
      ).toHaveLength(1);
      expect(await shop.sessions.revokeAll("ada", { except: session.id })).toBe(1);
    });
    expect(await browser.data()).toMatchObject({ cart: ["tea"] });
    expect(await browser.userId()).toBe("ada");
    expect(await elsewhere.userId()).toBeUndefined();
  });

  it("carries over what another request stores until the very last moment", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { browser } = await visited({ store: backend, clock: () => START });
    // Another process: this one's commits of a session wait for each other.
    const elsewhere = browser.copy(site<Data>({ store: backend, clock: () => START }).sessions);
    const login = await browser.begin();
    login.session.data.username = "ada";
    login.session.signIn("ada");
    const held = backend.hold("update");
    const ending = login.end();
    await held.arrived;
    await elsewhere.visit((session) => void session.update("n", (n = 0) => n + 1));
    held.letGo();
    await ending;
    expect(await browser.data()).toMatchObject({ cart: ["tea"], username: "ada", n: 1 });
    expect(await elsewhere.userId()).toBeUndefined();
  });

  it("is not extended by a touch of the old token that was under way", async () => {
    const time = { now: START };
    const clock = () => time.now;
    const backend = gated(memoryStore({ clock }));
    const { browser } = await visited({ store: backend, clock, idleTimeout: "15m" });
    await browser.visit((session) =>
      session.signIn("ada", { remember: { idleTimeout: "30d", absoluteTimeout: "90d" } }),
    );
    time.now += 24 * 60 * MINUTE * 4;
    const elsewhere = browser.copy(site<Data>({ store: backend, clock, idleTimeout: "15m" }).sessions);
    const held = backend.hold("touch");
    const touching = elsewhere.visit((session) => session.data.n);
    await held.arrived;
    await browser.visit((session) => session.signIn("ada"));
    held.letGo();
    await touching;
    time.now += 15 * MINUTE;
    expect(await browser.userId()).toBeUndefined();
  });

  it("is not ended, and its cookie not cleared, by a sign-out with the old token that was under way", async () => {
    const { browser } = await visited();
    const leaving = await browser.copy().begin();
    await browser.visit((session) => session.signIn("ada"));
    leaving.session.signOut();
    expect((await leaving.end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("ada");
  });

  it("ends the signal of whoever holds the old token, and goes on with the signal of who signs in", async () => {
    const { shop, browser } = await visited();
    const socket = (await browser.begin()).session;
    const signals: AbortSignal[] = [socket.signal];
    const aborted = new Promise((resolve) => signals[0]!.addEventListener("abort", resolve));
    await browser.visit((session) => {
      signals.push(session.signal);
      session.signIn("ada");
    });
    await aborted;
    expect(signals[1]!.aborted).toBe(false);
    await shop.sessions.revokeAll("ada");
    expect(signals[1]!.aborted).toBe(true);
    await shop.sessions.close();
  });
});

describe("signIn's option keep", () => {
  it("names the data that come along; what the request has set comes along anyway", async () => {
    const { browser } = await visited();
    await browser.visit((session) => {
      session.data.username = "ada";
      session.signIn("ada", { keep: ["cart", "language"] });
      expect({ ...session.data }).toEqual({ cart: ["tea"], username: "ada" });
      expect(session.takeFlashes()).toEqual([]);
    });
    expect(await browser.data()).toEqual({ cart: ["tea"], username: "ada" });
  });

  it("holds for what another request plants while somebody signs in", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { browser } = await visited({ store: backend, clock: () => START });
    const planter = browser.copy(site<Data>({ store: backend, clock: () => START }).sessions);
    const login = await browser.begin();
    login.session.signIn("ada", { keep: ["cart"] });
    const held = backend.hold("update");
    const ending = login.end();
    await held.arrived;
    await planter.visit((session) => {
      session.data.planted = "again";
      session.data.cart!.push("milk");
    });
    held.letGo();
    await ending;
    expect(await browser.data()).toEqual({ cart: ["tea", "milk"] });
  });

  it("keeps nothing of another user's, whatever it names", async () => {
    const { browser } = await visited();
    await browser.visit((session) => session.signIn("ada"));
    await browser.visit((session) => session.signIn("bob", { keep: ["cart"] }));
    expect(await browser.data()).toEqual({});
  });

  it("is a list of keys, or a TypeError", async () => {
    const { session } = await site<Data>().browser().begin();
    expect(() => session.signIn("ada", { keep: "cart" as never })).toThrow("keep lists the keys");
  });
});

describe("A sign-in of which a step fails", () => {
  it.each(["create", "update"] as const)("at %s leaves the session as it was, and nothing else", async (operation) => {
    const failing = { on: false };
    const { shop, browser, id } = await visited({
      faults: { [operation]: () => (failing.on ? new Error("out of order") : "ok") },
    });
    failing.on = true;
    await expect(browser.visit((session) => session.signIn("ada"))).rejects.toMatchObject({
      code: "ERR_SESSION_STORE",
    });
    failing.on = false;
    const { session } = await browser.begin();
    expect(session).toMatchObject({ id, userId: undefined });
    expect(session.data.cart).toEqual(["tea"]);
    expect(await idsOfUser(shop, "ada")).toEqual([]);
  });

  it.each(["create", "update"] as const)("leaves it so where only the reply to %s was lost", async (operation) => {
    const failing = { times: 0 };
    const { shop, browser, id } = await visited({
      faults: { [operation]: () => (failing.times-- > 0 ? "error-after" : "ok") },
    });
    await browser.visit(async (session) => {
      failing.times = 1;
      session.signIn("ada");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      session.data.n = 1;
    });
    const { session } = await browser.begin();
    expect(session).toMatchObject({ id, userId: undefined });
    expect(session.data).toMatchObject({ cart: ["tea"], n: 1 });
    expect(await idsOfUser(shop, "ada")).toEqual([]);
  });

  it("takes back no more than itself where another sign-in ended the old session in the same moment", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { browser } = await visited({ store: backend, clock: () => START });
    const other = browser.copy(site<Data>({ store: backend, clock: () => START }).sessions);
    const first = await browser.begin();
    first.session.data.username = "ada";
    first.session.signIn("ada");
    const held = backend.hold("update");
    const ending = first.end();
    await held.arrived;
    await other.visit((session) => session.signIn("bob"));
    held.letGo();
    await ending;
    expect(await browser.userId()).toBe("ada");
    expect(await browser.data()).toEqual({ username: "ada" });
    expect(await other.userId()).toBe("bob");
    expect(await other.data()).toMatchObject({ cart: ["tea"] });
  });
});

describe("A record that names another user than the store does", () => {
  /** Whoever can write to the store puts a session under another user. */
  async function forged(userId: string | undefined) {
    const store = memoryStore({ clock: () => START });
    const shop = site<Data>({ store: { ...store, inProcess: false }, clock: () => START });
    const bob = shop.browser();
    await bob.visit((session) => session.signIn("bob"));
    const { id } = (await bob.begin()).session;
    const stored = (await store.read(id))!;
    await store.update(id, { ...stored, userId, version: stored.version + 1 }, stored.version);
    return { shop, bob, id, store };
  }

  it("opens nothing, so that a stolen session can't be hidden from its user's list", async () => {
    const { bob } = await forged(undefined);
    await expect(bob.begin()).rejects.toMatchObject({ code: "ERR_SESSION_DECODE" });
  });

  it("is not listed as the other's", async () => {
    const { shop } = await forged("alice");
    expect(await shop.sessions.list("alice")).toEqual([]);
  });

  it("is told as a fault, naming the session", async () => {
    const { shop, id } = await forged("alice");
    await shop.sessions.list("alice");
    expect(shop.events).toContainEqual(expect.objectContaining({ name: "error", id }));
  });
});

describe("A key that is no longer current", () => {
  it("has its token renewed by the response, not by a save() long before it", async () => {
    const before = site<Data>({ secretKey: KEYS[0] });
    const userId = before.browser();
    await userId.visit((session) => session.signIn("ada"));
    const after = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = userId.copy(after.sessions);
    const slow = await browser.begin();
    slow.session.data.n = 1;
    await slow.session.save();
    // Meanwhile the same browser signs in again.
    await browser.visit((session) => session.signIn("ada"));
    const answer = await slow.end();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("ada");
  });

  it("has its token renewed by the response that follows a save(), where nobody came in between", async () => {
    const before = site<Data>({ secretKey: KEYS[0] });
    const userId = before.browser();
    await userId.visit((session) => session.signIn("ada"));
    const after = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = userId.copy(after.sessions);
    await browser.visit(async (session) => {
      session.data.n = 1;
      await session.save();
    });
    const renewed = site<Data>({ store: before.backend, secretKey: KEYS[1] });
    expect(await browser.copy(renewed.sessions).userId()).toBe("ada");
  });
});

describe("A cookie that waits for its response since save()", () => {
  it.each(["revoked", "signed out"])("is not sent where the session was %s meanwhile", async (how) => {
    const shop = site<Data>();
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const slow = await browser.begin();
    slow.session.signIn("ada");
    await slow.session.save();
    if (how === "revoked") await shop.sessions.revokeAll("ada");
    else await shop.backend.delete(slow.session.id);
    // The browser, which has not heard of that sign-in, signs in again.
    await browser.visit((session) => session.signIn("ada"));
    expect((await slow.end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("ada");
  });

  it("is sent where the store can't tell", async () => {
    const failing = { on: false };
    const shop = site<Data>({ faults: { read: () => (failing.on ? "error" : "ok") } });
    const browser = shop.browser();
    const answer = await browser.visit(async (session) => {
      session.signIn("ada");
      await session.save();
      failing.on = true;
    });
    expect(answer.headers.getSetCookie()).toHaveLength(1);
  });
});

describe("What a handler does around a sign-in", () => {
  /** A browser that ada is signed in on. */
  async function adas(options: Parameters<typeof site<Data>>[0] = {}) {
    const failing: { update?: Fault; create?: Fault } = {};
    const shop = site<Data>({
      ...options,
      faults: { update: () => failing.update ?? "ok", create: () => failing.create ?? "ok" },
    });
    const browser = shop.browser();
    await browser.visit((session) => {
      session.data.planted = "ada's";
      session.flash("info", "ada's");
      session.signIn("ada");
    });
    shop.events.length = 0;
    return { shop, browser, failing };
  }

  const failed = { code: "ERR_SESSION_STORE" };

  it("brings nothing of another user's along, where a first sign-in failed and a second is stored", async () => {
    const { browser, failing } = await adas();
    await browser.visit(async (session) => {
      session.pop("planted");
      failing.update = "error";
      session.signIn("bob");
      await expect(session.save()).rejects.toMatchObject(failed);
      delete failing.update;
      session.signIn("bob");
    });
    const { session } = await browser.begin();
    expect(session.userId).toBe("bob");
    expect({ ...session.data }).toEqual({});
    expect(session.takeFlashes()).toEqual([]);
  });

  it("shows and stores nothing of another user's where a reload() comes while its save() waits for another", async () => {
    const gate = gated(memoryStore({ clock: () => START }));
    const browser = site({ store: gate, storeTimeout: "1m" }).browser();
    await browser.visit((session) => {
      session.data["secret"] = "alice's";
      session.signIn("alice");
    });
    const { session, end } = await browser.begin();
    session.data["own"] = 1;
    const [update, read] = [gate.hold("update"), gate.hold("read", "after")];
    const saving = [session.save(), session.save()];
    session.signIn("bob");
    await update.arrived;
    const reloading = session.reload();
    update.letGo();
    await Promise.all(saving);
    read.letGo();
    await reloading;
    expect([session.userId, session.toJSON()]).toEqual(["bob", { own: 1 }]);
    await end();
    const { session: next } = await browser.begin();
    expect([next.userId, next.toJSON()]).toEqual(["bob", { own: 1 }]);
  });

  it("brings nothing of another user's along that another process stores while a save is under way", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { browser } = await adas({ store: backend, clock: () => START });
    const elsewhere = browser.copy(site<Data>({ store: backend, clock: () => START }).sessions);
    await browser.visit(async (session) => {
      session.data.n = 1;
      const held = backend.hold("update");
      const saving = session.save();
      await held.arrived;
      await elsewhere.visit((other) => {
        other.data.language = "ada's";
        other.flash("info", "ada's");
      });
      session.signIn("bob");
      held.letGo();
      await saving;
      expect({ ...session.data }).not.toHaveProperty("language");
      expect(session.takeFlashes()).toEqual([]);
    });
    expect(await browser.data()).not.toHaveProperty("language");
    expect(await browser.data()).not.toHaveProperty("planted");
  });

  it("forgets a sign-in that was not stored, by reload()", async () => {
    const { browser } = await adas();
    await browser.visit(async (session) => {
      session.signIn("bob");
      await session.reload();
      expect(session.userId).toBe("ada");
    });
    expect(await browser.userId()).toBe("ada");
  });

  it.each(["rotate", "reload"] as const)("does not carry out a sign-in that failed, after %s()", async (method) => {
    const { browser, failing } = await adas();
    await browser.visit(async (session) => {
      failing.create = "error";
      session.signIn("bob");
      await expect(session.save()).rejects.toMatchObject(failed);
      delete failing.create;
      await session[method]();
      session.flash("error", "FAILED");
    });
    expect(await browser.userId()).toBe("ada");
  });

  it.each([
    ["rotate()", (session: Session<Data>) => session.rotate()],
    ["signIn()", (session: Session<Data>) => session.signIn("ada")],
  ])("ends no session where %s comes while a sign-in is being stored", async (_, act) => {
    for (const isVisitor of [true, false]) {
      const { shop, browser: signedIn } = await adas();
      const browser = isVisitor ? shop.browser() : signedIn;
      await browser.visit(async (session) => {
        session.signIn("ada");
        const saving = session.save();
        act(session);
        await saving;
      });
      expect(await browser.userId(), `visitor: ${isVisitor}`).toBe("ada");
      expect(shop.events.map(({ name }) => name)).not.toContain("error");
    }
  });

  it("signs in to the session that a save() of the same request is creating", async () => {
    const { browser } = site<Data>();
    const visitor = browser();
    await visitor.visit(async (session) => {
      session.data.n = 1;
      const saving = session.save();
      session.signIn("ada");
      await saving;
    });
    expect(await visitor.userId()).toBe("ada");
    expect(await visitor.data()).toEqual({ n: 1 });
  });

  it("is spared by revokeAll while it is being stored, and after a first try failed", async () => {
    const { shop, browser, failing } = await adas();
    await browser.visit(async (session) => {
      failing.create = "error";
      session.signIn("ada");
      await expect(session.save()).rejects.toMatchObject(failed);
      delete failing.create;
      await shop.sessions.revokeAll("ada", { except: session.id });
      session.signIn("ada");
      await Promise.all([session.save(), shop.sessions.revokeAll("ada", { except: session.id })]);
    });
    expect(await browser.userId()).toBe("ada");
    expect(await browser.data()).toMatchObject({ planted: "ada's" });
  });

  it("leaves what another request has stored meanwhile, where its own step was not taken", async () => {
    const backend = memoryStore({ clock: () => START });
    const { browser } = await adas({ store: backend, clock: () => START });
    const other = browser.copy(site<Data>({ store: backend, clock: () => START }).sessions);
    const failing = site<Data>({
      store: {
        ...backend,
        // It fails without an effect, and somebody else is quicker than whoever looks.
        update: async () => {
          await other.visit((session) => (session.data.language = "en"));
          throw new Error("out of order");
        },
      },
      clock: () => START,
    });
    await expect(browser.copy(failing.sessions).visit((session) => session.signIn("ada"))).rejects.toMatchObject(
      failed,
    );
    expect(await browser.data()).toMatchObject({ language: "en" });
  });

  it("does not put back, after a failure, what was revoked in between", async () => {
    const backend = memoryStore({ clock: () => START });
    const { shop, browser } = await adas({ store: backend, clock: () => START });
    const failing = site<Data>({
      store: {
        ...backend,
        update: async (...given) => {
          await backend.update(...given);
          await shop.sessions.revokeAll("ada");
          throw new Error("the reply was lost");
        },
      },
      clock: () => START,
    });
    await expect(browser.copy(failing.sessions).visit((session) => session.signIn("ada"))).rejects.toMatchObject(
      failed,
    );
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("does not put back what was revoked in between, where the store reports that putting back failed", async () => {
    const backend = memoryStore({ clock: () => START });
    const { shop, browser } = await adas({ store: backend, clock: () => START });
    let updates = 0;
    const failing = site<Data>({
      store: {
        ...backend,
        update: async (...given) => {
          await backend.update(...given);
          if (updates++ === 0) await shop.sessions.revokeAll("ada");
          throw new Error("the reply was lost");
        },
      },
      clock: () => START,
    });
    await expect(browser.copy(failing.sessions).visit((session) => session.signIn("ada"))).rejects.toMatchObject(
      failed,
    );
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("does not put back what a revocation meant that reads the new session only after it was given up", async () => {
    const memory = memoryStore({ clock: () => START });
    const backend = gated(memory);
    const { shop, browser } = await adas({ store: backend, clock: () => START });
    let isLost = true;
    const failing = site<Data>({
      store: {
        ...memory,
        update: async (...given) => {
          const isDone = await memory.update(...given);
          if (!isLost) return isDone;
          isLost = false;
          revoking = shop.sessions.revokeAll("ada");
          await reading.arrived;
          throw new Error("the reply was lost");
        },
      },
      clock: () => START,
    });
    const login = await browser.copy(failing.sessions).begin();
    login.session.signIn("ada");
    const reading = backend.hold("read");
    let revoking: Promise<number | undefined> | undefined;
    await expect(login.end()).rejects.toMatchObject(failed);
    expect(await memory.read((await memory.idsOfUser("ada"))[0]!)).toBeDefined();
    reading.letGo();
    await revoking;
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("does not put back what a revocation meant that comes after the new session was given up", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { shop, browser } = await adas({ store: backend, clock: () => START });
    const failing = site<Data>({ store: backend, clock: () => START, faults: { update: ["error-after"] } });
    const login = await browser.copy(failing.sessions).begin();
    login.session.signIn("ada");
    // It reads the former session, to put it back.
    const held = backend.hold("read");
    const failure = login.end().catch((error: unknown) => error);
    await held.arrived;
    await shop.sessions.revokeAll("ada");
    held.letGo();
    expect(await failure).toMatchObject(failed);
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("of another user does not put back what a revocation meant that comes in between", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const { shop, browser } = await adas({ store: backend, clock: () => START });
    const failing = site<Data>({ store: backend, clock: () => START, faults: { update: ["error-after"] } });
    const login = await browser.copy(failing.sessions).begin();
    login.session.signIn("bob");
    const held = backend.hold("read");
    const failure = login.end().catch((error: unknown) => error);
    await held.arrived;
    await shop.sessions.revokeAll("ada");
    held.letGo();
    expect(await failure).toMatchObject(failed);
    expect(await browser.userId()).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("leaves another request's change of the former session, which it has put back, although the store is slow", async () => {
    const time = { now: START };
    const backend = gated(memoryStore({ clock: () => time.now }));
    const { shop, browser } = await adas({ store: backend, clock: () => time.now });
    let calls: ("ok" | "error-after" | "lost-reply")[] = ["error-after"];
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const failing = site<Data>({
      store: backend,
      clock: () => time.now,
      storeTimeout: "1s",
      faults: { update: () => calls.shift() ?? "ok", delete: ["lost-reply"] },
    });
    const login = browser.copy(failing.sessions).visit((session) => session.signIn("ada"));
    const failure = login.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await failure).toMatchObject(failed);
    await browser.visit((session) => session.rotate());
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await browser.userId()).toBe("ada");
    expect(await shop.sessions.list("ada")).toHaveLength(1);
  });

  it("is told of where the application's client option throws", async () => {
    const mistake = new Error("the application's mistake");
    const shop = site<Data>({
      client: () => {
        throw mistake;
      },
    });
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    expect(await browser.userId()).toBe("ada");
    expect(shop.events).toContainEqual(expect.objectContaining({ name: "error", error: mistake }));
  });
});

describe("Revoking a session whose user signs in again at that moment", () => {
  /** ada, in a process of her own whose store can be held up; and another process. */
  async function twoProcesses() {
    const backend = gated(memoryStore({ clock: () => START }));
    const options = { store: backend, clock: () => START };
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit((session) => session.signIn("ada"));
    return { backend, here, there, browser, id: (await browser.begin()).session.id };
  }

  it.each(["revoke", "revokeAll"] as const)("ends the one that it has become, by %s", async (method) => {
    const { backend, here, there, browser, id } = await twoProcesses();
    // It is read while it still has its old id, and ended when it has another.
    const held = backend.hold("update");
    const revoking = method === "revoke" ? there.sessions.revoke(id) : there.sessions.revokeAll("ada");
    await held.arrived;
    await browser.visit((session) => session.signIn("ada"));
    held.letGo();
    expect(Number(await revoking)).toBe(1);
    expect(await browser.userId()).toBeUndefined();
    expect(await here.sessions.list("ada")).toEqual([]);
  });

  it.each(["revoke", "revokeAll"] as const)(
    "ends the one that it has become, by %s, although a sign-out with the old token came in between",
    async (method) => {
      const { backend, here, there, browser, id } = await twoProcesses();
      const leaving = await browser.copy().begin();
      leaving.session.signOut();
      const held = backend.hold("update");
      const revoking = method === "revoke" ? there.sessions.revoke(id) : there.sessions.revokeAll("ada");
      await held.arrived;
      await browser.visit((session) => session.signIn("ada"));
      await leaving.end();
      held.letGo();
      expect(Number(await revoking)).toBe(1);
      expect(await browser.userId()).toBeUndefined();
      expect(await here.sessions.list("ada")).toEqual([]);
    },
  );

  it("ends the one that it has become, although the store fails once", async () => {
    const { backend, here, browser, id } = await twoProcesses();
    let failures = 1;
    const failing = site<Data>({
      store: {
        ...backend,
        update: async (...given) => {
          if (failures-- > 0) {
            await browser.visit((session) => session.signIn("ada"));
            throw new Error("out of order");
          }
          return backend.update(...given);
        },
      },
      clock: () => START,
    });
    expect(await failing.sessions.revoke(id)).toBe(true);
    expect(await browser.userId()).toBeUndefined();
    expect(await here.sessions.list("ada")).toEqual([]);
  });

  it("wins where two of them meet the sign-in, and only the first has come to the session of before", async () => {
    const { backend, here, there, browser, id } = await twoProcesses();
    const held = backend.hold("update");
    const revoking = there.sessions.revoke(id);
    await held.arrived;
    await browser.visit((session) => session.signIn("ada"));
    const second = backend.hold("update");
    held.letGo();
    await second.arrived;
    expect(await here.sessions.revoke(id)).toBe(true);
    expect(await browser.userId()).toBeUndefined();
    second.letGo();
    await revoking;
  });

  it("wins where another revocation fails and puts the session back, just before the sign-in", async () => {
    const { backend, there, browser, id } = await twoProcesses();
    const failing = site<Data>({ store: backend, clock: () => START, faults: { delete: ["error", "error"] } });
    const login = await browser.begin();
    login.session.signIn("ada");
    const ending = backend.hold("update", "after");
    const failure = failing.sessions.revoke(id).catch((error: unknown) => error);
    await ending.arrived;
    const deleting = backend.hold("delete");
    const revoking = there.sessions.revoke(id);
    await deleting.arrived;
    ending.letGo();
    expect(await failure).toMatchObject({ code: "ERR_SESSION_STORE" });
    await login.end();
    deleting.letGo();
    await revoking;
    expect(await browser.userId()).toBeUndefined();
    expect(await there.sessions.list("ada")).toEqual([]);
  });

  it("finds the new session after a sign-out that met a revocation which failed and put the former one back", async () => {
    const { backend, there, browser, id } = await twoProcesses();
    const failing = site<Data>({ store: backend, clock: () => START, faults: { delete: ["error", "error"] } });
    const login = await browser.begin();
    login.session.signIn("ada");
    const leaving = await browser.copy(there.sessions).begin();
    leaving.session.signOut();
    const ending = backend.hold("update", "after");
    const failure = failing.sessions.revoke(id).catch((error: unknown) => error);
    await ending.arrived;
    const deleting = backend.hold("delete");
    const left = leaving.end();
    await deleting.arrived;
    ending.letGo();
    await failure;
    await login.end();
    deleting.letGo();
    await left;
    await there.sessions.revoke(id);
    expect(await browser.userId()).toBeUndefined();
  });

  it("wins over the sign-in, where it comes first: that is dropped, without a cookie", async () => {
    const { backend, here, there, browser } = await twoProcesses();
    const login = await browser.begin();
    login.session.signIn("ada");
    const held = backend.hold("update");
    const ending = login.end();
    await held.arrived;
    expect(await there.sessions.revokeAll("ada")).toBeGreaterThan(0);
    held.letGo();
    expect((await ending).headers.getSetCookie()).toEqual([]);
    expect(await here.sessions.list("ada")).toEqual([]);
    expect(here.events.at(-1)).toMatchObject({ name: "dropped", reason: "ended" });
  });

  it("wins over a sign-in that save() was to store: the response does not carry it out after all", async () => {
    const { backend, here, there, browser } = await twoProcesses();
    const login = await browser.begin();
    login.session.signIn("ada");
    const held = backend.hold("update");
    const saving = login.session.save();
    await held.arrived;
    expect(await there.sessions.revokeAll("ada")).toBeGreaterThan(0);
    held.letGo();
    await saving;
    expect((await login.end()).headers.getSetCookie()).toEqual([]);
    expect(await here.sessions.list("ada")).toEqual([]);
  });

  it("leaves the session of another user who signs in to it at that moment", async () => {
    const { backend, there, browser, id } = await twoProcesses();
    const held = backend.hold("update");
    const revoking = there.sessions.revoke(id);
    await held.arrived;
    await browser.visit((session) => session.signIn("bob"));
    held.letGo();
    expect(await revoking).toBe(false);
    expect(await browser.userId()).toBe("bob");
  });

  it("is not taken for done by a sign-out that comes late: neither cookie nor event", async () => {
    const { backend, here, there, browser } = await twoProcesses();
    const leaving = await browser.copy(there.sessions).begin();
    leaving.session.signOut();
    const held = backend.hold("update");
    const ending = leaving.end();
    await held.arrived;
    await browser.visit((session) => session.signIn("ada"));
    held.letGo();
    expect((await ending).headers.getSetCookie()).toEqual([]);
    expect(there.events).toEqual([]);
    expect(await browser.userId()).toBe("ada");
    expect(await here.sessions.list("ada")).toHaveLength(1);
  });
});

describe("Two sign-ins at once, of which the one that came first fails", () => {
  /** The store takes the first sign-in's compare-and-set, and answers with a failure after the second has ended. */
  async function failingFirst(begin: (session: Session<Data>) => void) {
    let failNext = false;
    const memory = memoryStore({ clock: () => START });
    const store = gated({
      ...memory,
      async update(id, stored, version) {
        const fails = failNext;
        failNext = false;
        const done = await memory.update(id, stored, version);
        if (fails) throw new Error("the reply is lost");
        return done;
      },
    });
    const options = { store, clock: () => START };
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit(begin);
    const thief = browser.copy();
    const [first, second] = [await browser.copy(there.sessions).begin(), await browser.begin()];
    first.session.signIn("ada");
    second.session.signIn("ada");
    failNext = true;
    const held = store.hold("read");
    const failing = first.end();
    await held.arrived;
    await second.end();
    held.letGo();
    await expect(failing).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    return { browser, thief };
  }

  it.each([
    ["a visitor's session", (session: Session<Data>) => void (session.data.n = 1)],
    ["a session of the same user", (session: Session<Data>) => session.signIn("ada")],
  ])("do not put %s back that the other has invalidated", async (_what, begin) => {
    const { browser, thief } = await failingFirst(begin);
    expect(await browser.userId()).toBe("ada");
    const { session } = await thief.begin();
    expect(session.isNew).toBe(true);
  });
});

describe("A sign-in while a revocation of its new session fails", () => {
  it.each(["before", "after"] as const)("loses no other request's change (%s it is read again)", async (when) => {
    const backend = gated(memoryStore({ clock: () => START }));
    const [here, there] = [0, 1].map(() => site<Data>({ store: backend, clock: () => START })) as [
      Site<Data>,
      Site<Data>,
    ];
    const failing = site<Data>({ store: backend, clock: () => START, faults: { delete: ["error", "error"] } });
    const browser = here.browser();
    await browser.visit((session) => session.signIn("ada"));
    const login = await browser.copy(there.sessions).begin();
    login.session.signIn("ada");
    const storing = backend.hold("update");
    const ending = login.end();
    await storing.arrived;
    await browser.visit((session) => void (session.data.n = 1));
    const reading = backend.hold("read", "after");
    storing.letGo();
    await reading.arrived;
    const deleting = backend.hold("update", "after");
    const revoking = failing.sessions.revoke(login.session.id).catch((error: unknown) => error);
    await deleting.arrived;
    if (when === "before") {
      deleting.letGo();
      expect(await revoking).toMatchObject({ code: "ERR_SESSION_STORE" });
    }
    reading.letGo();
    const answer = await ending;
    deleting.letGo();
    await revoking;
    const [, cookie] = /=([^;]*)/.exec(answer.headers.getSetCookie()[0]!)!;
    browser.jar.set("__Host-session", cookie!);
    // Either the revocation has its effect after all, or the session has everything.
    const { session } = await browser.begin();
    expect([session.userId, session.data.n]).toEqual(when === "before" ? ["ada", 1] : [undefined, undefined]);
  });
});

describe("Another user's sign-in to a session that another request has given a new token", () => {
  it("is not told as the end of that session, which lives on", async () => {
    const shop = site<Data>();
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const login = await browser.copy().begin();
    await browser.visit((session) => session.rotate());
    const { signal } = (await browser.begin()).session;
    login.session.signIn("bob");
    await login.end();
    expect([signal.aborted, await browser.userId()]).toEqual([false, "ada"]);
    expect(shop.events.filter(({ name }) => name === "signedOut")).toEqual([]);
  });
});

describe("A sign-in while rotate() of the same session fails", () => {
  it("leaves the old token invalid, although the rotate() would put it back", async () => {
    const memory = memoryStore({ clock: () => START });
    let fails = false;
    const store = gated({
      ...memory,
      async update(id, stored, version) {
        const isLost = fails;
        fails = false;
        const done = await memory.update(id, stored, version);
        if (isLost) throw new Error("the reply is lost");
        return done;
      },
    });
    const options = { store, clock: () => START };
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit((session) => session.signIn("ada"));
    const thief = browser.copy();
    const [rotating, entering] = [await browser.copy(there.sessions).begin(), await browser.begin()];
    rotating.session.rotate();
    entering.session.signIn("ada");
    fails = true;
    const held = store.hold("read");
    const failing = rotating.end();
    await held.arrived;
    await entering.end();
    held.letGo();
    await expect(failing).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(await browser.userId()).toBe("ada");
    expect((await thief.begin()).session.isNew).toBe(true);
  });
});

describe("A sign-in while the session of before is being signed out of", () => {
  it("invalidates that also where the sign-out meets failures, and would put it back", async () => {
    const memory = memoryStore({ clock: () => START });
    let deletions = 0;
    const store = gated({
      ...memory,
      async delete(id) {
        if (deletions++ < 2) throw new Error("the connection is lost");
        return memory.delete(id);
      },
    });
    const options = { store, clock: () => START };
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit((session) => void (session.data.n = 1));
    const thief = browser.copy();
    const leaving = await browser.copy(there.sessions).begin();
    const entering = await browser.begin();
    leaving.session.signOut();
    entering.session.signIn("ada");
    const held = store.hold("read");
    const failing = leaving.end();
    await held.arrived;
    await entering.end();
    held.letGo();
    // The sign-in has ended the session: the sign-out is done, and leaves the cookie of the sign-in alone.
    expect((await failing).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("ada");
    expect((await thief.begin()).session.isNew).toBe(true);
  });
});

describe("Revoking a visitor's session while somebody signs in to it", () => {
  /** The compare-and-set of the sign-in is done, and its answer is on the way. */
  async function signingIn(isLost: boolean) {
    const memory = memoryStore({ clock: () => START });
    let isNext = false;
    const store = gated({
      ...memory,
      async update(id, stored, version) {
        const fails = isNext && isLost;
        isNext = false;
        const done = await memory.update(id, stored, version);
        if (fails) throw new Error("the reply is lost");
        return done;
      },
    });
    const options = { store, clock: () => START };
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit((session) => void (session.data.n = 1));
    const former = browser.copy();
    const { session, end } = await browser.begin();
    const { id } = session;
    session.signIn("ada");
    isNext = true;
    const held = isLost ? store.hold("read") : store.hold("update", "after");
    const ending = end();
    await held.arrived;
    expect(await there.sessions.revoke(id)).toBe(false);
    held.letGo();
    return { browser, former, ending };
  }

  it("has it not put back, should the sign-in fail", async () => {
    const { ending, former } = await signingIn(true);
    await expect(ending).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect((await former.begin()).session.isNew).toBe(true);
  });

  it("leaves the session that the sign-in begins, and what keeps a late request from undoing it", async () => {
    const { ending, former, browser } = await signingIn(false);
    await ending;
    expect(await browser.userId()).toBe("ada");
    const late = await former.visit((session) => void (session.data.n = 2));
    expect(late.headers.getSetCookie()).toEqual([]);
  });
});

describe("A touch that comes while somebody signs in", () => {
  it("is not undone: as long as the session would have lived, a late request is known for one", async () => {
    const time = { now: START };
    const clock = () => time.now;
    const store = gated(memoryStore({ clock }));
    const options = { store, clock, idleTimeout: "20m", touchInterval: "1m" } as const;
    const [here, there] = [site<Data>(options), site<Data>(options)];
    const browser = here.browser();
    await browser.visit((session) => void (session.data.n = 1));
    const late = browser.copy();
    time.now += 10 * MINUTE;
    const login = await browser.begin();
    login.session.signIn("ada");
    const held = store.hold("update");
    const ending = login.end();
    await held.arrived;
    await browser.copy(there.sessions).visit();
    held.letGo();
    await ending;
    time.now += 15 * MINUTE;
    const answer = await late.visit((session) => void (session.data.n = 2));
    expect(answer.headers.getSetCookie()).toEqual([]);
  });
});
