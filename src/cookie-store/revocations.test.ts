import { describe, expect, it } from "vitest";
import { Browser, gated, KEYS, START } from "../../test/support/stores.ts";
import type { SessionsOptions } from "../options.ts";
import { createSessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty, type FaultPlan } from "../testing/faulty.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

interface Given extends Partial<SessionsOptions> {
  faults?: FaultPlan;
  revocations?: SessionStore;
}

function application({ faults = {}, revocations: given, ...options }: Given = {}) {
  const time = { now: START };
  const clock = () => time.now;
  const memory = given ?? memoryStore({ clock });
  const revocations = faulty(memory, faults);
  const store = cookieStore({ revocations });
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock, ...options, store });
  return { time, sessions, memory, revocations, browser: () => new Browser<Data>(sessions) };
}

/** A browser with a signed-in user. */
async function signedIn(options: Given = {}) {
  const { browser: anew, ...rest } = application(options);
  const browser = anew();
  await browser.visit((session) => {
    session.data["n"] = 0;
    session.signIn("alice");
  });
  return { ...rest, anew, browser };
}

describe("The revocations of cookieStore", () => {
  it("end every copy of the cookie with the sign-out, of a user and of a visitor", async () => {
    for (const userId of ["alice", undefined]) {
      const browser = application().browser();
      await browser.visit((session) => {
        session.data["n"] = 1;
        if (userId) session.signIn(userId);
      });
      const thief = browser.copy();
      expect(await thief.data()).toEqual({ n: 1 });
      await browser.visit((session) => session.signOut());
      expect(browser.jar.size).toBe(0);
      expect(await thief.data()).toEqual({});
      expect(await thief.userId()).toBeUndefined();
      await thief.visit((session) => (session.data["n"] = 2));
      expect(await thief.data()).toEqual({ n: 2 });
    }
  });

  it("cost one read of a request with a session, and none of a visitor", async () => {
    const { browser, revocations, anew } = await signedIn();
    const { read } = revocations.calls;
    await browser.visit((session) => void session.userId);
    expect(revocations.calls.read).toBe(read + 1);
    await anew().visit((session) => void session.userId);
    expect(revocations.calls.read).toBe(read + 1);
    await browser.visit((session) => (session.data["n"] = 1));
    expect(revocations.calls.read).toBe(read + 3);
  });

  it("invalidate the former cookie at a sign-in, of a visitor and of the same user", async () => {
    const browser = application().browser();
    await browser.visit((session) => (session.data["n"] = 1));
    for (let count = 0; count < 2; count++) {
      const planted = browser.copy();
      await browser.visit((session) => session.signIn("alice"));
      expect(await browser.data()).toEqual({ n: 1 });
      expect(await planted.data()).toEqual({});
      expect(await planted.userId()).toBeUndefined();
    }
  });

  it("let a session rotate: the former cookie is invalid at once", async () => {
    const { browser } = await signedIn();
    const thief = browser.copy();
    await browser.visit((session) => session.rotate());
    expect(await browser.userId()).toBe("alice");
    expect(await thief.userId()).toBeUndefined();
    await browser.visit((session) => session.rotate());
    const copy = browser.copy();
    await browser.visit((session) => session.signOut());
    expect(await copy.userId()).toBeUndefined();
  });

  it("drop what a request writes whose session ends meanwhile, and leave the newer cookie alone", async () => {
    const { browser } = await signedIn();
    const slow = await browser.begin();
    const { id } = slow.session;
    const events: unknown[] = [];
    browser.sessions.on("dropped", (event) => events.push(event));
    slow.session.data["n"] = 1;
    await browser.visit((session) => session.signIn("alice"));
    expect((await slow.end()).headers.getSetCookie()).toEqual([]);
    expect(events).toEqual([{ id, userId: "alice", reason: "ended" }]);
    expect(await browser.data()).toEqual({ n: 0 });
    expect(await browser.userId()).toBe("alice");
  });

  it("give no cookie to a request that only touches, or has saved already, when its session ends meanwhile", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "1h" });
    time.now += 1_800_000;
    const touching = await browser.begin();
    const saving = await browser.begin();
    saving.session.data["n"] = 1;
    await saving.session.save();
    await browser.visit((session) => session.signOut());
    expect((await touching.end()).headers.getSetCookie()).toEqual([]);
    expect((await saving.end()).headers.getSetCookie()).toEqual([]);
  });

  it("give no cookie to an error's response that replaces one with a cookie, when the session ends meanwhile", async () => {
    const { browser } = await signedIn();
    const failing = await browser.begin();
    failing.session.data["n"] = 1;
    expect((await failing.end()).headers.getSetCookie()).toHaveLength(1);
    failing.session.data["text"] = "x".repeat(100_000);
    await expect(failing.end()).rejects.toMatchObject({ status: 413 });
    await browser.visit((session) => session.signIn("alice"));
    const response = await failing.end(new Response("sorry", { status: 413 }));
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it("tell a connection by reload() that its session has ended", async () => {
    const { browser, sessions } = await signedIn();
    const headers = { cookie: browser.cookie, origin: "https://shop.example" };
    const session = await sessions.attach(new Request("https://shop.example/", { headers }));
    await sessions.revokeAll("alice");
    await session.reload();
    expect(session.userId).toBeUndefined();
  });

  it("last as long as the session would have lived, and are collected then", async () => {
    const { browser, memory, time } = await signedIn({ absoluteTimeout: "2h", idleTimeout: "2h" });
    await browser.visit((session) => session.signOut());
    const ids = async () => {
      const found: string[] = [];
      for await (const id of memory.all!()) found.push(id);
      return found;
    };
    expect(await ids()).toHaveLength(1);
    time.now += 7_199_999;
    expect(await ids()).toHaveLength(1);
    time.now += 1;
    expect(await ids()).toEqual([]);
  });
});

describe("sessions of cookieStore with revocations", () => {
  it("end one by one, by the id and the user", async () => {
    const { browser, sessions, anew } = await signedIn();
    const other = anew();
    await other.visit((session) => session.signIn("alice"));
    const { session } = await browser.begin();
    const events: unknown[] = [];
    sessions.on("revoked", (event) => events.push(event));
    expect(await sessions.revoke(session.id, { userId: "bob" })).toBe(true);
    expect(await browser.userId()).toBe("alice");
    expect(await sessions.revoke(session.id, { userId: "alice" })).toBe(true);
    expect(await sessions.revoke(session.id, { userId: "alice" })).toBe(false);
    expect(await browser.userId()).toBeUndefined();
    expect(await other.userId()).toBe("alice");
    expect(events).toHaveLength(2);
    await expect(sessions.revoke(session.id)).rejects.toThrow(/^sessions\.revoke\(id\): with cookieStore\(\) it needs/);
  });

  it("end all at once, except one, and never one that begins afterwards", async () => {
    const { browser, sessions, anew, time } = await signedIn();
    const [phone, tablet] = [anew(), anew()];
    for (const device of [phone, tablet]) await device.visit((session) => session.signIn("alice"));
    const bob = anew();
    await bob.visit((session) => session.signIn("bob"));
    time.now += 1000;
    const { session } = await phone.begin();
    expect(await sessions.revokeAll("alice", { except: session.id })).toBeUndefined();
    expect(await browser.userId()).toBeUndefined();
    expect(await tablet.userId()).toBeUndefined();
    expect(await phone.userId()).toBe("alice");
    expect(await bob.userId()).toBe("bob");
    // In the same millisecond.
    await tablet.visit((again) => again.signIn("alice"));
    expect(await tablet.userId()).toBe("alice");
    await sessions.revokeAll("alice");
    expect(await phone.userId()).toBeUndefined();
    expect(await tablet.userId()).toBeUndefined();
  });

  it("end with a change of password, except the one that changes it, which gets a new cookie", async () => {
    const { browser, sessions, anew } = await signedIn();
    const [thief, phone] = [browser.copy(), anew()];
    await phone.visit((session) => session.signIn("alice"));
    await browser.visit(async (session) => void (await sessions.credentialsChanged(session)));
    expect(await browser.userId()).toBe("alice");
    expect(await thief.userId()).toBeUndefined();
    expect(await phone.userId()).toBeUndefined();
  });

  it("are not listed, and not ended all together", async () => {
    const { sessions } = await signedIn();
    await expect(sessions.list("alice")).rejects.toThrow(/^sessions\.list\(\) needs the sessions on a server/);
    await expect(sessions.revokeEverything()).rejects.toThrow(/^sessions\.revokeEverything\(\) needs the sessions/);
  });

  it("end in parallel without losing one revocation", async () => {
    const { sessions } = application();
    const browsers = Array.from({ length: 20 }, () => new Browser<Data>(sessions));
    for (const one of browsers) await one.visit((session) => session.signIn("alice"));
    const thieves = browsers.map((one) => one.copy());
    await Promise.all(browsers.map((one) => one.visit((session) => session.signOut())));
    expect(await Promise.all(thieves.map((thief) => thief.userId()))).toEqual(thieves.map(() => undefined));
  });

  it("are never more than a thousand in a user's list: then the oldest sessions end together", async () => {
    const { sessions, memory, anew, time } = await signedIn();
    const last = anew();
    for (let count = 0; count < 1010; count++) {
      time.now += 1;
      await sessions.revoke(`id ${count}`, { userId: "alice" });
    }
    time.now += 1;
    await last.visit((session) => session.signIn("alice"));
    expect(await last.userId()).toBe("alice");
    let bytes = 0;
    for await (const id of memory.all!()) bytes += (await memory.read(id))!.payload.length;
    expect(bytes).toBeLessThan(100_000);
  });
});

describe("Revocations that can't be reached", () => {
  it("sign nobody out and let nobody in: the request fails, and its cookie stays", async () => {
    let isDown = false;
    const { browser } = await signedIn({ faults: { read: () => (isDown ? "error" : "ok") } });
    isDown = true;
    await expect(browser.begin()).rejects.toMatchObject({ code: "ERR_SESSION_STORE", status: 503 });
    isDown = false;
    expect(await browser.userId()).toBe("alice");
  });

  it("fail a sign-out, so that its client does not believe in it", async () => {
    const { browser, memory } = await signedIn();
    const down: SessionStore = { ...memory, create: () => Promise.reject(new Error("down")) };
    const there = browser.copy(application({ revocations: down }).sessions);
    const { session, end } = await there.begin();
    session.signOut();
    await expect(end()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect((await end(new Response("sorry", { status: 503 }))).headers.getSetCookie()).toEqual([]);
    expect(await there.userId()).toBe("alice");
  });

  it("that hang are waited for as long as storeTimeout says", async () => {
    const { browser, memory } = await signedIn();
    const gate = gated(memory);
    const there = browser.copy(application({ revocations: gate, storeTimeout: "20ms" }).sessions);
    const held = gate.hold("read");
    await expect(there.begin()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    held.letGo();
  });

  it("that are damaged end nothing silently", async () => {
    const { browser, memory } = await signedIn();
    await browser.visit((session) => session.signIn("alice"));
    for await (const id of memory.all!()) {
      const { version, expiresAt } = (await memory.read(id))!;
      for (const text of ["", "null", "{}", "[]"])
        await memory.update(id, { payload: Buffer.from(text), version, expiresAt }, version);
    }
    await expect(browser.begin()).rejects.toMatchObject({ code: "ERR_SESSION_DECODE" });
  });
});

describe("cookieStore", () => {
  it("refuses revocations that are no store on a server", () => {
    for (const revocations of [cookieStore(), {}, null] as SessionStore[]) {
      expect(() => cookieStore({ revocations })).toThrow(TypeError);
      expect(() => cookieStore({ revocations })).toThrow(
        /^cookieStore: revocations (must be|needs) a store on the server/,
      );
    }
  });

  it("closes the store of its revocations", async () => {
    const { sessions, memory } = await signedIn();
    await sessions.close();
    await expect(memory.read("an id")).rejects.toThrow();
  });
});
