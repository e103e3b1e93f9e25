import { describe, expect, it, vi } from "vitest";
import { begin, KEYS, gated, site, START, type Site } from "../test/support/stores.ts";
import { createSessions } from "./sessions.ts";
import type { SessionStore } from "./store.ts";
import { memoryStore } from "./stores/memory.ts";

const HOUR = 3_600_000;

async function signIn(shop: Site<Record<string, unknown>>, userId: string, note?: string) {
  const browser = shop.browser();
  let id = "";
  await browser.visit((session) => {
    session.signIn(userId, { note });
    id = session.id;
  });
  return { browser, id };
}

describe("sessions.list", () => {
  it("lists where a user is signed in, the latest first, and marks the caller's session", async () => {
    const shop = site({
      client: (request) => ({ userAgent: request.headers.get("User-Agent") ?? "none" }),
    });
    const first = await signIn(shop, "ada", "by password");
    shop.time.now += HOUR;
    const second = await signIn(shop, "ada");
    await signIn(shop, "grace");
    shop.time.now += HOUR;
    await first.browser.visit((session) => (session.data["seen"] = true));
    expect(await shop.sessions.list("ada", { current: first.id })).toEqual([
      {
        id: second.id,
        userId: "ada",
        createdAt: START + HOUR,
        signedInAt: START + HOUR,
        lastSeenAt: START + HOUR,
        expiresAt: START + 25 * HOUR,
        note: undefined,
        client: { userAgent: "none" },
        isCurrent: false,
      },
      {
        id: first.id,
        userId: "ada",
        createdAt: START,
        signedInAt: START,
        lastSeenAt: START + 2 * HOUR,
        expiresAt: START + 26 * HOUR,
        note: "by password",
        client: { userAgent: "none" },
        isCurrent: true,
      },
    ]);
    expect(await shop.sessions.list("nobody")).toEqual([]);
  });

  it("leaves out sessions that have ended, expired, or belong to another user now", async () => {
    const shop = site();
    const [out, over, gone] = [await signIn(shop, "ada"), await signIn(shop, "ada"), await signIn(shop, "ada")];
    await out.browser.visit((session) => session.signOut());
    await over.browser.visit((session) => session.signIn("grace"));
    await shop.sessions.revoke(gone.id);
    expect(await shop.sessions.list("ada")).toEqual([]);
    await signIn(shop, "ada");
    shop.time.now += 24 * HOUR;
    expect(await shop.sessions.list("ada")).toEqual([]);
  });

  it("may take longer than storeTimeout in total, if each reply is in time", async () => {
    const shop = site({ storeTimeout: "1s" });
    for (let n = 0; n < 100; n += 1) await signIn(shop, "ada");
    const read = shop.store.read.bind(shop.store);
    let pause = 600;
    shop.store.read = (id) => new Promise((resolve) => setTimeout(() => resolve(read(id)), pause));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const listed = shop.sessions.list("ada");
      await vi.runAllTimersAsync();
      expect(await listed).toHaveLength(100);
      expect(performance.now()).toBeGreaterThanOrEqual(4 * pause);
      pause = 1200;
      const refused = shop.sessions.list("ada").catch((error: unknown) => error);
      await vi.runAllTimersAsync();
      expect(await refused).toMatchObject({ code: "ERR_SESSION_STORE" });
    } finally {
      vi.useRealTimers();
    }
  });

  it("refuses a store without idsOfUser, and says so", async () => {
    const { idsOfUser: _without, ...store } = memoryStore();
    const sessions = createSessions({ secretKey: KEYS[0], store });
    await expect(sessions.list("ada")).rejects.toThrow("needs a store with idsOfUser()");
    expect(() => createSessions({ secretKey: KEYS[0], store, maxPerUser: 3 })).toThrow(
      "needs a store with idsOfUser()",
    );
  });
});

describe("sessions.revoke", () => {
  it("ends one session, and emits an event", async () => {
    const shop = site();
    const { browser, id } = await signIn(shop, "ada");
    const revoked: unknown[] = [];
    shop.sessions.on("revoked", (event) => revoked.push(event));
    expect(await shop.sessions.revoke(id)).toBe(true);
    expect(await shop.sessions.revoke(id)).toBe(false);
    expect(await browser.userId()).toBeUndefined();
    expect(revoked).toEqual([{ id, userId: "ada" }]);
  });

  it("is not acknowledged for a session that is gone as long as the store can't confirm its end", async () => {
    const backend = memoryStore({ clock: () => START });
    const shop = site({ store: backend });
    const { id } = await signIn(shop, "ada");
    await shop.sessions.revoke(id);
    const confirm = vi.spyOn(backend, "delete");
    // The call is repeated once.
    for (let i = 0; i < 2; i++) confirm.mockRejectedValueOnce(new Error("too few replicas"));
    await expect(shop.sessions.revoke(id)).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(confirm).toHaveBeenCalledWith(id);
    expect(await shop.sessions.revoke(id)).toBe(false);
  });

  it("is not undone by a request in flight that writes, touches, or rotates", async () => {
    for (const act of ["write", "touch", "rotate"] as const) {
      const shop = site();
      const { browser, id } = await signIn(shop, "ada");
      shop.time.now += HOUR;
      const slow = await browser.begin();
      if (act === "write") slow.session.data["late"] = true;
      if (act === "rotate") slow.session.rotate();
      await shop.sessions.revoke(id);
      const answer = await slow.end();
      expect(answer.headers.getSetCookie()).toEqual([]);
      expect(await browser.userId()).toBeUndefined();
      expect(await shop.backend.read(id)).toBeUndefined();
    }
  });
});

describe("sessions.revokeAll", () => {
  it("ends all of a user's sessions but one", async () => {
    const shop = site();
    const mine = await Promise.all([signIn(shop, "ada"), signIn(shop, "ada"), signIn(shop, "ada")]);
    const other = await signIn(shop, "grace");
    expect(await shop.sessions.revokeAll("ada", { except: mine[1].id })).toBe(2);
    expect(await Promise.all(mine.map(({ browser }) => browser.userId()))).toEqual([undefined, "ada", undefined]);
    expect(await other.browser.userId()).toBe("grace");
    expect(await shop.sessions.revokeAll("ada")).toBe(1);
  });

  it("ends every session that existed when it began, whatever is in flight", async () => {
    const shop = site({ store: gated(memoryStore({ clock: () => START })), clock: () => START });
    const all = await Promise.all(Array.from({ length: 10 }, () => signIn(shop, "ada")));
    const inFlight = await Promise.all(all.map(({ browser }) => browser.begin()));
    inFlight.forEach(({ session }, i) => {
      if (i % 3 === 0) session.data["late"] = i;
      else if (i % 3 === 1) session.rotate();
    });
    const [, ...ends] = await Promise.all([
      shop.sessions.revokeAll("ada"),
      ...inFlight.map(({ end }) => end().catch(() => {})),
    ]);
    expect(ends).toHaveLength(10);
    for (const { id } of all) expect(await shop.backend.read(id)).toBeUndefined();
    expect(await shop.sessions.list("ada")).toEqual([]);
  });
});

describe("sessions.revoke for one user", () => {
  it("ends no session of another user that is stored between its read and its end", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const shop = site({ store: backend });
    const { session, end } = await shop.browser().begin();
    session.signIn("alice");
    const reading = backend.hold("read", "after");
    const revoking = shop.sessions.revoke(session.id, { userId: "mallory" });
    await reading.arrived;
    await end();
    reading.letGo();
    expect(await revoking).toBe(false);
    expect(await shop.sessions.list("alice")).toHaveLength(1);
  });

  it("deletes nothing that it has not seen as that user's", async () => {
    const backend = memoryStore({ clock: () => START });
    const shop = site({ store: backend });
    const deleting = vi.spyOn(backend, "delete");
    expect(await shop.sessions.revoke("an id that nobody has", { userId: "mallory" })).toBe(false);
    expect(deleting).not.toHaveBeenCalled();
  });

  it("asks for the user's sessions where it finds none, so that a store can wait for its replicas", async () => {
    const backend = memoryStore({ clock: () => START });
    const shop = site({ store: backend });
    const { id } = await signIn(shop, "ada");
    await shop.sessions.revoke(id, { userId: "ada" });
    vi.spyOn(backend, "idsOfUser").mockRejectedValueOnce(new Error("too few replicas"));
    await expect(shop.sessions.revoke(id, { userId: "ada" })).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(await shop.sessions.revoke(id, { userId: "ada" })).toBe(false);
  });

  it("tells of a session that is stored while an unrestricted revocation looks for it, and ends", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const shop = site({ store: backend });
    const revoked: unknown[] = [];
    shop.sessions.on("revoked", (event) => revoked.push(event));
    const { session, end } = await shop.browser().begin();
    session.signIn("alice");
    const reading = backend.hold("read", "after");
    const { id } = session;
    const revoking = shop.sessions.revoke(id);
    await reading.arrived;
    await end();
    reading.letGo();
    expect([await revoking, revoked]).toEqual([true, [{ id, userId: undefined }]]);
  });
});

describe("sessions.revokeAll, where the store fails for one", () => {
  it("ends what it can, and then fails", async () => {
    const memory = memoryStore({ clock: () => START });
    let broken: string | undefined;
    const store: SessionStore = {
      ...memory,
      async delete(id) {
        broken ??= id;
        if (id === broken) throw new Error("lost");
        return memory.delete(id);
      },
    };
    const shop = site({ store });
    for (let i = 0; i < 3; i++) await signIn(shop, "ada");
    await expect(shop.sessions.revokeAll("ada")).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    // The session that could not be deleted continues, because its user was not notified of an end.
    expect(await shop.sessions.list("ada")).toHaveLength(1);
  });

  it("ends the others, and fails, where one can be neither replaced nor deleted", async () => {
    let broken = "";
    const memory = memoryStore({ clock: () => START });
    const refuse = async (id: string) => {
      if (id === broken) throw new Error("out of order");
    };
    const store: SessionStore = {
      ...memory,
      update: (id, ...given) => refuse(id).then(() => memory.update(id, ...given)),
      delete: (id) => refuse(id).then(() => memory.delete(id)),
    };
    const shop = site({ store, clock: () => START });
    for (let i = 0; i < 3; i++) await signIn(shop, "ada");
    broken = (await shop.sessions.list("ada"))[1]!.id;
    await expect(shop.sessions.revokeAll("ada")).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(await shop.sessions.list("ada")).toMatchObject([{ id: broken }]);
  });
});

describe("sessions.revokeEverything", () => {
  it("ends the sessions of all users", async () => {
    const shop = site();
    const all = [await signIn(shop, "ada"), await signIn(shop, "grace")];
    const visitor = shop.browser();
    await visitor.visit((session) => (session.data["cart"] = ["tea"]));
    expect(await shop.sessions.revokeEverything()).toBe(3);
    expect(await Promise.all(all.map(({ browser }) => browser.userId()))).toEqual([undefined, undefined]);
    expect(await visitor.data()).toEqual({});
  });
});

describe("maxPerUser", () => {
  it("ends the oldest sign-in when another comes", async () => {
    const shop = site({ maxPerUser: 2 });
    const all = [];
    for (let i = 0; i < 4; i++) {
      shop.time.now += 1000;
      all.push(await signIn(shop, "ada"));
    }
    expect(await Promise.all(all.map(({ browser }) => browser.userId()))).toEqual([undefined, undefined, "ada", "ada"]);
  });

  it("refuses a sign-in that is one too many, and leaves nothing of it", async () => {
    const shop = site({ maxPerUser: { sessions: 1, whenFull: "refuse" } });
    const first = await signIn(shop, "ada");
    shop.time.now += 1000;
    await expect(signIn(shop, "ada")).rejects.toMatchObject({ code: "ERR_SESSION_LIMIT", status: 409 });
    expect((await shop.sessions.list("ada")).map(({ id }) => id)).toEqual([first.id]);
    await first.browser.visit((session) => session.signOut());
    await signIn(shop, "ada");
  });

  it.each(["evict", "refuse"] as const)("holds when many sign in at the same moment (%s)", async (whenFull) => {
    const shop = site({ maxPerUser: { sessions: 3, whenFull } });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => signIn(shop, "ada")));
    const left = await shop.sessions.list("ada");
    expect(left.length).toBeLessThanOrEqual(3);
    expect(left.length).toBeGreaterThan(0);
    const alive = await Promise.all(
      outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? outcome.value.browser.userId() : Promise.resolve(undefined),
      ),
    );
    expect(alive.filter((userId) => userId === "ada")).toHaveLength(left.length);
  });

  it('never refuses a sign-in with whenFull "evict", whatever the clocks say', async () => {
    const shop = site({ maxPerUser: 1 });
    for (let i = 0; i < 50; i++) {
      await signIn(shop, "ada");
      const latest = await signIn(shop, "ada");
      expect(await latest.browser.userId()).toBe("ada");
      expect(await shop.sessions.list("ada")).toHaveLength(1);
    }
    shop.time.now -= 5000;
    const behind = await signIn(shop, "ada");
    expect(await behind.browser.userId()).toBe("ada");
  });

  it("leaves a visitor the session that a refused sign-in would have had", async () => {
    const shop = site({ maxPerUser: { sessions: 1, whenFull: "refuse" } });
    await signIn(shop, "ada");
    const visitor = shop.browser();
    await visitor.visit((session) => (session.data["cart"] = ["tea"]));
    await expect(visitor.visit((session) => session.signIn("ada"))).rejects.toMatchObject({
      code: "ERR_SESSION_LIMIT",
    });
    expect(await visitor.data()).toEqual({ cart: ["tea"] });
  });

  it("takes back a sign-in if another process was first, and keeps the visitor's session", async () => {
    const shop = site({ maxPerUser: { sessions: 1, whenFull: "refuse" } });
    const visitor = shop.browser();
    await visitor.visit((session) => (session.data["cart"] = ["tea"]));
    // A user signs in elsewhere between the first check and the second.
    const elsewhere = site({ store: shop.backend, clock: () => shop.time.now - 1 });
    const { create } = shop.store;
    shop.store.create = async (...args) => {
      shop.store.create = create;
      await signIn(elsewhere, "ada");
      return create(...args);
    };
    await expect(visitor.visit((session) => session.signIn("ada"))).rejects.toMatchObject({
      code: "ERR_SESSION_LIMIT",
    });
    expect(await visitor.data()).toEqual({ cart: ["tea"] });
    expect(await shop.sessions.list("ada")).toHaveLength(1);
  });

  it.each(["evict", "refuse"] as const)(
    "leaves exactly as many as it allows of sign-ins in several processes at one moment (%s)",
    async (whenFull) => {
      for (let round = 0; round < 20; round++) {
        const backend = gated(memoryStore({ clock: () => START }));
        const options = { store: backend, clock: () => START, maxPerUser: { sessions: 1, whenFull } };
        const processes = [site(options), site(options), site(options)];
        // All processes have counted before one of them stores.
        const held = processes.map(() => backend.hold("create"));
        const signingIn = processes.map((one) => signIn(one, "ada"));
        await Promise.all(held.map(({ arrived }) => arrived));
        for (const { letGo } of held.toSorted(() => (round % 3) - 1)) letGo();
        const outcomes = await Promise.allSettled(signingIn);
        const left = await processes[0]!.sessions.list("ada");
        expect(left).toHaveLength(1);
        const ids = outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.id : undefined));
        expect(ids).toContain(left[0]!.id);
      }
    },
  );

  it('never ends a completed sign-in for a later one with whenFull "refuse"', async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const options = { store: backend, clock: () => START, maxPerUser: { sessions: 1, whenFull: "refuse" } } as const;
    const [first, late] = [site(options), site(options)];
    const held = backend.hold("create");
    const signingIn = signIn(late, "ada").catch((error: unknown) => error);
    await held.arrived;
    const { browser } = await signIn(first, "ada");
    held.letGo();
    expect(await signingIn).toMatchObject({ code: "ERR_SESSION_LIMIT" });
    expect(await browser.userId()).toBe("ada");
    expect(await first.sessions.list("ada")).toHaveLength(1);
  });

  it.each(["evict", "refuse"] as const)(
    "counts the session that a sign-in was to take the place of, where that goes on by another token (%s)",
    async (whenFull) => {
      const shop = site({ maxPerUser: { sessions: 1, whenFull } });
      const { browser } = await signIn(shop, "ada");
      const tab = await browser.copy().begin();
      await browser.visit((session) => session.rotate());
      tab.session.signIn("ada");
      await tab.end().catch(() => undefined);
      expect(await shop.sessions.list("ada")).toHaveLength(1);
    },
  );

  it("fails a sign-in, and leaves nothing of it, if the store can't list the user's sessions any more", async () => {
    const failing = { on: false };
    const shop = site({ maxPerUser: 1, faults: { idsOfUser: () => (failing.on ? "error" : "ok") } });
    await signIn(shop, "ada");
    const { create } = shop.store;
    shop.store.create = (...args) => {
      failing.on = true;
      return create(...args);
    };
    await expect(signIn(shop, "ada")).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    failing.on = false;
    expect(await shop.sessions.list("ada")).toHaveLength(1);
  });

  it("lets a sign-in on a server whose clock is behind end the older one, not itself", async () => {
    const ahead = site({ maxPerUser: 1 });
    const behind = site({ store: ahead.backend, clock: () => START - 5 * 60_000, maxPerUser: 1 });
    const elder = await signIn(ahead, "ada");
    const { browser } = await signIn(behind, "ada");
    expect(await browser.userId()).toBe("ada");
    expect(await elder.browser.userId()).toBeUndefined();
  });

  it.each(["evict", "refuse"] as const)(
    "stores nothing of a sign-in while the store can't list the user's sessions (%s)",
    async (whenFull) => {
      let isDown = true;
      const shop = site({
        maxPerUser: { sessions: 1, whenFull },
        faults: { idsOfUser: () => (isDown ? "error" : "ok") },
      });
      const visitor = shop.browser();
      await visitor.visit((session) => (session.data["cart"] = ["tea"]));
      await expect(visitor.visit((session) => session.signIn("ada"))).rejects.toMatchObject({
        code: "ERR_SESSION_STORE",
      });
      await expect(signIn(shop, "ada")).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
      isDown = false;
      expect(await visitor.data()).toEqual({ cart: ["tea"] });
      expect(await shop.sessions.list("ada")).toEqual([]);
      await signIn(shop, "ada");
    },
  );

  it("is not blocked by a session that no listed key decrypts", async () => {
    const before = site({ encrypted: true, secretKey: KEYS[1] });
    await signIn(before, "ada");
    const after = site({ store: before.backend, clock: () => before.time.now, maxPerUser: 2 });
    const faults: unknown[] = [];
    after.sessions.on("error", ({ error }) => faults.push(error));
    const { id } = await signIn(after, "ada");
    expect((await after.sessions.list("ada")).map((one) => one.id)).toEqual([id]);
    expect(faults).toContainEqual(expect.objectContaining({ code: "ERR_SESSION_DECODE" }));
    expect(await after.sessions.revokeAll("ada")).toBe(2);
  });

  it("does not count a sign-in again by the same session", async () => {
    const shop = site({ maxPerUser: { sessions: 1, whenFull: "refuse" } });
    const { browser } = await signIn(shop, "ada");
    await browser.visit((session) => session.signIn("ada"));
    expect(await browser.userId()).toBe("ada");
  });
});

describe("signIn's options", () => {
  it("extends both timeouts of this session, and its cookie, with remember", async () => {
    const shop = site({ idleTimeout: "1h", absoluteTimeout: "8h", cookie: { persistent: false } });
    const [plain, remembered] = [shop.browser(), shop.browser()];
    expect((await plain.visit((session) => session.signIn("ada"))).headers.getSetCookie()[0]).not.toContain("Max-Age");
    const answer = await remembered.visit((session) => session.signIn("ada", { remember: "30d" }));
    expect(answer.headers.getSetCookie()[0]).toContain("; Max-Age=2592000;");
    shop.time.now += 29 * 24 * HOUR;
    expect([await plain.userId(), await remembered.userId()]).toEqual([undefined, "ada"]);
    await remembered.visit();
    shop.time.now += 24 * HOUR;
    expect(await remembered.userId()).toBeUndefined();
  });

  it("refuses what it does not know", () => {
    const { session } = { session: begin(site().sessions, new Request("http://x/")) };
    expect(() => session.signIn("ada", { forever: true } as never)).toThrow('no option "forever"');
    expect(() => session.signIn("ada", { remember: "500d" })).toThrow("400 days");
    expect(() => session.signIn("ada", { note: "x".repeat(600) })).toThrow("512 bytes");
  });
});

describe("signedInWithin", () => {
  it("is true for the given time after each sign-in", async () => {
    const shop = site();
    const { browser } = await signIn(shop, "ada");
    const fresh = async () => (await browser.begin()).session.signedInWithin("10m");
    shop.time.now += 600_000;
    expect(await fresh()).toBe(true);
    shop.time.now += 1;
    expect(await fresh()).toBe(false);
    await browser.visit((session) => session.signIn("ada"));
    expect(await fresh()).toBe(true);
    expect((await shop.browser().begin()).session.signedInWithin("10m")).toBe(false);
  });

  it("restarts both timeouts: re-authentication outlives the first absolute timeout", async () => {
    const shop = site({ idleTimeout: "1h", absoluteTimeout: "2h" });
    const { browser } = await signIn(shop, "ada");
    shop.time.now += HOUR - 1;
    await browser.visit((session) => session.signIn("ada"));
    shop.time.now += HOUR - 1;
    await browser.visit();
    shop.time.now += HOUR - 1;
    expect(await browser.userId()).toBe("ada");
  });
});

describe("passive requests", () => {
  it("read and even write without extending the session", async () => {
    const shop = site({ idleTimeout: "30m" });
    const { browser } = await signIn(shop, "ada");
    for (let i = 0; i < 2; i++) {
      shop.time.now += 10 * 60_000;
      await browser.visit((session) => {
        session.passive = true;
        session.data["polled"] = i;
      });
    }
    expect((await browser.begin()).session.expiresAt).toBe(START + 30 * 60_000);
    shop.time.now += 10 * 60_000;
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("timeouts", () => {
  it.each([
    ["aal1", 24 * HOUR, 30 * 24 * HOUR],
    ["aal2", HOUR, 24 * HOUR],
    ["aal3", HOUR / 4, 12 * HOUR],
  ] as const)("keeps to %s: %i ms idle, %i ms overall", async (timeouts, idle, overall) => {
    const shop = site({ timeouts });
    const idler = await signIn(shop, "ada");
    const worker = await signIn(shop, "ada");
    const began = shop.time.now;
    shop.time.now = began + idle - 1;
    expect(await idler.browser.userId()).toBe("ada");
    await worker.browser.visit();
    shop.time.now = began + idle;
    expect(await idler.browser.userId()).toBeUndefined();
    while (shop.time.now < began + overall - idle / 2) {
      shop.time.now += idle / 2;
      await worker.browser.visit();
    }
    shop.time.now = began + overall - 1;
    expect(await worker.browser.userId()).toBe("ada");
    shop.time.now += 1;
    expect(await worker.browser.userId()).toBeUndefined();
  });

  it("is not mixed with timeouts of one's own", () => {
    expect(() => site({ timeouts: "aal2", idleTimeout: "5m" })).toThrow("leave it out");
    expect(() => site({ timeouts: "aal9" as never })).toThrow("aal1, aal2, aal3");
  });
});
