import { describe, expect, it } from "vitest";
import { Browser, KEYS, START, site } from "../../test/support/stores.ts";
import { seededRandom } from "../../test/support/random.ts";
import { createKeyring } from "../record/keyring.ts";
import { createRandomPart } from "../random.ts";
import { signToken } from "../record/token.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";

interface Data {
  n?: number;
}

const HTTPS = "https://shop.example/";

async function signedIn(options: Parameters<typeof site<Data>>[0] = {}) {
  const server = site<Data>(options);
  const browser = server.browser();
  await browser.visit((session) => {
    session.data.n = 1;
    session.signIn("alice");
  });
  const token = browser.jar.get("__Host-session")!;
  const signedInAs = async (cookie: string) =>
    (await server.sessions.open(new Request(HTTPS, { headers: { cookie } }))).userId;
  return { ...server, browser, token, signedInAs };
}

/** A request as a server would have it before any check of its headers: fetch's own refuses some of these bytes. */
const raw = (cookie: string | undefined, url = HTTPS) => ({
  url,
  headers: { get: (name: string) => (name === "cookie" ? (cookie ?? null) : null) },
});

describe("A cookie that Sojourn did not make", () => {
  it("is anonymous without asking the store, in 30,000 hostile forms", async () => {
    const { sessions, store, token } = await signedIn();
    const calls = store.calls.total;
    const random = seededRandom(5);
    const below = (n: number) => Math.floor(random() * n);
    const pieces = [
      "__Host-session",
      "session",
      "=",
      ";",
      "; ",
      '"',
      "\0",
      "\r\n",
      "ü",
      "\u00a0",
      "%3D",
      "__proto__",
      ",",
      "$Version=1",
      "\ud800",
    ];
    const cut = () => {
      const at = below(token.length);
      switch (below(6)) {
        case 0:
          return token.slice(0, at);
        case 1:
          return token.slice(0, at) + String.fromCharCode(below(0x250)) + token.slice(at);
        case 2:
          return token.slice(0, at) + String.fromCharCode(0x100 | token.charCodeAt(at)) + token.slice(at + 1);
        case 3:
          return token.slice(at) + token.slice(0, at || 1);
        case 4:
          return `"${token}"`;
        default:
          return createRandomPart() + createRandomPart() + createRandomPart();
      }
    };
    const wrong: string[] = [];
    for (let i = 0; i < 30_000; i++) {
      const junk = Array.from({ length: below(8) }, () => pieces[below(pieces.length)]).join("");
      const header = below(3) ? `__Host-session=${cut()}; ${junk}` : `${junk}__Host-session=${cut()}${junk}`;
      if (header.includes(`__Host-session=${token};`)) continue;
      const session = await sessions.open(raw(header));
      if (!session.isNew || session.userId !== undefined || Object.keys(session.data).length > 0) wrong.push(header);
    }
    expect(wrong).toEqual([]);
    expect(store.calls.total).toBe(calls);
  });

  it("is anonymous with every character of a real one changed, and then gets no cookie for looking", async () => {
    const { sessions, store, token } = await signedIn();
    const calls = store.calls.total;
    for (let at = 0; at < token.length; at++) {
      const other = token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
      const session = await sessions.open(raw(`__Host-session=${other}`));
      expect(session.userId, `with ${at}`).toBeUndefined();
      const answer = await sessions.commit(session, new Response());
      expect(Array.from(answer.headers)).toEqual([["vary", "Cookie"]]);
    }
    expect(store.calls.total).toBe(calls);
  });

  it("is anonymous at any size", async () => {
    const { sessions, token } = await signedIn();
    for (const header of [
      "x".repeat(1_000_000),
      `__Host-session=${"A".repeat(1_000_000)}`,
      "__Host-session=;".repeat(60_000),
      `__Host-session=${token}`.repeat(10_000),
      "; ".repeat(500_000),
    ]) {
      expect((await sessions.open(raw(header))).userId).toBeUndefined();
    }
  });

  it("is never adopted: what is written begins a session with an id of its own", async () => {
    const { sessions, browser } = await signedIn();
    const keyring = createKeyring(KEYS[0], "session");
    // Well signed, by whoever has the secret key, but the store knows nothing of it.
    const forged = { id: createRandomPart(), secret: createRandomPart(), epoch: 1 };
    const session = await sessions.open(raw(`__Host-session=${signToken(keyring, forged)}`));
    session.data.n = 5;
    expect(session.id).not.toBe(forged.id);
    await sessions.commit(session, new Response());
    // Well signed, with the id of a session that there is.
    const { id } = (await browser.begin()).session;
    const guessed = await sessions.open(
      raw(`__Host-session=${signToken(keyring, { id, secret: createRandomPart(), epoch: 1 })}`),
    );
    expect(guessed).toMatchObject({ isNew: true, userId: undefined });
    expect(guessed.id).not.toBe(id);
    expect(await browser.userId()).toBe("alice");
  });

  it("is not believed from a URL, another header, or the wrong name", async () => {
    const { sessions, token } = await signedIn();
    for (const request of [
      new Request(`${HTTPS}?__Host-session=${token}&session=${token}`),
      new Request(HTTPS, {
        headers: { authorization: `Bearer ${token}`, "x-session": token, cookie2: `__Host-session=${token}` },
      }),
      new Request(HTTPS, { headers: { cookie: `session=${token}` } }),
      new Request(HTTPS, { headers: { cookie: `__Secure-session=${token}` } }),
      new Request("http://shop.example/", { headers: { cookie: `__Host-session=${token}` } }),
    ]) {
      expect((await sessions.open(request)).userId).toBeUndefined();
    }
  });
});

describe("Several cookies of one name", () => {
  it("are the real one and junk, in any order: the real one is taken", async () => {
    const { token, signedInAs } = await signedIn();
    const junk = ["", "x", "A".repeat(81), token.slice(1), `"${token}"`];
    for (const one of junk) {
      expect(await signedInAs(`__Host-session=${one}; __Host-session=${token}`), `with ${one}`).toBe("alice");
      expect(await signedInAs(`__Host-session=${token}; __Host-session=${one}`), `with ${one}`).toBe("alice");
    }
    expect(await signedInAs(`__Host-session=${token}; __Host-session=${token}`)).toBe("alice");
  });

  it("are the real one behind many of junk: the real one is taken", async () => {
    const { token, signedInAs } = await signedIn();
    const junk = Array.from({ length: 8 }, (_, i) => `__Host-session=${i}; `).join("");
    expect(await signedInAs(`${junk}__Host-session=${token}`)).toBe("alice");
  });

  it("are two live ones: neither is believed, and neither session is changed", async () => {
    const { token, signedInAs, browser, sessions } = await signedIn();
    const planted = browser.copy();
    planted.jar.clear();
    await planted.visit((session) => session.signIn("mallory"));
    const other = planted.jar.get("__Host-session")!;
    for (const cookie of [
      `__Host-session=${other}; __Host-session=${token}`,
      `__Host-session=${token}; __Host-session=${other}`,
    ]) {
      const session = await sessions.open(new Request(HTTPS, { headers: { cookie } }));
      expect(session).toMatchObject({ userId: undefined, isNew: true });
      expect({ ...session.data }).toEqual({});
      session.signOut();
      expect((await sessions.commit(session, new Response())).headers.getSetCookie()).toEqual([]);
    }
    expect(await signedInAs(`__Host-session=${token}`)).toBe("alice");
    expect(await signedInAs(`__Host-session=${other}`)).toBe("mallory");
  });

  it("are a live one and one that is dead: the live one is taken", async () => {
    const { browser, signedInAs } = await signedIn();
    const dead = browser.copy().cookie;
    await browser.visit((session) => session.rotate());
    expect(await signedInAs(`${dead}; ${browser.cookie}`)).toBe("alice");
    expect(await signedInAs(`${browser.cookie}; ${dead}`)).toBe("alice");
  });
});

describe("Two tokens of one session in one request", () => {
  const both = (one: string, other: string) => [
    `__Host-session=${one}; __Host-session=${other}`,
    `__Host-session=${other}; __Host-session=${one}`,
  ];

  /** A browser that has confirmed a rotation, and the token of before. */
  async function rotated() {
    const server = await signedIn({ rotation: { every: "15m", grace: "1m" }, idleTimeout: "1d" });
    const { browser, time } = server;
    const old = browser.jar.get("__Host-session")!;
    time.now += 900_000;
    await browser.visit();
    await browser.visit();
    return { ...server, old, token: browser.jar.get("__Host-session")! };
  }

  it("count as the one session that they are, while the old token is in its grace", async () => {
    const { old, token, signedInAs } = await rotated();
    expect(old).not.toBe(token);
    for (const cookie of both(old, token)) expect(await signedInAs(cookie)).toBe("alice");
  });

  it("are no theft where one of them is rotated out and the other is current", async () => {
    const { old, token, signedInAs, time, sessions } = await rotated();
    const alarms: unknown[] = [];
    sessions.on("replayed", (event) => alarms.push(event));
    time.now += 60_000;
    for (const cookie of both(old, token)) expect(await signedInAs(cookie)).toBe("alice");
    expect(alarms).toEqual([]);
    expect(await signedInAs(`__Host-session=${old}`)).toBeUndefined();
    expect(alarms).toHaveLength(1);
  });

  it("cost the store four questions at most, however many more there are", async () => {
    const { store, browser } = site<Data>();
    const tokens: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      const visitor = browser();
      await visitor.visit((session) => session.signIn(`user ${n}`));
      tokens.push(visitor.jar.get("__Host-session")!);
    }
    const before = store.calls.read;
    await browser().begin({ cookie: tokens.map((token) => `__Host-session=${token}`).join("; ") });
    expect(store.calls.read - before).toBe(4);
  });

  it("count as one where one is signed by the key of before", async () => {
    const { browser, backend, time, token } = await signedIn({ secretKey: KEYS[0] });
    const after = site<Data>({ store: backend, clock: () => time.now, secretKey: [KEYS[1], KEYS[0]] });
    const renewed = browser.copy(after.sessions);
    await renewed.visit();
    const fresh = renewed.jar.get("__Host-session")!;
    expect(fresh).not.toBe(token);
    for (const cookie of both(token, fresh)) {
      const session = await after.sessions.open(new Request(HTTPS, { headers: { cookie } }));
      expect(session.userId).toBe("alice");
      // The better one was taken: there is nothing to renew.
      expect((await after.sessions.commit(session, new Response())).headers.getSetCookie()).toEqual([]);
    }
  });
});

describe("A token that was superseded", () => {
  it("is anonymous, and may neither set nor clear the cookie, nor change anything", async () => {
    const { browser, events, store } = await signedIn();
    const old = browser.copy();
    await browser.visit((session) => session.signIn("alice"));
    const writes = () => store.calls.create + store.calls.update + store.calls.touch + store.calls.delete;
    const before = writes();
    events.length = 0;
    for (const act of [
      () => undefined,
      (session: { data: Data }) => (session.data.n = 9),
      (session: { signOut(): void }) => session.signOut(),
      (session: { rotate(): void }) => session.rotate(),
      (session: { flash(category: string, message: unknown): void }) => session.flash("info", "x"),
    ]) {
      const answer = await old.copy().visit(act);
      expect(answer.headers.getSetCookie(), `with ${String(act)}`).toEqual([]);
    }
    expect(writes()).toBe(before);
    expect(events.map(({ name }) => name)).toEqual(["dropped", "dropped"]);
    expect(await browser.data()).toEqual({ n: 1 });
  });

  it("may sign in: that begins a session of its own", async () => {
    const { browser } = await signedIn();
    const old = browser.copy();
    await browser.visit((session) => session.signIn("alice"));
    await old.visit((session) => session.signIn("alice"));
    expect(await old.userId()).toBe("alice");
    expect(await old.data()).toEqual({});
    expect((await old.begin()).session.id).not.toBe((await browser.begin()).session.id);
  });
});

describe("Timeouts", () => {
  it("end an idle session at the exact millisecond, whatever the cookie says", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "10m", absoluteTimeout: "1d" });
    time.now += 600_000 - 1;
    expect(await browser.userId()).toBe("alice");
    time.now += 1;
    expect(await browser.userId()).toBeUndefined();
  });

  it("end a busy session at its absolute end, to the millisecond", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "10m", absoluteTimeout: "1h", touchInterval: "1m" });
    for (let i = 0; i < 11; i++) {
      time.now += 300_000;
      await browser.visit();
      expect(await browser.userId()).toBe("alice");
    }
    time.now += 300_000 - 1;
    expect(await browser.userId()).toBe("alice");
    await browser.visit((session) => (session.data.n = 2));
    time.now += 1;
    expect(await browser.userId()).toBeUndefined();
  });

  it("hold where the store hands out what has expired, or was told of a later end", async () => {
    const { browser, time, backend, events } = await signedIn({ idleTimeout: "10m", absoluteTimeout: "1h" });
    const lenient = { ...backend, read: async (id: string) => backend.read(id) };
    const { id } = (await browser.begin()).session;
    const stored = (await backend.read(id))!;
    const forever = { ...lenient, read: async () => ({ ...stored, expiresAt: Number.MAX_SAFE_INTEGER }) };
    const lax = site<Data>({ store: forever, idleTimeout: "10m", absoluteTimeout: "1h", clock: () => time.now });
    const there = browser.copy(lax.sessions);
    time.now += 3_600_000 - 1;
    expect(await there.userId()).toBe("alice");
    time.now += 1;
    expect(await there.userId()).toBeUndefined();
    expect(lax.events).toEqual([{ name: "expired", id, userId: "alice" }]);
    expect(events.some(({ name }) => name === "expired")).toBe(false);
    // What is written then begins anew.
    const late = await there.begin();
    late.session.data.n = 7;
    expect(late.session.id).not.toBe(id);
    expect((await late.end()).headers.getSetCookie()).toHaveLength(1);
  });

  it("touch at most once an interval, and set no cookie for it", async () => {
    const { browser, time, store } = await signedIn({ idleTimeout: "10m", touchInterval: "1m" });
    for (let i = 0; i < 5; i++) await browser.visit();
    expect(store.calls.touch).toBe(0);
    time.now += 59_999;
    await browser.visit();
    expect(store.calls.touch).toBe(0);
    time.now += 1;
    const answer = await browser.visit();
    expect(store.calls.touch).toBe(1);
    expect(answer.headers.getSetCookie()).toEqual([]);
    await browser.visit();
    expect(store.calls.touch).toBe(1);
  });

  it("extend a session by writing as by reading", async () => {
    const { browser, time, store } = await signedIn({ idleTimeout: "10m" });
    for (let i = 0; i < 4; i++) {
      time.now += 500_000;
      await browser.visit((session) => (session.data.n = i + 100));
    }
    expect(await browser.userId()).toBe("alice");
    expect(store.calls.touch).toBe(0);
  });

  it("are in the cookie as what is left of the absolute one", async () => {
    const { browser, time } = await signedIn({ idleTimeout: "10m", absoluteTimeout: "1h" });
    time.now += 599_000;
    const answer = await browser.visit((session) => session.rotate());
    expect(answer.headers.getSetCookie()[0]).toContain(`; Max-Age=${3600 - 599}; `);
    const again = await browser.visit((session) => session.signIn("alice"));
    expect(again.headers.getSetCookie()[0]).toContain("; Max-Age=3600; ");
  });
});

describe("A listener of an event of the reading", () => {
  it("may open the same request, where the store answers at once", async () => {
    const time = { now: START };
    const store = memoryStore({ clock: () => START });
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store, clock: () => time.now });
    const browser = new Browser(sessions);
    await browser.visit((session) => void (session.data.n = 1));
    time.now += 86_400_000;
    const request = new Request(HTTPS, { headers: { cookie: browser.cookie } });
    const opened: unknown[] = [];
    sessions.on("expired", () => void opened.push(sessions.open(request).catch((error: unknown) => error)));
    const session = await sessions.open(request);
    expect(await Promise.all(opened)).toEqual([session]);
    expect(session.isNew).toBe(true);
  });
});

describe("A change of the secret key", () => {
  it.each([true, false])("renews cookie and record under the current key (records sealed: %s)", async (encrypted) => {
    const before = await signedIn({ encrypted });
    const during = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = before.browser.copy(during.sessions);
    const payload = async () => Buffer.from((await before.backend.read(id))!.payload);
    const { id } = (await before.browser.begin()).session;
    const old = await payload();

    // A visit that only reads: the cookie is signed anew, and so is the record sealed.
    const answer = await browser.visit();
    expect(answer.headers.getSetCookie()).toHaveLength(1);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("vary")).toBe("Cookie");
    expect(during.store.calls.update).toBe(1);
    expect((await payload()).equals(old)).toBe(!encrypted);

    // Once is enough.
    expect((await browser.visit()).headers.getSetCookie()).toEqual([]);
    expect(during.store.calls.update).toBe(1);

    // With the old key gone, the renewed cookie opens the renewed record, and the old cookie is nothing.
    const after = site<Data>({ store: before.backend, secretKey: KEYS[1] });
    expect(await browser.copy(after.sessions).userId()).toBe("alice");
    const calls = after.store.calls.total;
    expect(await before.browser.copy(after.sessions).userId()).toBeUndefined();
    expect(after.store.calls.total).toBe(calls);

    // What the new key signed means nothing to a server that has only the old one.
    const behind = site<Data>({ store: before.backend });
    expect(await browser.copy(behind.sessions).userId()).toBeUndefined();
  });

  it("fails with ERR_SESSION_DECODE for a record of a removed key, and leaves the cookie alone", async () => {
    const before = await signedIn({ encrypted: true });
    // The cookie was renewed, but the record was not: only a store that was restored from a dump is like that.
    const { id } = (await before.browser.begin()).session;
    const dump = (await before.backend.read(id))!;
    const during = site<Data>({ store: before.backend, secretKey: [KEYS[1], KEYS[0]] });
    const browser = before.browser.copy(during.sessions);
    await browser.visit();
    await before.backend.delete(id);
    await before.backend.create(id, dump);
    const after = site<Data>({ store: before.backend, secretKey: KEYS[1] });
    await expect(browser.copy(after.sessions).begin()).rejects.toMatchObject({
      code: "ERR_SESSION_DECODE",
      status: 500,
    });
  });

  it("does not open a record that was put under another session's id", async () => {
    const { browser, backend, sessions } = await signedIn({ encrypted: true });
    const mallory = site<Data>({ store: backend }).browser().copy(sessions);
    await mallory.visit((session) => session.signIn("mallory"));
    const [victim, thief] = [(await browser.begin()).session.id, (await mallory.begin()).session.id];
    const row = (await backend.read(victim))!;
    await backend.delete(thief);
    await backend.create(thief, row);
    await expect(mallory.begin()).rejects.toMatchObject({ code: "ERR_SESSION_DECODE" });
  });
});
