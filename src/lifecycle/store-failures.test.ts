import { describe, expect, it, onTestFinished, vi } from "vitest";
import { gated, site, START, type Browser, type Site } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";
import { memoryStore } from "../stores/memory.ts";
import type { Fault } from "../testing/faulty.ts";

interface Data {
  n?: number;
}
type Operation = "read" | "create" | "update" | "touch" | "delete";
type Act = (shop: Site<Data>, browser: Browser<Data>) => Promise<unknown>;

const MINUTE = 60_000;

/** A server whose store fails so many times from the moment that `fail` is called, and a browser that ada has signed in with. */
async function signedIn(operation: Operation, fault: Fault, times: number) {
  let left = 0;
  const meet = (called: Operation) => (): Fault => (called === operation && left-- > 0 ? fault : "ok");
  const shop = site<Data>({
    faults: {
      read: meet("read"),
      create: meet("create"),
      update: meet("update"),
      touch: meet("touch"),
      delete: meet("delete"),
    },
  });
  const events: string[] = [];
  const browser = shop.browser();
  await browser.visit((session) => {
    session.data.n = 1;
    session.signIn("ada");
  });
  for (const name of ["created", "signedIn", "signedOut", "rotated", "revoked", "dropped", "error"] as const)
    shop.sessions.on(name, () => void events.push(name));
  return { shop, browser, events, fail: () => void (left = times), heal: () => void (left = 0) };
}

const visit =
  (handler: (session: Session<Data>) => void): Act =>
  (_, browser) =>
    browser.visit(handler);
const visitor: Act = (shop) => shop.browser().visit((session) => void (session.data.n = 5));
const visitorSignsIn: Act = (shop) => shop.browser().visit((session) => session.signIn("ada"));
const write = visit((session) => void (session.data.n = 2));
const read: Act = (shop, browser) => {
  shop.time.now += 10 * MINUTE;
  return browser.visit((session) => void session.data.n);
};
const signOut = visit((session) => session.signOut());
const signOutAndFlash = visit((session) => {
  session.signOut();
  session.flash("info", "You have been signed out");
});
const signOutAndSignIn = visit((session) => {
  session.signOut();
  session.signIn("bob");
});
const signInAgain = visit((session) => session.signIn("ada"));
const rotate = visit((session) => session.rotate());
const revoke: Act = async (shop, browser) => shop.sessions.revoke((await browser.begin()).session.id);
const revokeOwn: Act = async (shop, browser) =>
  shop.sessions.revoke((await browser.begin()).session.id, { userId: "ada" });
const revokeAll: Act = (shop) => shop.sessions.revokeAll("ada");
/** The former session, by the cookie of before: its `n`, or that it has ended. */
type Former = number | "ended";
const always = Number.POSITIVE_INFINITY;

describe("A store that fails", () => {
  it.each<[string, Act, Operation, Fault, number, string, Former, string[]]>([
    ["a visitor's first change", visitor, "create", "error", 1, "503", 1, []],
    ["a visitor's first change", visitor, "create", "error-after", 1, "503", 1, []],
    ["a visitor's sign-in", visitorSignsIn, "create", "error", 1, "503", 1, []],
    ["a visitor's sign-in", visitorSignsIn, "create", "error-after", 1, "503", 1, []],
    ["a change of data", write, "update", "error", 1, "503", 1, []],
    // A write in doubt: the client is told of a failure, and the change may be stored.
    ["a change of data", write, "update", "error-after", 1, "503", 2, []],
    ["a touch", read, "touch", "error", 1, "done", 1, ["error"]],
    ["a touch", read, "touch", "error-after", 1, "done", 1, ["error"]],
    ["a sign-out", signOut, "update", "error", 1, "done", "ended", ["signedOut"]],
    ["a sign-out", signOut, "update", "error-after", 1, "done", "ended", ["signedOut"]],
    ["a sign-out", signOut, "update", "error", always, "done", "ended", ["signedOut"]],
    ["a sign-out", signOut, "delete", "error", 1, "done", "ended", ["signedOut"]],
    ["a sign-out", signOut, "delete", "error-after", 1, "done", "ended", ["signedOut"]],
    ["a sign-out", signOut, "delete", "error", always, "503", 1, []],
    ["a sign-out", signOut, "delete", "error-after", always, "503", "ended", ["signedOut"]],
    ["a sign-out with a flash", signOutAndFlash, "create", "error", 1, "503", 1, []],
    ["a sign-out with a flash", signOutAndFlash, "create", "error-after", 1, "503", 1, []],
    ["a sign-out with a flash", signOutAndFlash, "delete", "error-after", 1, "done", "ended", ["signedOut", "created"]],
    ["a sign-out with a flash", signOutAndFlash, "delete", "error", 2, "503", 1, []],
    ["a sign-out with a sign-in", signOutAndSignIn, "create", "error", 1, "503", 1, []],
    ["a sign-out with a sign-in", signOutAndSignIn, "create", "error-after", 1, "503", 1, []],
    ["a sign-out with a sign-in", signOutAndSignIn, "delete", "error", 2, "503", 1, []],
    ["signing in again", signInAgain, "create", "error", 1, "503", 1, []],
    ["signing in again", signInAgain, "create", "error-after", 1, "503", 1, []],
    ["signing in again", signInAgain, "update", "error", 1, "503", 1, []],
    ["signing in again", signInAgain, "update", "error-after", 1, "503", 1, []],
    ["a new token", rotate, "update", "error", 1, "503", 1, []],
    ["a new token", rotate, "update", "error-after", 1, "503", 1, []],
    ["a revocation", revoke, "update", "error", 1, "done", "ended", ["revoked"]],
    ["a revocation", revoke, "update", "error-after", 1, "done", "ended", ["revoked"]],
    ["a revocation", revoke, "delete", "error", 1, "done", "ended", ["revoked"]],
    ["a revocation", revoke, "delete", "error-after", 1, "done", "ended", ["revoked"]],
    ["a revocation", revoke, "delete", "error", always, "503", 1, []],
    ["a revocation", revoke, "delete", "error-after", always, "503", "ended", ["revoked"]],
    ["a user's revocation", revokeOwn, "delete", "error-after", 1, "done", "ended", ["revoked"]],
    ["a user's revocation", revokeOwn, "delete", "error", always, "503", 1, []],
    ["revoking all", revokeAll, "delete", "error", 1, "done", "ended", ["revoked"]],
    ["revoking all", revokeAll, "delete", "error-after", 1, "done", "ended", ["revoked"]],
    ["revoking all", revokeAll, "delete", "error", always, "503", 1, []],
    ["revoking all", revokeAll, "delete", "error-after", always, "503", "ended", ["revoked"]],
  ])("%s (%#): %s %s, %s times", async (_name, act, operation, fault, times, outcome, former, events) => {
    const one = await signedIn(operation, fault, times);
    const before = one.browser.copy();
    one.fail();
    const answer = await act(one.shop, one.browser).then(
      () => "done",
      (error: { status?: number }) => String(error.status),
    );
    one.heal();
    const { session } = await before.begin();
    const now = session.userId === "ada" ? session.data.n : "ended";
    expect({ answer, former: now, events: one.events }).toEqual({ answer: outcome, former, events });
    // Nothing is left that nobody has the token of, and no response has taken the cookie of a session that lives.
    const isLive = answer === "done" && (await one.browser.userId()) === "ada";
    expect(await one.shop.sessions.list("ada")).toHaveLength(former !== "ended" || isLive ? 1 : 0);
  });

  it.each<[Operation, Fault, string]>([
    ["update", "error", "503"],
    ["update", "error-after", "503"],
    ["delete", "error", "done"],
    ["delete", "error-after", "done"],
  ])("changed credentials (%s %s): the client stays signed in", async (operation, fault, outcome) => {
    const { shop, browser, fail } = await signedIn(operation, fault, 1);
    await shop.browser().visit((session) => session.signIn("ada"));
    const { session, end } = await browser.begin();
    fail();
    const answer = await shop.sessions.credentialsChanged(session).then(
      () => "done",
      (error: { status?: number }) => String(error.status),
    );
    await end();
    expect([answer, await browser.userId()]).toEqual([outcome, "ada"]);
    expect(await shop.sessions.list("ada")).toHaveLength(answer === "done" ? 1 : 2);
  });
});

describe("A sign-out whose end stays uncertain", () => {
  it("is told as one when the session is deleted in the background", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { shop, browser, events } = await signedIn("read", "ok", 0);
    const { session, end } = await browser.begin();
    session.signOut();
    const down = () => Promise.reject(new Error("the server is away"));
    const reading = vi.spyOn(shop.store, "read").mockImplementation(down);
    const deleting = vi.spyOn(shop.store, "delete").mockImplementation(down);
    await expect(end()).rejects.toMatchObject({ status: 503 });
    expect(events).toEqual([]);
    reading.mockRestore();
    deleting.mockRestore();
    await vi.advanceTimersByTimeAsync(1000);
    expect(events).toEqual(["signedOut"]);
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("A sign-out that fails", () => {
  it("does not take back the end that a revocation has begun at the same moment", async () => {
    const backend = gated(memoryStore({ clock: () => START }));
    const options = { store: backend, clock: () => START };
    const here = site<Data>({ ...options, faults: { update: ["error"], read: ["ok", "error"] } });
    const there = site<Data>(options);
    const browser = there.browser();
    await browser.visit((session) => session.signIn("ada"));
    const { session, end } = await browser.copy(here.sessions).begin();
    session.signOut();
    const deleting = backend.hold("delete");
    const revoking = there.sessions.revokeAll("ada");
    await deleting.arrived;
    await expect(end()).rejects.toMatchObject({ status: 503 });
    expect(await browser.userId()).toBeUndefined();
    deleting.letGo();
    expect(await revoking).toBe(1);
  });
});

describe("storeTimeout", () => {
  it.each<[string, (session: Session<Data>) => void]>([
    ["a change", (session) => void (session.data.n = 2)],
    ["signing in again", (session) => session.signIn("ada")],
    ["another user's sign-in", (session) => session.signIn("bob")],
    ["a sign-out", (session) => session.signOut()],
    [
      "a sign-out with a flash",
      (session) => {
        session.signOut();
        session.flash("info", "You have been signed out");
      },
    ],
    [
      "a sign-out with a sign-in",
      (session) => {
        session.signOut();
        session.signIn("bob");
      },
    ],
    ["a new token", (session) => session.rotate()],
  ])("bounds the commit of %s, and a quarter of it undoing, whichever call of the store hangs", async (_, handler) => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    for (const fault of ["hang", "lost-reply"] as const) {
      for (const delay of [0, 900]) {
        for (let hanging = 1; hanging < 8; hanging++) {
          let calls = 0;
          let isOn = false;
          const meet = (): Fault => {
            if (!isOn) return "ok";
            return ++calls >= hanging ? fault : { delay };
          };
          const shop = site<Data>({
            storeTimeout: "1s",
            maxPerUser: 2,
            faults: { read: meet, create: meet, update: meet, delete: meet, idsOfUser: meet },
          });
          const browser = shop.browser();
          await browser.visit((session) => session.signIn("ada"));
          const { session, end } = await browser.begin();
          handler(session);
          isOn = true;
          let isSettled = false;
          const settle = () => void (isSettled = true);
          void end().then(settle, settle);
          await vi.advanceTimersByTimeAsync(1250);
          expect(isSettled, `call ${hanging}: ${fault}, others after ${delay} ms`).toBe(true);
        }
      }
    }
  });

  it.each<[string, (session: Session<Data>) => void, Operation]>([
    ["a new token", (session) => session.rotate(), "update"],
    ["a sign-out", (session) => session.signOut(), "update"],
    ["a sign-out", (session) => session.signOut(), "delete"],
    ["signing in again", (session) => session.signIn("ada"), "update"],
  ])("leaves time to undo %s (%#) whose write hangs: the client stays signed in", async (_, handler, operation) => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const fault = operation === "delete" ? "hang" : "lost-reply";
    const { browser, fail } = await signedIn(operation, fault, 1);
    const before = browser.copy();
    const { session, end } = await browser.begin();
    handler(session);
    fail();
    const failure = end().catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(2500);
    expect(await failure).toMatchObject({ status: 503 });
    expect(await before.userId()).toBe("ada");
  });

  it("leaves time to find that a sign-out whose reply is lost is done", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { browser, events, fail } = await signedIn("delete", "lost-reply", 1);
    const { session, end } = await browser.begin();
    session.signOut();
    fail();
    const answer = end();
    await vi.advanceTimersByTimeAsync(2500);
    expect((await answer).status).toBe(200);
    expect(events).toEqual(["signedOut"]);
    expect(await browser.userId()).toBeUndefined();
  });
});

describe("A sign-out without a live session", () => {
  it("asks the store once more to confirm the end that it finds", async () => {
    const { shop, browser } = await signedIn("read", "ok", 0);
    const again = browser.copy();
    await browser.visit((session) => session.signOut());
    const deleting = vi.spyOn(shop.store, "delete");
    deleting.mockRejectedValueOnce(new Error("too few replicas")).mockRejectedValueOnce(new Error("too few replicas"));
    await expect(again.visit((session) => session.signOut())).rejects.toMatchObject({ status: 503 });
    const answer = await again.visit((session) => session.signOut());
    expect([answer.status, deleting.mock.calls.length]).toEqual([200, 3]);
  });

  it("confirms the end of a session that ended under the request, and stores nothing", async () => {
    const { shop, browser } = await signedIn("read", "ok", 0);
    const { session, end } = await browser.begin();
    await shop.sessions.revokeAll("ada");
    session.data.n = 3;
    await session.save();
    const before = shop.store.calls.delete;
    session.signOut();
    const answer = await end();
    expect([shop.store.calls.delete - before, answer.headers.getSetCookie()]).toEqual([1, []]);
  });

  it("asks the store nothing for a visitor, and for a forged token", async () => {
    const { shop } = await signedIn("read", "ok", 0);
    const before = shop.store.calls.total;
    const stranger = shop.browser();
    await stranger.visit((session) => session.signOut());
    stranger.jar.set("__Host-session", "A".repeat(86));
    await stranger.visit((session) => session.signOut());
    expect(shop.store.calls.total).toBe(before);
  });

  it("ends nothing by a token that a sign-in or rotate() has invalidated", async () => {
    const { browser } = await signedIn("read", "ok", 0);
    const thief = browser.copy();
    await browser.visit((session) => session.rotate());
    await thief.visit((session) => session.signOut());
    expect(await browser.userId()).toBe("ada");
    const late = browser.copy();
    await browser.visit((session) => session.signIn("ada"));
    await late.visit((session) => session.signOut());
    expect(await browser.userId()).toBe("ada");
  });

  it("begins a new session for a flash after it, in the response's cookie", async () => {
    const { browser } = await signedIn("read", "ok", 0);
    const again = browser.copy();
    await browser.visit((session) => session.signOut());
    await again.visit((session) => {
      session.signOut();
      session.flash("info", "You have been signed out");
    });
    expect((await again.begin()).session.takeFlashes()).toHaveLength(1);
  });
});
