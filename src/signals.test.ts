import { EventEmitter } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { gated, KEYS, site } from "../test/support/stores.ts";
import { claimResponse } from "./adapters/adapter.ts";
import type { SessionsOptions } from "./options.ts";
import { createSessions } from "./sessions.ts";
import type { StoreListener } from "./store.ts";
import { memoryStore } from "./stores/memory.ts";

const HOUR = 3_600_000;

async function connected(options: Partial<SessionsOptions> = {}) {
  const shop = site(options);
  const browser = shop.browser();
  await browser.visit((session) => session.signIn("ada"));
  const upgrade = (headers: Record<string, string> = {}) =>
    new Request("https://shop.example/socket", {
      headers: { cookie: browser.cookie, context: "shop.example", ...headers },
    });
  return { shop, browser, upgrade };
}

describe("session.signal", () => {
  it("aborts when the session is signed out by another request, revoked, or ended with all of its user's", async () => {
    for (const end of ["signOut", "revoke", "revokeAll"] as const) {
      const { shop, browser, upgrade } = await connected();
      const session = await shop.sessions.attach(upgrade());
      expect(session.signal.aborted).toBe(false);
      if (end === "signOut") await browser.visit((other) => other.signOut());
      else if (end === "revoke") await shop.sessions.revoke(session.id);
      else await shop.sessions.revokeAll("ada");
      expect(session.signal.aborted).toBe(true);
    }
  });

  it("is notified by the store if another process ended the session", async () => {
    const store = memoryStore();
    const here = createSessions({ secretKey: KEYS[0], store });
    const there = createSessions({ secretKey: KEYS[0], store });
    const session = await here.open(new Request("http://x/"));
    session.signIn("ada");
    await session.save();
    const { signal, id } = session;
    await there.revoke(id);
    expect(signal.aborted).toBe(true);
  });

  it("aborts when the session expires, and not while somebody extends it", async () => {
    vi.useFakeTimers();
    try {
      const { shop, browser, upgrade } = await connected({ idleTimeout: "1h" });
      const { signal } = await shop.sessions.attach(upgrade());
      shop.time.now += HOUR / 2;
      await vi.advanceTimersByTimeAsync(HOUR / 2);
      await browser.visit();
      shop.time.now += HOUR / 2;
      await vi.advanceTimersByTimeAsync(HOUR / 2);
      expect(signal.aborted).toBe(false);
      shop.time.now += HOUR / 2;
      await vi.advanceTimersByTimeAsync(HOUR / 2);
      expect(signal.aborted).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("checks the session itself if the store sends no notifications", async () => {
    vi.useFakeTimers();
    try {
      const { subscribe: _silent, ...store } = memoryStore();
      const { shop, upgrade } = await connected({ store, clock: Date.now });
      const session = await shop.sessions.attach(upgrade());
      const { signal } = session;
      await store.delete(session.id);
      await vi.advanceTimersByTimeAsync(1000);
      expect(signal.aborted).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  describe("session.signal while the subscription is lost", () => {
    /** A store in another process. Its notifications arrive only when the test sends them. */
    async function remote(sessions = 1) {
      vi.useFakeTimers();
      const backend = memoryStore();
      const listeners = new Set<StoreListener>();
      const reads = { now: 0, most: 0, all: 0, take: 0 };
      const store = gated({
        ...backend,
        async read(id) {
          reads.all += 1;
          reads.most = Math.max(reads.most, (reads.now += 1));
          if (reads.take > 0) await new Promise((resolve) => setTimeout(resolve, reads.take));
          reads.now -= 1;
          return backend.read(id);
        },
        subscribe(listener) {
          listeners.add(listener);
          listener.listening?.(true);
          return () => listeners.delete(listener);
        },
      });
      const shop = site({ store, clock: Date.now });
      const watched: { id: string; signal: AbortSignal }[] = [];
      for (let count = 0; count < sessions; count += 1) {
        const browser = shop.browser();
        await browser.visit((session) => session.signIn("ada"));
        const request = new Request("https://shop.example/", { headers: { cookie: browser.cookie } });
        const { id, signal } = await shop.sessions.attach(request);
        watched.push({ id, signal });
      }
      await vi.advanceTimersByTimeAsync(1);
      Object.assign(reads, { most: 0, all: 0 });
      const listening = (is: boolean) => listeners.forEach((listener) => listener.listening?.(is));
      return { backend, store, watched, reads, listening };
    }
    afterEach(() => vi.useRealTimers());

    it("checks every session as soon as the subscription is lost, and as soon as it is back", async () => {
      for (const is of [false, true]) {
        const { backend, watched, listening } = await remote(3);
        if (is) listening(false);
        await vi.advanceTimersByTimeAsync(1);
        await backend.delete(watched[1]!.id);
        listening(is);
        await vi.advanceTimersByTimeAsync(1);
        expect(watched.map(({ signal }) => signal.aborted)).toEqual([false, true, false]);
      }
    });

    it("checks once more if the subscription comes back during a check", async () => {
      const { backend, store, watched, listening } = await remote();
      const [{ id, signal }] = watched as [(typeof watched)[0]];
      const { arrived, letGo } = store.hold("read", "after");
      listening(false);
      await arrived;
      await backend.delete(id);
      listening(true);
      letGo();
      await vi.advanceTimersByTimeAsync(1);
      expect(signal.aborted).toBe(true);
    });

    it("checks every second while there is no subscription, and no longer", async () => {
      const { backend, watched, reads, listening } = await remote(2);
      listening(false);
      for (let second = 1; second <= 3; second += 1) await vi.advanceTimersByTimeAsync(1000);
      expect(reads.all).toBeGreaterThanOrEqual(2 * 3);
      await backend.delete(watched[0]!.id);
      await vi.advanceTimersByTimeAsync(1000);
      expect(watched.map(({ signal }) => signal.aborted)).toEqual([true, false]);
      listening(true);
      await vi.advanceTimersByTimeAsync(1);
      reads.all = 0;
      await vi.advanceTimersByTimeAsync(25_000);
      expect(reads.all).toBe(0);
    });

    it("never reads more than 32 sessions at once", async () => {
      const { watched, reads, listening } = await remote(100);
      reads.take = 10;
      listening(false);
      await vi.advanceTimersByTimeAsync(50);
      expect(reads.all).toBe(watched.length);
      expect(reads.most).toBe(32);
    });

    it("checks the other sessions as often if one session's record can't be decrypted", async () => {
      const { backend, watched, listening } = await remote(2);
      const { read } = backend;
      const [broken, other] = watched as [(typeof watched)[0], (typeof watched)[0]];
      backend.read = async (id) =>
        id === broken.id ? { payload: new Uint8Array(9), version: 1, expiresAt: Infinity } : read(id);
      listening(false);
      await vi.advanceTimersByTimeAsync(1);
      await backend.delete(other.id);
      await vi.advanceTimersByTimeAsync(1000);
      expect([broken.signal.aborted, other.signal.aborted]).toEqual([false, true]);
    });

    it("waits five seconds after the store has failed", async () => {
      const { backend, watched, listening } = await remote(100);
      let failures = 0;
      backend.read = async () => {
        failures += 1;
        throw new Error("down");
      };
      listening(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(failures).toBeLessThanOrEqual(64);
      backend.read = async () => undefined;
      await vi.advanceTimersByTimeAsync(5000);
      expect(watched.every(({ signal }) => signal.aborted)).toBe(true);
    });
  });

  it("keeps no timer and no subscription once the connection is closed, or the sessions are", async () => {
    const store = memoryStore();
    const unsubscribed = vi.fn<() => void>();
    const watched = {
      ...store,
      subscribe: (listener: StoreListener) => {
        const end = store.subscribe(listener);
        return () => {
          unsubscribed();
          end();
        };
      },
    };
    const sessions = createSessions({ secretKey: KEYS[0], store: watched });
    const first = await sessions.open(new Request("http://x/"));
    first.signIn("ada");
    const answer = await sessions.commit(first, new Response());
    const socket = new EventEmitter();
    const request = { headers: { cookie: answer.headers.getSetCookie()[0]!.split(";")[0] }, socket };
    const { signal } = await sessions.attach(request);
    expect(unsubscribed).not.toHaveBeenCalled();
    socket.emit("close");
    expect(unsubscribed).toHaveBeenCalledOnce();
    expect(signal.aborted).toBe(false);
    const another = await sessions.attach({ headers: request.headers, socket: new EventEmitter() });
    expect(another.signal.aborted).toBe(false);
    await sessions.close();
    expect(unsubscribed).toHaveBeenCalledTimes(2);
  });

  it("aborts if the session had ended before it was watched", async () => {
    const { shop, upgrade } = await connected();
    const session = await shop.sessions.attach(upgrade());
    await shop.sessions.revokeAll("ada");
    const { signal } = session;
    await vi.waitFor(() => expect(signal.aborted).toBe(true));
  });

  it("aborts for requests with an older token at a sign-in, but not for the request that signs in", async () => {
    const shop = site();
    const visitor = shop.browser();
    await visitor.visit((session) => (session.data["cart"] = []));
    const planted = await shop.sessions.attach(
      new Request("https://shop.example/", { headers: { cookie: visitor.cookie } }),
    );
    const { signal } = planted;
    let own: AbortSignal | undefined;
    await visitor.visit((session) => {
      own = session.signal;
      session.signIn("victim");
    });
    await vi.waitFor(() => expect(signal.aborted).toBe(true));
    expect(own?.aborted).toBe(false);
    expect((await planted.reload()).userId).toBeUndefined();
  });

  it("stays open after a token was replaced while a check read the session as it was before", async () => {
    const store = gated(memoryStore());
    const shop = site({ store, clock: Date.now });
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const attach = () =>
      shop.sessions.attach(new Request("https://shop.example/", { headers: { cookie: browser.cookie } }));
    const session = await attach();
    const check = store.hold("read", "after");
    const { signal: before } = session;
    await check.arrived;
    let recheck!: ReturnType<typeof store.hold>;
    await browser.visit((other) => {
      other.rotate();
      recheck = store.hold("read", "after");
    });
    await recheck.arrived;
    const { signal: after } = await attach();
    recheck.letGo();
    await vi.waitFor(() => expect(before.aborted).toBe(true));
    check.letGo();
    await session.reload();
    expect(after.aborted).toBe(false);
  });

  it("stays open if another request extends the session while a check waits for the store", async () => {
    const backend = memoryStore({ clock: () => time.now });
    const store = gated(backend);
    const shop = site({ store, idleTimeout: "1h" });
    const { time } = shop;
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    const session = await shop.sessions.attach(
      new Request("https://shop.example/", { headers: { cookie: browser.cookie } }),
    );
    const { arrived, letGo } = store.hold("read", "after");
    const { signal, id } = session;
    await arrived;
    await backend.touch(id, time.now + 3 * HOUR);
    time.now += 2 * HOUR;
    letGo();
    await vi.waitFor(async () => expect(await shop.sessions.list("ada")).toHaveLength(1));
    expect(signal.aborted).toBe(false);
  });

  it("is released when an adapter reports the end of the response", async () => {
    const store = memoryStore();
    const { shop, upgrade } = await connected({ store, clock: Date.now });
    const request = upgrade();
    const session = await shop.sessions.open(request);
    const response = new EventEmitter();
    claimResponse(session, response);
    const { signal } = session;
    response.emit("close");
    await shop.sessions.revoke(session.id);
    expect(signal.aborted).toBe(false);
  });

  it("never aborts for a visitor, and has aborted already after a sign-out", async () => {
    const shop = site();
    const { session } = await shop.browser().begin();
    expect(session.signal.aborted).toBe(false);
    const { browser } = await connected();
    const other = await browser.begin();
    other.session.signOut();
    expect(other.session.signal.aborted).toBe(true);
  });
});

describe("sessions.attach", () => {
  it("refuses a page of another site, and accepts its own origin, listed ones, and clients without Origin", async () => {
    const { shop, upgrade } = await connected();
    const attach = (origin?: string, origins?: string[]) =>
      shop.sessions.attach(upgrade(origin === undefined ? {} : { origin }), { origins: origins ?? [] });
    expect((await attach()).userId).toBe("ada");
    expect((await attach("https://shop.example")).userId).toBe("ada");
    expect((await attach("https://app.example", ["https://app.example"])).userId).toBe("ada");
    for (const origin of [
      "https://evil.example",
      "null",
      "https://shop.example.evil.example",
      "https://evilshop.example",
      "rubbish",
    ]) {
      await expect(attach(origin)).rejects.toMatchObject({ code: "ERR_SESSION_ORIGIN", status: 403 });
    }
  });

  it("stores changes with save(), and reads those of others with reload()", async () => {
    const { shop, browser, upgrade } = await connected();
    const socket = await shop.sessions.attach(upgrade());
    socket.data["from"] = "socket";
    await socket.save();
    expect(await browser.data()).toEqual({ from: "socket" });
    await browser.visit((session) => (session.data["from"] = "page"));
    expect((await socket.reload()).data).toEqual({ from: "page" });
    expect(() => socket.signIn("grace")).toThrow(expect.objectContaining({ code: "ERR_SESSION_HEADERS_SENT" }));
  });

  it("stays valid when the token rotates, and is empty after the session has ended", async () => {
    const { shop, browser, upgrade } = await connected({ rotation: { every: "10m", grace: "10s" } });
    const socket = await shop.sessions.attach(upgrade());
    for (let i = 0; i < 3; i++) {
      shop.time.now += 600_000;
      await browser.visit();
      await browser.visit((session) => (session.data["round"] = i));
      expect((await socket.reload()).data).toEqual({ round: i });
    }
    await browser.visit((session) => session.signOut());
    expect((await socket.reload()).userId).toBeUndefined();
    expect(socket.data).toEqual({});
  });

  it("extends the session when it is reloaded, as a request does", async () => {
    const { shop, upgrade } = await connected({ idleTimeout: "1h" });
    const socket = await shop.sessions.attach(upgrade());
    for (let i = 0; i < 4; i++) {
      shop.time.now += HOUR / 2;
      expect((await socket.reload()).userId).toBe("ada");
    }
  });
});
