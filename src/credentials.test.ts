import { describe, expect, it } from "vitest";
import { gated, KEYS, site, type Site } from "../test/support/stores.ts";
import { SessionError } from "./errors.ts";
import { createSessions } from "./sessions.ts";
import { memoryStore } from "./stores/memory.ts";

type Shop = Site<Record<string, unknown>>;

async function signIn(shop: Shop, userId = "ada") {
  const browser = shop.browser();
  await browser.visit((session) => session.signIn(userId));
  return { browser, id: (await browser.begin()).session.id };
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as SessionError,
  );

describe("sessions.credentialsChanged", () => {
  it("gives this session a new token, ends the user's others, and leaves other users alone", async () => {
    const shop = site();
    const [here, phone, other] = [await signIn(shop), await signIn(shop), await signIn(shop, "grace")];
    const thief = here.browser.copy();
    let ended: number | undefined;
    await here.browser.visit(async (session) => {
      session.data["cart"] = ["tea"];
      ended = await shop.sessions.credentialsChanged(session);
    });
    expect(ended).toBe(1);
    expect(await here.browser.begin()).toMatchObject({ session: { id: here.id, userId: "ada" } });
    expect(await here.browser.data()).toEqual({ cart: ["tea"] });
    expect(await thief.userId()).toBeUndefined();
    expect(await phone.browser.userId()).toBeUndefined();
    expect(await other.browser.userId()).toBe("grace");
  });

  it("can be called in the request that signs in", async () => {
    const shop = site();
    const phone = await signIn(shop);
    const browser = shop.browser();
    await browser.visit(async (session) => {
      session.signIn("ada");
      expect(await shop.sessions.credentialsChanged(session)).toBe(1);
    });
    expect(await browser.userId()).toBe("ada");
    expect(await phone.browser.userId()).toBeUndefined();
  });

  it("refuses a session to which nobody is signed in, naming the remedy", async () => {
    const { session } = await site().browser().begin();
    await expect(site().sessions.credentialsChanged(session)).rejects.toThrow(/sessions\.revokeAll\(userId\)/);
  });

  it.each(["bob", undefined])(
    "refuses %j in place of the session, and names the call for a user's id",
    async (given) => {
      const changed = site().sessions.credentialsChanged(given as never);
      await expect(changed).rejects.toThrow(TypeError);
      await expect(changed).rejects.toThrow(/takes the session.*sessions\.revokeAll\(userId\)/);
    },
  );

  it("refuses a store that can't list a user's sessions, before it rotates", async () => {
    const sessions = createSessions({ secretKey: KEYS[0], store: { ...memoryStore(), idsOfUser: undefined! } });
    const session = await sessions.open(new Request("https://shop.example/"));
    session.signIn("ada");
    await expect(sessions.credentialsChanged(session)).rejects.toThrow(TypeError);
    expect(session.isNew).toBe(true);
  });

  it("ends nothing if this session can't be rotated, and a second call succeeds", async () => {
    const isDown = { now: false };
    const fate = () => (isDown.now ? "error" : "ok");
    const shop = site({ faults: { update: fate, delete: fate } });
    const [here, phone] = [await signIn(shop), await signIn(shop)];
    await here.browser.visit(async (session) => {
      isDown.now = true;
      const failure = await failureOf(shop.sessions.credentialsChanged(session));
      expect(failure).toMatchObject({ code: "ERR_SESSION_STORE" });
      expect(failure).not.toHaveProperty("notEnded");
      expect(await phone.browser.userId()).toBe("ada");
      isDown.now = false;
      expect(await shop.sessions.credentialsChanged(session)).toBe(1);
    });
    expect(await here.browser.userId()).toBe("ada");
    expect(await phone.browser.userId()).toBeUndefined();
  });

  it("lists in the error which sessions could not be ended, and ends them when it is called again", async () => {
    const stuck = new Set<string>();
    const backend = memoryStore();
    const refuse = (id: string) => (stuck.has(id) ? Promise.reject(new Error("the shard is down")) : undefined);
    const shop = site({
      clock: Date.now,
      store: {
        ...backend,
        inProcess: false,
        update: (id, stored, version) => refuse(id) ?? backend.update(id, stored, version),
        delete: (id) => refuse(id) ?? backend.delete(id),
      },
    });
    const here = await signIn(shop);
    const [first, second, third] = [await signIn(shop), await signIn(shop), await signIn(shop)];
    stuck.add(first.id).add(third.id);
    const thief = here.browser.copy();
    const begun = await here.browser.begin();
    const failure = await failureOf(shop.sessions.credentialsChanged(begun.session));
    expect(failure).toBeInstanceOf(SessionError);
    expect(failure).toMatchObject({ code: "ERR_SESSION_STORE", status: 503 });
    expect(failure!.notEnded!.toSorted()).toEqual([first.id, third.id].toSorted());
    expect(failure!.cause).toMatchObject({ cause: { message: "the shard is down" } });
    await begun.end();
    // The rotation holds although the call has failed.
    expect(await here.browser.userId()).toBe("ada");
    expect(await thief.userId()).toBeUndefined();
    expect(await second.browser.userId()).toBeUndefined();
    expect(await first.browser.userId()).toBe("ada");

    stuck.clear();
    await here.browser.visit(async (session) => {
      expect(await shop.sessions.credentialsChanged(session)).toBe(2);
      expect(await shop.sessions.credentialsChanged(session)).toBe(0);
    });
    expect(await here.browser.userId()).toBe("ada");
    expect(await first.browser.userId()).toBeUndefined();
    expect(await third.browser.userId()).toBeUndefined();
  });

  it("lists every session that was not tried, where the store fails again and again", async () => {
    const isDown = { now: false };
    const backend = memoryStore();
    const shop = site({
      clock: Date.now,
      store: { ...backend, readLatest: (id) => (isDown.now ? Promise.reject(new Error("down")) : backend.read(id)) },
    });
    const here = await signIn(shop);
    const others = await Promise.all(Array.from({ length: 70 }, () => signIn(shop)));
    const { session } = await here.browser.begin();
    isDown.now = true;
    const failure = await failureOf(shop.sessions.credentialsChanged(session));
    expect(failure!.notEnded!.toSorted()).toEqual(others.map(({ id }) => id).toSorted());
  });

  it("does not say that it succeeded while the list of sessions can't be read", async () => {
    const isDown = { now: false };
    const shop = site({ faults: { idsOfUser: () => (isDown.now ? "error" : "ok") } });
    const [here, phone] = [await signIn(shop), await signIn(shop)];
    await here.browser.visit(async (session) => {
      isDown.now = true;
      expect(await failureOf(shop.sessions.credentialsChanged(session))).toMatchObject({ code: "ERR_SESSION_STORE" });
    });
    isDown.now = false;
    expect(await here.browser.userId()).toBe("ada");
    await here.browser.visit(async (session) => expect(await shop.sessions.credentialsChanged(session)).toBe(1));
    expect(await phone.browser.userId()).toBeUndefined();
  });

  it("ends all sessions of the user, this one too, if a holder of the old token was faster to replace it", async () => {
    const shop = site();
    const [here, phone] = [await signIn(shop), await signIn(shop)];
    const thief = here.browser.copy();
    const mine = await here.browser.begin();
    await thief.visit((session) => session.rotate());
    const failure = await failureOf(shop.sessions.credentialsChanged(mine.session));
    expect(failure).toMatchObject({ code: "ERR_SESSION_SUPERSEDED", status: 409 });
    expect(await thief.userId()).toBeUndefined();
    expect(await phone.browser.userId()).toBeUndefined();
  });

  it("ends the user's others although another request has just revoked this session", async () => {
    const shop = site();
    const [here, thief] = [await signIn(shop), await signIn(shop)];
    const mine = await here.browser.begin();
    await shop.sessions.revoke(here.id);
    expect(await shop.sessions.credentialsChanged(mine.session)).toBe(1);
    await mine.end();
    expect(await thief.browser.userId()).toBeUndefined();
    expect(await here.browser.userId()).toBeUndefined();
  });

  it("lets no request in flight with the old token, or of an ended session, bring it back", async () => {
    const shop = site();
    const [here, phone] = [await signIn(shop), await signIn(shop)];
    const thief = await here.browser.copy().begin();
    const late = await phone.browser.begin();
    thief.session.data["planted"] = true;
    late.session.data["late"] = true;
    await here.browser.visit((session) => shop.sessions.credentialsChanged(session));
    await expect(thief.end()).rejects.toMatchObject({ code: "ERR_SESSION_SUPERSEDED" });
    expect((await late.end()).headers.getSetCookie()).toEqual([]);
    expect(await here.browser.data()).toEqual({});
    expect(await phone.browser.userId()).toBeUndefined();
  });

  it("ends a sign-in again of another session that is being stored, under its old id or its new one", async () => {
    for (const when of ["before", "after"] as const) {
      const store = gated(memoryStore());
      const shop = site({ clock: Date.now, store });
      const [here, phone] = [await signIn(shop), await signIn(shop)];
      const again = await phone.browser.begin();
      again.session.signIn("ada");
      const held = store.hold("create", when);
      const storing = again.end().catch(() => undefined);
      await held.arrived;
      await here.browser.visit((session) => shop.sessions.credentialsChanged(session));
      held.letGo();
      await storing;
      expect(await here.browser.userId()).toBe("ada");
      expect(await shop.sessions.list("ada")).toMatchObject([{ id: here.id }]);
    }
  });

  it("keeps this session, and no more, where a sign-in beyond maxPerUser runs at the same time", async () => {
    const store = gated(memoryStore());
    const shop = site({ clock: Date.now, store, maxPerUser: 2 });
    const here = await signIn(shop);
    await signIn(shop);
    const held = store.hold("create", "after");
    const third = shop.browser();
    const signingIn = third.visit((session) => session.signIn("ada"));
    await held.arrived;
    await here.browser.visit((session) => shop.sessions.credentialsChanged(session));
    held.letGo();
    await signingIn.catch(() => undefined);
    expect(await here.browser.userId()).toBe("ada");
    expect((await shop.sessions.list("ada")).length).toBeLessThanOrEqual(2);
  });
});

describe("sessions.revokeAll", () => {
  it("lists in the error which sessions could not be ended", async () => {
    const backend = memoryStore();
    let stuck = "";
    const store = {
      ...backend,
      readLatest: (id: string) => (id === stuck ? Promise.reject(new Error("down")) : backend.read(id)),
    };
    const shop = site({ clock: Date.now, store });
    const [first, second] = [await signIn(shop), await signIn(shop)];
    stuck = first.id;
    expect(await failureOf(shop.sessions.revokeAll("ada"))).toMatchObject({ notEnded: [first.id] });
    expect(await second.browser.userId()).toBeUndefined();
  });
});
