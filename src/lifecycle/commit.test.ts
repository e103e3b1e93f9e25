import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { storeError } from "../../test/support/failures.ts";
import { Browser, KEYS, START, gated, site } from "../../test/support/stores.ts";
import { syncOperation } from "../capabilities.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { Session } from "../session.ts";
import { createSessions, type Sessions } from "../sessions.ts";
import type { SessionStore, SessionUpdate, SyncOperation } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { commit } from "./commit.ts";

interface Data {
  n?: number;
  list?: number[];
  [key: `k${number}`]: number;
  mine?: string;
  theirs?: string;
}

const superseded = expect.objectContaining({ code: "ERR_SESSION_SUPERSEDED", status: 409 });
const increment = (n = 0) => n + 1;

/** One server, one signed-in browser. */
async function signedIn(options: Parameters<typeof site<Data>>[0] = {}) {
  const server = site<Data>(options);
  const browser = server.browser();
  await browser.visit((session) => {
    session.data.n = 0;
    session.signIn("alice");
  });
  server.events.length = 0;
  return { ...server, browser };
}

/** A server whose store's calls can be held up, and a browser with an anonymous session of one key. */
async function visited(userId?: string) {
  const time = { now: 1_000_000_000_000 };
  const clock = () => time.now;
  const store = gated(memoryStore({ clock }));
  const server = site<Data>({ store, clock });
  const browser = server.browser();
  await browser.visit((session) => {
    session.data.n = 0;
    if (userId) session.signIn(userId);
  });
  server.events.length = 0;
  return { ...server, time, gate: store, browser };
}

describe("A program that puts another class in the place of Promise", () => {
  it("gets its response once the session is stored, with the cookie, and its requests wait for each other", async () => {
    const { browser } = await signedIn({ encrypted: true });
    const visitor = browser.copy();
    visitor.jar.clear();
    vi.stubGlobal("Promise", class extends Promise<unknown> {});
    onTestFinished(() => void vi.unstubAllGlobals());
    await visitor.visit((session) => {
      session.data.n = 1;
      session.signIn("bob");
    });
    expect(await visitor.userId()).toBe("bob");
    await Promise.all([1, 2, 3].map(() => visitor.visit((session) => void session.update("n", increment))));
    expect(await visitor.data()).toEqual({ n: 4 });
  });
});

describe("A listener of an event of the response's commit", () => {
  it.each([
    ["at once", memoryStore()],
    ["by promises", gated(memoryStore())],
  ])("comes too late to sign in, and is told so, where the store answers %s", async (_, store) => {
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store });
    const browser = new Browser(sessions);
    const { session, end } = await browser.begin();
    const told: unknown[] = [];
    sessions.on("created", () => {
      try {
        session.signIn("bob");
      } catch (error) {
        told.push(error);
      }
    });
    session.data.n = 1;
    await end();
    expect(told).toEqual([expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT" })]);
    expect(await browser.data()).toEqual({ n: 1 });
  });
});

describe("No update is lost", () => {
  it.each([false, true])("by 200 requests at once (records sealed: %s)", async (encrypted) => {
    const { browser } = await signedIn({ encrypted, storeTimeout: "1m" });
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        browser.visit(async (session) => {
          session.data[`k${i}`] = i;
          if (i % 3 === 0) await Promise.resolve();
          session.update("n", increment);
          session.flash("info", i);
        }),
      ),
    );
    expect(answers.every((answer) => answer.headers.getSetCookie().length === 0)).toBe(true);
    const { session } = await browser.begin();
    expect(session.data.n).toBe(200);
    for (let i = 0; i < 200; i++) expect(session.data[`k${i}`]).toBe(i);
    // No more than a hundred flashes are kept.
    expect(session.takeFlashes()).toHaveLength(100);
  });

  it("by two processes on one store that write at the same time", async () => {
    const { browser, backend } = await signedIn();
    const other = site<Data>({ store: backend });
    const there = browser.copy(other.sessions);
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        (i % 2 ? browser : there).visit((session) => {
          session.update("n", increment);
          session.data[`k${i}`] = i;
        }),
      ),
    );
    const data = await browser.data();
    expect(data.n).toBe(60);
    expect(Object.keys(data)).toHaveLength(61);
  });

  it("for two writes to one key: the later commit stands", async () => {
    const { browser } = await signedIn();
    const [first, second] = [await browser.begin(), await browser.begin()];
    first.session.data.mine = "first";
    second.session.data.mine = "second";
    await second.end();
    await first.end();
    expect((await browser.data()).mine).toBe("first");
  });

  it("when two layers open the session of one request at once", async () => {
    const { gate, sessions, browser } = await visited();
    const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
    const slow = gate.hold("read");
    const opening = [sessions.open(request), sessions.open(request)];
    await slow.arrived;
    await nextTurn();
    const session = sessions.of(request);
    if (session.isLoaded) session.data.mine = "mine";
    await browser.visit((other) => (other.data.theirs = "theirs"));
    slow.letGo();
    await Promise.all(opening);
    session.data.mine = "mine";
    await sessions.commit(session, new Response());
    expect(await browser.data()).toEqual({ n: 0, mine: "mine", theirs: "theirs" });
  });

  it("gives up after many conflicts with ERR_SESSION_CONFLICT, and stores nothing", async () => {
    const { browser, store, backend } = await signedIn({ faults: {} });
    const refusing: SessionStore = { ...backend, update: async () => false };
    const there = browser.copy(site<Data>({ store: refusing, storeTimeout: "1h" }).sessions);
    await expect(there.visit((session) => (session.data.mine = "mine"))).rejects.toMatchObject({
      code: "ERR_SESSION_CONFLICT",
      status: 409,
    });
    expect(store.calls.update).toBe(0);
    expect((await browser.data()).mine).toBeUndefined();
  });
});

describe("Sign-out always wins", () => {
  it("over a write that was under way: it is dropped, without a cookie, and told", async () => {
    const { browser, events } = await signedIn();
    const slow = await browser.begin();
    const { id } = slow.session;
    slow.session.data.mine = "too late";
    const thief = browser.copy();
    await browser.visit((session) => session.signOut());
    const answer = await slow.end();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(events).toEqual([
      { name: "signedOut", id, userId: "alice" },
      { name: "dropped", id, userId: "alice", reason: "ended" },
    ]);
    expect(await thief.userId()).toBeUndefined();
    expect(await thief.data()).toEqual({});
  });

  it("over a touch that was under way", async () => {
    const { browser, time, events } = await signedIn({ idleTimeout: "1h" });
    const thief = browser.copy();
    time.now += 600_000;
    const slow = await browser.begin();
    await browser.visit((session) => session.signOut());
    events.length = 0;
    const answer = await slow.end();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(events).toEqual([]);
    expect(await thief.userId()).toBeUndefined();
  });

  it("at every moment of a write's way through the store", async () => {
    for (const moment of ["before update", "after update", "before read"] as const) {
      const { gate, browser, events } = await visited("alice");
      const [when, operation] = moment.split(" ") as ["before" | "after", "update" | "read"];
      const thief = browser.copy();
      const writer = await browser.begin();
      writer.session.data.mine = "mine";
      if (operation === "read") await browser.visit((session) => (session.data.theirs = "theirs"));
      const leaving = await browser.begin();
      const held = gate.hold(operation, when);
      const writing = writer.end();
      await held.arrived;
      const { id } = leaving.session;
      leaving.session.signOut();
      // Another process's sign-out: it does not wait for this process's commits.
      await gate.delete(id);
      held.letGo();
      await writing;
      expect(await thief.userId(), `with ${moment}`).toBeUndefined();
      if (moment !== "after update") expect(events.at(-1), `with ${moment}`).toMatchObject({ name: "dropped" });
    }
  });

  it("over a rotation that was under way", async () => {
    const { browser, events } = await signedIn();
    const slow = await browser.begin();
    slow.session.rotate();
    await browser.visit((session) => session.signOut());
    const answer = await slow.end();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(events.at(-1)).toMatchObject({ name: "dropped", reason: "ended" });
  });

  it("over a rotate() that was stored first", async () => {
    const { browser, events } = await signedIn();
    const copy = browser.copy();
    const leaving = await browser.begin();
    await copy.visit((session) => session.rotate());
    leaving.session.signOut();
    const answer = await leaving.end();
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    expect(await copy.userId()).toBeUndefined();
    expect(events.map(({ name }) => name)).toContain("signedOut");
  });

  it("without leaving the id to the session that begins after it", async () => {
    const browser = site<Data>().browser();
    let ids: string[] = [];
    await browser.visit(async (session) => {
      session.data.mine = "Ada";
      await session.save();
      ids = [session.id];
      session.signOut();
      session.flash("info", "bye");
      ids.push(session.id);
    });
    await browser.visit((session) => void ids.push(session.id));
    expect(ids[1]).not.toBe(ids[0]);
    expect(ids[2]).toBe(ids[1]);
  });

  it("for two at once: both succeed, and one tells", async () => {
    const { browser, events } = await signedIn();
    const [first, second] = [await browser.begin(), await browser.begin()];
    first.session.signOut();
    second.session.signOut();
    const answers = await Promise.all([first.end(), second.end()]);
    expect(answers.map((answer) => answer.headers.getSetCookie().length).toSorted((a, b) => a - b)).toEqual([0, 1]);
    expect(events.map(({ name }) => name)).toEqual(["signedOut"]);
  });

  it("over a session that expired under the request's hands", async () => {
    const { browser, time, events } = await signedIn({ idleTimeout: "1m" });
    const slow = await browser.begin();
    slow.session.data.mine = "too late";
    time.now += 60_000;
    await slow.end();
    expect(events).toMatchObject([{ name: "dropped", reason: "ended" }]);
    expect(await browser.data()).toEqual({});
  });

  it("over a write that comes between the two steps of a sign-out: it is dropped, and no error", async () => {
    const { gate, browser, events } = await visited("alice");
    const elsewhere = browser.copy(site<Data>({ store: gate, clock: () => 1_000_000_000_000 }).sessions);
    const writer = await browser.begin();
    writer.session.data.mine = "too late";
    const held = gate.hold("delete");
    const leaving = elsewhere.visit((session) => session.signOut());
    await held.arrived;
    expect((await writer.end()).headers.getSetCookie()).toEqual([]);
    expect(events.at(-1)).toMatchObject({ name: "dropped", reason: "ended" });
    expect(await browser.copy().userId()).toBeUndefined();
    held.letGo();
    await leaving;
  });

  it("leaves a request whose session ended with an empty one, and no error for a second commit", async () => {
    const { browser } = await signedIn();
    const slow = await browser.begin();
    slow.session.data.mine = "too late";
    await browser.visit((session) => session.signOut());
    await slow.session.save();
    expect({ ...slow.session.data }).toEqual({});
    expect(slow.session.userId).toBeUndefined();
    slow.session.data.mine = "again";
    expect((await slow.end()).headers.getSetCookie()).toEqual([]);
  });
});

describe("Signing in", () => {
  it("gives the session a new id and a new token, keeps its data, and invalidates the old token at once", async () => {
    const server = site<Data>();
    const browser = server.browser();
    await browser.visit((session) => (session.data.n = 1));
    const planted = browser.copy();
    const before = (await browser.begin()).session.id;
    const answer = await browser.visit((session) => session.signIn("alice"));
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    const { session } = await browser.begin();
    expect(session).toMatchObject({ userId: "alice", isNew: false });
    expect(session.id).not.toBe(before);
    expect(session.data.n).toBe(1);
    expect(browser.cookie).not.toBe(planted.cookie);
    expect(await planted.userId()).toBeUndefined();
    expect(await planted.data()).toEqual({});
  });

  it("refuses what a request of the old token writes meanwhile, with 409 and nothing stored", async () => {
    const { browser } = await visited();
    const planted = await browser.begin();
    await browser.visit((session) => session.signIn("alice"));
    planted.session.data.mine = "planted";
    planted.session.update("n", increment);
    await expect(planted.end()).rejects.toEqual(superseded);
    expect(await browser.data()).toEqual({ n: 0 });
    // The error's own response sets no cookie either.
    const answer = await planted.end(new Response("sorry", { status: 409 }));
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(await browser.userId()).toBe("alice");
  });

  it("lets a request of the old token that only read go on, without a cookie", async () => {
    const { browser, time } = await visited();
    time.now += 86_400_000 / 2;
    const planted = await browser.begin();
    await browser.visit((session) => session.signIn("alice"));
    expect((await planted.end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("alice");
  });

  it("of two at once from one anonymous session gives each a session of its own, without merging", async () => {
    const { browser, events } = await visited();
    await browser.visit((session) => (session.data.theirs = "the visitor's"));
    const [tabA, tabB] = [browser.copy(), browser.copy()];
    const [first, second] = [await tabA.begin(), await tabB.begin()];
    first.session.data.mine = "first";
    first.session.signIn("alice");
    second.session.data.list = [2];
    second.session.signIn("bob");
    await Promise.all([first.end(), second.end()]);
    expect(await tabA.userId()).toBe("alice");
    expect(await tabA.data()).toEqual({ n: 0, theirs: "the visitor's", mine: "first" });
    expect(await tabB.userId()).toBe("bob");
    expect(await tabB.data()).toEqual({ list: [2] });
    expect((await tabA.begin()).session.id).not.toBe((await tabB.begin()).session.id);
    expect(events.filter(({ name }) => name === "signedIn")).toHaveLength(2);
  });

  it("of the same user twice at once succeeds twice", async () => {
    const { browser } = await visited();
    const tabs = [browser.copy(), browser.copy()];
    const underway = await Promise.all(tabs.map((tab) => tab.begin()));
    for (const { session } of underway) session.signIn("alice");
    await Promise.all(underway.map(({ end }) => end()));
    expect(await Promise.all(tabs.map((tab) => tab.userId()))).toEqual(["alice", "alice"]);
  });

  it("of another user begins a new session with nothing of the old, and ends the old one", async () => {
    const { browser, events } = await signedIn();
    await browser.visit((session) => {
      session.data.theirs = "alice's";
      session.flash("info", "for alice");
    });
    const alice = browser.copy();
    const { id } = (await browser.begin()).session;
    await browser.visit((session) => {
      session.data.mine = "set by this request";
      session.signIn("bob");
      expect({ ...session.data }).toEqual({ mine: "set by this request" });
      expect(session.userId).toBe("bob");
    });
    const { session } = await browser.begin();
    expect(session).toMatchObject({ userId: "bob" });
    expect(session.id).not.toBe(id);
    expect({ ...session.data }).toEqual({ mine: "set by this request" });
    expect(session.takeFlashes()).toEqual([]);
    expect(await alice.userId()).toBeUndefined();
    expect(events).toMatchObject([
      { name: "signedOut", id, userId: "alice" },
      { name: "created", id: session.id, userId: "bob" },
      { name: "signedIn", id: session.id, userId: "bob", previousId: id },
    ]);
  });

  it("of the same user again gives a new token and starts both clocks anew", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "1h", absoluteTimeout: "2h" });
    const old = browser.copy();
    time.now += 3_000_000;
    await browser.visit((session) => session.signIn("alice"));
    expect(await old.userId()).toBeUndefined();
    expect((await browser.begin()).session.signedInAt).toBe(time.now);
    for (let i = 0; i < 2; i++) {
      time.now += 3_000_000;
      await browser.visit();
    }
    expect(await browser.userId()).toBe("alice");
  });

  it("on a session that ended meanwhile begins a new one with only what the request set", async () => {
    const { browser } = await visited();
    const login = await browser.begin();
    await browser.visit((session) => session.signOut());
    login.session.data.mine = "mine";
    login.session.signIn("alice");
    await login.end();
    expect(await browser.userId()).toBe("alice");
    expect(await browser.data()).toEqual({ mine: "mine" });
  });
});

describe("Rotating", () => {
  it("gives a new token, keeps all else, and kills the old one at once", async () => {
    const { browser, events, time } = await signedIn();
    const old = browser.copy();
    const before = (await browser.begin()).session;
    time.now += 1000;
    const answer = await browser.visit((session) => session.rotate());
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    const { session } = await browser.begin();
    expect(session).toMatchObject({ id: before.id, userId: "alice", signedInAt: before.signedInAt });
    expect(session.data.n).toBe(0);
    expect(await old.userId()).toBeUndefined();
    expect(events).toEqual([{ name: "rotated", id: before.id, userId: "alice" }]);
  });

  it("for a visitor without a session does nothing", async () => {
    const { browser, store } = site();
    const answer = await browser().visit((session) => session.rotate());
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(store.calls.total).toBe(0);
  });
});

describe("session.save", () => {
  it("stores at once, twice if need be, and the response stores no more", async () => {
    const { browser, store } = await signedIn();
    const before = store.calls.update;
    await browser.visit(async (session) => {
      session.data.mine = "1";
      await session.save();
      expect((await browser.data()).mine).toBe("1");
      await session.save();
      session.data.mine = "2";
      await session.save();
      expect((await browser.data()).mine).toBe("2");
    });
    expect(store.calls.update - before).toBe(2);
  });

  it("of a new session has its cookie wait for the response", async () => {
    const { browser, store } = site<Data>();
    const one = browser();
    const answer = await one.visit(async (session) => {
      session.data.n = 1;
      await session.save();
      expect(session.isNew).toBe(false);
    });
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    expect(store.calls).toMatchObject({ create: 1, update: 0 });
    expect(await one.data()).toEqual({ n: 1 });
  });

  it("may be called many times at once without waiting, with changes in between", async () => {
    const { browser, store } = await signedIn();
    const saves: Promise<void>[] = [];
    await browser.visit((session) => {
      for (let i = 0; i < 20; i++) {
        session.data[`k${i}`] = i;
        session.update("n", increment);
        saves.push(session.save());
      }
    });
    await Promise.all(saves);
    const data = await browser.data();
    expect(data.n).toBe(20);
    expect(Object.keys(data)).toHaveLength(21);
    expect(store.calls.update).toBeLessThanOrEqual(21);
  });

  it("called twice at once for a new session begins one session, not two", async () => {
    const { browser, store, events } = site<Data>();
    const one = browser();
    await one.visit(async (session) => {
      session.data.n = 1;
      const saves = [session.save(), session.save()];
      session.data.mine = "mine";
      await Promise.all([...saves, session.save()]);
    });
    expect(store.calls.create).toBe(1);
    expect(events.map(({ name }) => name)).toEqual(["created"]);
    expect(await one.data()).toEqual({ n: 1, mine: "mine" });
  });

  it("after signing in signs in once, whatever is stored after it", async () => {
    const { browser, store, events } = await signedIn();
    const before = store.calls.update;
    await browser.visit(async (session) => {
      session.signIn("alice");
      await session.save();
      session.data.mine = "mine";
    });
    expect(store.calls.update - before).toBe(2);
    expect(events.map(({ name }) => name)).toEqual(["signedIn"]);
    await browser.visit(async (session) => {
      session.rotate();
      await session.save();
    });
    expect(store.calls.update - before).toBe(3);
    expect(await browser.userId()).toBe("alice");
  });

  it("rejects for what can't be kept, and can be called again once that is gone", async () => {
    const { browser } = await signedIn();
    await browser.visit(async (session) => {
      (session.data as Record<string, unknown>)["bad"] = () => 1;
      await expect(session.save()).rejects.toThrow("session.data.bad can't be kept");
      delete (session.data as Record<string, unknown>)["bad"];
      session.data.mine = "good";
      await session.save();
    });
    expect(await browser.data()).toEqual({ n: 0, mine: "good" });
  });

  it("keeps apart what was set while it was being stored", async () => {
    const { gate, browser } = await visited();
    await browser.visit(async (session) => {
      session.data.mine = "first";
      const held = gate.hold("update");
      const saving = session.save();
      await held.arrived;
      session.data.theirs = "second";
      held.letGo();
      await saving;
      expect(await browser.data()).toEqual({ n: 0, mine: "first" });
    });
    expect(await browser.data()).toEqual({ n: 0, mine: "first", theirs: "second" });
  });

  it("applies an update again that was made while an earlier one was being stored", async () => {
    const { gate, browser } = await visited();
    await browser.visit(async (session) => {
      session.update("n", increment);
      const held = gate.hold("update");
      const saving = session.save();
      await held.arrived;
      session.update("n", increment);
      held.letGo();
      await saving;
      await browser.visit((other) => void other.update("n", (n = 0) => n + 10));
    });
    expect((await browser.data()).n).toBe(12);
  });

  it("loses nothing of others where a change is made while a conflict is being settled", async () => {
    const { gate, browser } = await visited();
    const mine = await browser.begin();
    mine.session.update("n", increment);
    await browser.visit((other) => void other.update("n", (n = 0) => n + 10));
    const held = gate.hold("read");
    const saving = mine.session.save();
    await held.arrived;
    mine.session.update("n", increment);
    held.letGo();
    await saving;
    await mine.end();
    expect((await browser.data()).n).toBe(12);
  });
});

describe("A late request of a session that ended or was superseded", () => {
  it("does not send the cookie that waited for its response", async () => {
    const { gate, browser } = await visited("alice");
    const slow = await browser.begin();
    slow.session.rotate();
    await slow.session.save();
    // Meanwhile the session is ended from elsewhere, and the browser signs in anew.
    await gate.delete(slow.session.id);
    await browser.visit((session) => session.signIn("alice"));
    slow.session.data.mine = "too late";
    expect((await slow.end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("alice");
  });

  it("does not send that cookie where it signs out itself, and finds the session ended", async () => {
    const { gate, browser } = await visited("alice");
    const slow = await browser.begin();
    slow.session.rotate();
    await slow.session.save();
    await gate.delete(slow.session.id);
    await browser.visit((session) => session.signIn("alice"));
    slow.session.signOut();
    expect((await slow.end()).headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("alice");
  });

  it.each([false, true])("does not undo a sign-in by renewing an old key's cookie (sealed: %s)", async (encrypted) => {
    const before = await signedIn({ encrypted, storeTimeout: "1m" });
    const after = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = before.browser.copy(after.sessions);
    const reader = await browser.begin();
    await browser.visit((session) => session.signIn("alice"));
    await reader.end();
    expect(await browser.userId()).toBe("alice");
  });

  it("that only read is not refused because its record was to be sealed anew", async () => {
    const before = await signedIn({ encrypted: true });
    const after = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = before.browser.copy(after.sessions);
    const reader = await browser.begin();
    expect(reader.session.data.n).toBe(0);
    await browser.visit((session) => session.signIn("alice"));
    const answer = await reader.end();
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("alice");
  });
});

describe("A passive request", () => {
  const MINUTE = 60_000;

  it("that writes does not take back what others have extended since it read", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "15m" });
    time.now += 5 * MINUTE;
    const poll = await browser.begin();
    poll.session.passive = true;
    time.now += 5 * MINUTE;
    await browser.visit();
    poll.session.data.mine = "polled";
    await poll.end();
    time.now += 14 * MINUTE;
    expect(await browser.userId()).toBe("alice");
  });

  it("that only rotates the token does not either", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "15m", rotation: { every: "20m" } });
    time.now += 10 * MINUTE;
    await browser.visit();
    const poll = await browser.begin();
    poll.session.passive = true;
    time.now += 10 * MINUTE;
    await browser.visit((session) => session.data.n);
    await poll.end();
    time.now += 14 * MINUTE;
    expect(await browser.userId()).toBe("alice");
  });

  it("extends nothing by writing", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "15m" });
    time.now += 10 * MINUTE;
    await browser.visit((session) => {
      session.passive = true;
      session.data.mine = "polled";
    });
    time.now += 5 * MINUTE;
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("A failure that the handler has dealt with", () => {
  async function failing(operation: "create" | "update" | "delete") {
    const broken = { on: false };
    const server = await signedIn({ faults: { [operation]: () => (broken.on ? new Error("out of order") : "ok") } });
    return { ...server, failing: broken };
  }

  it("of a sign-in over another user's session leaves that as it was, with what came after", async () => {
    const { browser, failing: store, sessions, backend } = await failing("update");
    await browser.visit((session) => (session.data.theirs = "alice's"));
    const { id } = (await browser.begin()).session;
    await browser.visit(async (session) => {
      store.on = true;
      session.data.mine = "bob's";
      session.signIn("bob");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      store.on = false;
      session.flash("error", "FAILED");
    });
    const { session } = await browser.begin();
    expect(session).toMatchObject({ id, userId: "alice" });
    expect({ ...session.data }).toEqual({ n: 0, theirs: "alice's" });
    expect(session.takeFlashes()).toEqual([{ category: "error", message: "FAILED" }]);
    expect(await sessions.list("bob")).toEqual([]);
    expect((await backend.idsOfUser!("alice")).length).toBe(1);
  });

  it("of a sign-in beyond the limit does not make the response fail because of a flash", async () => {
    const server = site<Data>({ maxPerUser: { sessions: 1, whenFull: "refuse" } });
    await server.browser().visit((session) => session.signIn("alice"));
    const late = server.browser();
    const answer = await late.visit(
      async (session) => {
        session.data.mine = "alice's";
        session.signIn("alice");
        await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_LIMIT" });
        session.flash("error", "Too many");
      },
      { response: new Response(null, { status: 303, headers: { location: "/" } }) },
    );
    expect(answer.status).toBe(303);
    const { session } = await late.begin();
    expect(session.userId).toBeUndefined();
    expect({ ...session.data }).toEqual({});
    expect(session.takeFlashes()).toHaveLength(1);
    expect(await server.sessions.list("alice")).toHaveLength(1);
  });

  it("of a sign-out is not tried again, and the session lives on", async () => {
    const { browser, failing: store } = await failing("delete");
    const answer = await browser.visit(async (session) => {
      store.on = true;
      session.signOut();
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      store.on = false;
    });
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBe("alice");
  });

  it("of a sign-out brings nothing back that another sign-out has ended meanwhile", async () => {
    const { browser, backend } = await signedIn();
    const other = browser.copy(site<Data>({ store: backend }).sessions);
    const under = await other.begin();
    const failingStore = {
      ...backend,
      delete: async () => {
        under.session.signOut();
        await under.end();
        throw new Error("out of order");
      },
    };
    const here = browser.copy(site<Data>({ store: failingStore }).sessions);
    await expect(here.visit((session) => session.signOut())).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(await browser.copy().userId()).toBeUndefined();
  });

  it.each([
    ["a sign-out", ({ browser, sessions }) => browser.copy(sessions).visit((session) => session.signOut())],
    ["a revocation", ({ sessions }) => sessions.revokeAll("alice")],
  ] satisfies [string, (given: { browser: Browser<Data>; sessions: Sessions<Data> }) => Promise<unknown>][])(
    "of %s brings nothing back that revokeAll has found meanwhile",
    async (_what, end) => {
      const { browser, backend, sessions } = await signedIn();
      const failingStore = {
        ...backend,
        delete: async () => {
          await sessions.revokeAll("alice");
          throw new Error("out of order");
        },
      };
      const { sessions: elsewhere } = site<Data>({ store: failingStore });
      await expect(end({ browser, sessions: elsewhere })).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      expect(await browser.userId()).toBeUndefined();
      expect(await sessions.list("alice")).toEqual([]);
    },
  );

  it.each([
    ["a sign-out", ({ browser, sessions }) => browser.copy(sessions).visit((session) => session.signOut())],
    ["a revocation", ({ sessions }) => sessions.revokeAll("alice")],
  ] satisfies [string, (given: { browser: Browser<Data>; sessions: Sessions<Data> }) => Promise<unknown>][])(
    "of %s does not take back what another request has extended meanwhile",
    async (_what, end) => {
      const time = { now: START };
      const clock = () => time.now;
      const options = { clock, idleTimeout: "20m", touchInterval: "1m" } as const;
      const store = memoryStore({ clock });
      const browser = site<Data>({ store, ...options }).browser();
      await browser.visit((session) => session.signIn("alice"));
      const failingStore: SessionStore = {
        ...store,
        update: async (...given) => {
          await browser.visit();
          return store.update(...given);
        },
        delete: async () => {
          throw new Error("out of order");
        },
      };
      const { sessions: elsewhere } = site<Data>({ store: failingStore, ...options });
      time.now += 10 * 60_000;
      await expect(end({ browser, sessions: elsewhere })).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      time.now += 15 * 60_000;
      expect(await browser.userId()).toBe("alice");
    },
  );

  it("of changed data leaves them out, and applies a later update to what is stored", async () => {
    const { browser, failing: store } = await failing("update");
    await browser.visit(async (session) => {
      store.on = true;
      session.data.mine = "lost";
      session.update("n", increment);
      session.flash("info", "lost");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      store.on = false;
      session.update("n", (n = 0) => n + 10);
      session.data.theirs = "kept";
    });
    const { session } = await browser.begin();
    expect({ ...session.data }).toEqual({ n: 10, theirs: "kept" });
    expect(session.takeFlashes()).toEqual([]);
  });

  it("of a value that can't be kept does not make the response fail", async () => {
    const { browser } = await signedIn();
    const answer = await browser.visit(async (session) => {
      (session.data as Record<string, unknown>)["bad"] = () => 1;
      await expect(session.save()).rejects.toThrow("session.data.bad can't be kept");
      session.flash("error", "Not saved");
    });
    expect(answer.status).toBe(200);
    expect(await browser.data()).toEqual({ n: 0 });
  });

  it("is tried again where the handler calls save() again", async () => {
    const { browser, failing: store } = await failing("update");
    await browser.visit(async (session) => {
      store.on = true;
      session.update("n", increment);
      session.signIn("alice");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      store.on = false;
      session.update("n", increment);
      await session.save();
    });
    expect((await browser.data()).n).toBe(2);
    expect((await browser.begin()).session.signedInAt).toBeDefined();
  });

  it("of a create whose reply was lost does not make a second save() fail", async () => {
    const lost = { on: true };
    const server = site<Data>({
      faults: { create: () => (lost.on ? "error-after" : "ok"), read: () => (lost.on ? "error" : "ok") },
    });
    const browser = server.browser();
    await browser.visit(async (session) => {
      session.data.n = 1;
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      lost.on = false;
      await session.save();
    });
    expect(await browser.data()).toEqual({ n: 1 });
  });

  it("of a sign-in whose reply was lost leaves no session of that user behind", async () => {
    const lost = { on: true };
    const server = site<Data>({
      faults: { create: () => (lost.on ? "error-after" : "ok"), read: () => (lost.on ? "error" : "ok") },
    });
    const browser = server.browser();
    await browser.visit(async (session) => {
      session.signIn("alice");
      await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      lost.on = false;
      session.flash("error", "FAILED");
    });
    expect(await browser.userId()).toBeUndefined();
    expect(await server.sessions.list("alice")).toEqual([]);
  });

  it("of one save() is made up for by the next, although that was called before it was known", async () => {
    const { browser } = await signedIn({ faults: { update: ["error", "ok"] } });
    await browser.visit(async (session) => {
      session.update("n", increment);
      const first = session.save().catch((error: unknown) => error);
      session.update("n", increment);
      const second = session.save();
      expect(await first).toMatchObject({ code: "ERR_SESSION_STORE" });
      await second;
    });
    expect((await browser.data()).n).toBe(2);
  });

  it("does not take with it a sign-in that came while it was being stored", async () => {
    const { browser, failing: store } = await failing("update");
    await browser.visit(async (session) => {
      session.data.mine = "lost";
      store.on = true;
      const saving = session.save();
      session.signIn("bob");
      await expect(saving).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      store.on = false;
    });
    expect(await browser.userId()).toBe("bob");
  });

  it.each(["signIn", "rotate"] as const)(
    "does not keep back the cookie of an earlier %s that was saved",
    async (method) => {
      const { browser, failing: store } = await failing("update");
      const answer = await browser.visit(async (session) => {
        session[method]("alice");
        await session.save();
        store.on = true;
        session.data.mine = "lost";
        await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
        store.on = false;
      });
      expect(answer.headers.getSetCookie()).toHaveLength(1);
      expect(await browser.userId()).toBe("alice");
    },
  );

  it("or that the response itself has met does not keep back the cookie of what was saved before", async () => {
    const { browser, failing: store } = await failing("update");
    const { session, end } = await browser.begin();
    session.signIn("alice");
    await session.save();
    store.on = true;
    session.data.mine = "lost";
    await expect(end()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    store.on = false;
    const answer = await end(new Response("sorry", { status: 503 }));
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(await browser.userId()).toBe("alice");
  });
});

describe("A visitor's sign-in that save() could not store", () => {
  it("is tried again under another id", async () => {
    const shop = site({ faults: { create: ["error"] } });
    const { session, end } = await shop.browser().begin();
    session.signIn("ada");
    const { id } = session;
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    await session.save();
    expect(session.id).not.toBe(id);
    expect((await end()).headers.getSetCookie()).toHaveLength(1);
  });

  it("is tried again with another secret", async () => {
    const backend = memoryStore();
    const secretHashes: string[] = [];
    const store: SessionStore = {
      ...backend,
      async create(id, stored) {
        secretHashes.push(Buffer.from(stored.payload).toString("hex", 1, 17));
        if (secretHashes.length === 1) throw new Error("down");
        return backend.create(id, stored);
      },
    };
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store });
    const { session } = await new Browser(sessions).begin();
    session.signIn("ada");
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    await session.save();
    expect(new Set(secretHashes).size).toBe(2);
  });
});

describe("A save() that failed, and a response without a body", () => {
  it("leaves out what was to be stored, and fails nothing afterwards", async () => {
    const shop = site({ faults: { create: ["error"] } });
    const unhandled: unknown[] = [];
    const listener = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", listener);
    onTestFinished(() => void process.off("unhandledRejection", listener));
    const { session, end } = await shop.browser().begin();
    session.data.name = "Ada";
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    const response = await end(new Response(null, { status: 303, headers: { location: "/" } }));
    expect(response.status).toBe(303);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
    expect(shop.store.calls).toMatchObject({ create: 1 });
  });

  it("stores nothing of it after the response in a session that there is", async () => {
    const shop = site({ faults: { update: ["error"] } });
    const browser = shop.browser();
    await browser.visit((session) => (session.data.name = "Ada"));
    const { session, end } = await browser.begin();
    session.data.name = "Bob";
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    await end(new Response(null, { status: 303, headers: { location: "/" } }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(await browser.data()).toEqual({ name: "Ada" });
  });
});

describe("A save() that failed, and a change while the body of the response is sent", () => {
  /** A body that changes the session before its end. */
  const bodyThat = (change: () => void) =>
    new Response(
      new ReadableStream({
        pull(controller) {
          change();
          controller.close();
        },
      }),
    );

  it("stores that change, and not those that failed", async () => {
    const shop = site({ faults: { update: ["error"] } });
    const browser = shop.browser();
    await browser.visit((session) => (session.data.name = "Ada"));
    const { session, end } = await browser.begin();
    session.data.name = "Bob";
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    const response = await end(bodyThat(() => (session.data.later = true)));
    await response.text();
    expect(await browser.data()).toEqual({ name: "Ada", later: true });
  });

  it.each([
    ["signIn", { update: ["error"] }],
    ["rotate", { update: ["error"] }],
    ["signOut", { delete: ["error", "error"] }],
  ] as const)("does not try again what needs a cookie: %s", async (call, faults) => {
    const shop = site({ faults });
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const { session, end } = await browser.begin();
    session[call]("ada");
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    const response = await end(bodyThat(() => (session.data.later = true)));
    await response.text();
    expect([await browser.userId(), await browser.data()]).toEqual(["ada", { later: true }]);
  });
});

describe("A sign-out that is saved before the response", () => {
  it("clears the cookie with the response", async () => {
    const { browser } = await signedIn();
    const answer = await browser.visit(async (session) => {
      session.signOut();
      await session.save();
    });
    expect(answer.headers.getSetCookie()).toEqual([expect.stringContaining("Max-Age=0")]);
    expect(browser.jar.size).toBe(0);
  });
});

describe("Commits of one session that wait for each other", () => {
  it("store one after the other without reading the session again", async () => {
    const { browser, store } = await signedIn();
    const requests = await Promise.all(Array.from({ length: 20 }, () => browser.begin()));
    const before = { ...store.calls };
    await Promise.all(
      requests.map(async ({ session, end }) => {
        session.update("n", increment);
        await end();
      }),
    );
    expect(store.calls).toMatchObject({ read: before.read, update: before.update + 20 });
    expect(await browser.data()).toEqual({ n: 20 });
  });
});

describe("A store that answers at once", () => {
  it("stores before the response goes on, without a promise, and loses no update of parallel requests", async () => {
    const store = memoryStore();
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store });
    const browser = new Browser(sessions);
    await browser.visit((session) => void (session.data.n = 0));
    const { session } = await browser.begin();
    session.data.n = 1;
    expect(commit(requestSessionOf(session), "response")).toBe(undefined);
    expect(await browser.data()).toEqual({ n: 1 });
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        browser.visit(async (parallel) => {
          parallel.data[`k${i}`] = i;
          await nextTurn();
          parallel.update("n", increment);
        }),
      ),
    );
    expect(await browser.data()).toMatchObject({ n: 51, k0: 0, k49: 49 });
  });

  it("signs in before the response goes on, without a promise: a visitor, the same user again, and another user", async () => {
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store: memoryStore() });
    const browser = new Browser(sessions);
    const ids = new Set<string>();
    for (const user of ["ada", "ada", "bob"]) {
      const { session, end } = await browser.begin();
      session.data.mine = user;
      session.signIn(user);
      expect(commit(requestSessionOf(session), "response")).toBe(undefined);
      await end();
      ids.add(session.id);
      expect(await browser.data()).toEqual({ mine: user });
      expect(await sessions.list(user)).toMatchObject([{ id: session.id }]);
    }
    expect(ids.size).toBe(3);
    expect(await sessions.list("ada")).toEqual([]);
  });

  it("lets a listener of the commit's event save the same session, after that commit", async () => {
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store: memoryStore() });
    const browser = new Browser(sessions);
    let started: Session<Data>;
    const saved: Promise<void>[] = [];
    const created: string[] = [];
    sessions.on("created", ({ id }) => {
      created.push(id);
      started.data.theirs = "of the listener";
      saved.push(started.save());
    });
    await browser.visit(async (session) => {
      started = session;
      session.data.mine = "of the handler";
      await session.save();
      await Promise.all(saved);
    });
    expect(created).toHaveLength(1);
    expect(await browser.data()).toEqual({ mine: "of the handler", theirs: "of the listener" });
  });

  it("rejects with what the store has thrown, and stores the change with the next commit", async () => {
    const store = memoryStore();
    const failure = new Error("full");
    let isBroken = false;
    const { sync } = store.update as SyncOperation<[string, SessionUpdate, number], boolean>;
    const update = syncOperation((id: string, stored: SessionUpdate, version: number): boolean => {
      if (isBroken) throw failure;
      return sync!.call(store, id, stored, version);
    });
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store: { ...store, update } });
    const browser = new Browser(sessions);
    await browser.visit((session) => void (session.data.n = 0));
    await browser.visit(async (session) => {
      session.data.n = 1;
      isBroken = true;
      await expect(session.save()).rejects.toEqual(storeError(failure));
      isBroken = false;
      await session.save();
    });
    expect(await browser.data()).toEqual({ n: 1 });
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
    const shop = site<Data>({ store });
    const browser = shop.browser();
    await browser.visit((session) => (session.data.n = 1));
    const { session, end } = await browser.begin();
    session.data.n = 2;
    const held = store.hold("update");
    const answering = end(new Response(null, { status: 303 }));
    await held.arrived;
    session.data.mine = "late";
    held.letGo();
    await answering;
    expect(await browser.data()).toEqual({ n: 2, mine: "late" });
  });
});
