import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty, type FaultPlan } from "../testing/faulty.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

/** A browser with a session, of a user if there is one. */
async function begun({ userId, faults }: { userId?: string | undefined; faults?: FaultPlan }) {
  const clock = () => START;
  const revocations = faulty(memoryStore({ clock }), faults);
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock, store: cookieStore({ revocations }) });
  const signedOut: unknown[] = [];
  sessions.on("signedOut", (event) => signedOut.push(event));
  const browser = new Browser<Data>(sessions);
  await browser.visit((session) => {
    session.data["n"] = 1;
    if (userId) session.signIn(userId);
  });
  return { sessions, browser, signedOut };
}

/** Gives the session of a browser another token. */
async function rotate(browser: Browser<Data>): Promise<void> {
  await browser.visit((session) => session.rotate());
}

describe("A sign-out from cookieStore with revocations", () => {
  for (const userId of ["alice", undefined])
    it(`ends the session ${userId ? "of a user" : "of a visitor"} to which another request has given a new token meanwhile`, async () => {
      const { browser, signedOut } = await begun({ userId });
      const other = browser.copy();
      const slow = await browser.begin();
      await rotate(other);
      slow.session.signOut();
      await slow.end();
      expect(browser.jar.size).toBe(0);
      expect(await other.data()).toEqual({});
      expect(await other.userId()).toBeUndefined();
      expect(signedOut).toEqual([{ id: expect.any(String), userId }]);
    });

  it("ends the session whose credentials another request has changed meanwhile", async () => {
    const { browser, sessions, signedOut } = await begun({ userId: "alice" });
    const other = browser.copy();
    const slow = await browser.begin();
    await other.visit(async (session) => void (await sessions.credentialsChanged(session)));
    slow.session.signOut();
    await slow.end();
    expect(await other.userId()).toBeUndefined();
    expect(signedOut).toHaveLength(1);
  });

  it("ends the session with its new token after an error of the store, too", async () => {
    let isFailing = false;
    const once = () => {
      const fault = isFailing ? "error" : "ok";
      isFailing = false;
      return fault;
    };
    const { browser } = await begun({ userId: "alice", faults: { update: once } });
    const other = browser.copy();
    const slow = await browser.begin();
    await rotate(other);
    isFailing = true;
    slow.session.signOut();
    await slow.end();
    expect(isFailing).toBe(false);
    expect(await other.userId()).toBeUndefined();
  });

  it("leaves alone the session whose token was replaced before the request", async () => {
    const { browser, signedOut } = await begun({ userId: "alice" });
    const former = browser.copy();
    await rotate(browser);
    await former.visit((session) => session.signOut());
    expect(await browser.userId()).toBe("alice");
    expect(signedOut).toEqual([]);
  });

  it("leaves alone the session that another request has signed in to meanwhile", async () => {
    const { browser } = await begun({ userId: "alice" });
    const slow = await browser.copy().begin();
    await browser.visit((session) => session.signIn("alice"));
    slow.session.signOut();
    await slow.end();
    expect(await browser.userId()).toBe("alice");
  });

  it("is no part of a sign-in as another user, which leaves a new token of the former user alone", async () => {
    const { browser } = await begun({ userId: "alice" });
    const other = browser.copy();
    const slow = await browser.begin();
    await rotate(other);
    slow.session.signIn("bob");
    await slow.end();
    expect(await browser.userId()).toBe("bob");
    expect(await other.userId()).toBe("alice");
  });
});
