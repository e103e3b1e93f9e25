import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import type { Session } from "../session.ts";
import { createSessions, type Sessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { faulty, type Fault } from "../testing/faulty.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

type Step = (session: Session<Data>, sessions: Sessions<Data>) => unknown;

const NEW_TOKENS: Record<string, Step> = {
  "rotate()": (session) => session.rotate(),
  "a sign-in as the same user": (session) => session.signIn("alice"),
  "a sign-in as another user": (session) => session.signIn("bob"),
  "credentialsChanged()": (session, sessions) => sessions.credentialsChanged(session),
};

/** A browser that alice has signed in with, and revocations of which one call fails on demand. */
async function signedIn(list: "first" | "further", wrap: (store: SessionStore) => SessionStore = (store) => store) {
  const clock = () => START;
  const armed: { fault: Fault } = { fault: "ok" };
  const next = () => {
    const { fault } = armed;
    armed.fault = "ok";
    return fault;
  };
  const revocations = wrap(faulty(memoryStore({ clock }), { create: next, update: next }));
  const store = cookieStore({ revocations });
  const server = () => createSessions<Data>({ secretKey: KEYS[0], clock, store, storeTimeout: "1s" });
  const sessions = server();
  const signedOut: unknown[] = [];
  sessions.on("signedOut", (event) => signedOut.push(event));
  const browser = new Browser<Data>(sessions);
  await browser.visit((session) => {
    session.data["n"] = 1;
    session.signIn("alice");
  });
  if (list === "further") await browser.visit((session) => session.rotate());
  return { armed, sessions, server, browser, signedOut };
}

/** A request whose handler does one step. The error that it fails with has a response, too. */
async function fail(browser: Browser<Data>, step: (session: Session<Data>) => unknown): Promise<void> {
  const { session, end } = await browser.begin();
  await expect(
    (async () => {
      await step(session);
      await end();
    })(),
  ).rejects.toMatchObject({ code: "ERR_SESSION_STORE", status: 503 });
  await end(new Response("sorry", { status: 503 }));
}

describe("Revocations of which one is stored although the store reports an error", () => {
  for (const list of ["first", "further"] as const)
    for (const [what, step] of Object.entries(NEW_TOKENS))
      it(`leave the client of ${what} signed in, where it is the ${list} one of the user`, async () => {
        const { armed, browser, sessions } = await signedIn(list);
        const copy = browser.copy();
        armed.fault = "error-after";
        await fail(browser, (session) => step(session, sessions));
        expect(armed.fault).toBe("ok");
        for (const one of [browser, copy]) {
          expect(await one.userId()).toBe("alice");
          expect(await one.data()).toEqual({ n: 1 });
        }
        await browser.visit((session) => session.signOut());
        expect(await copy.userId()).toBeUndefined();
      });

  it("sign out, and tell it", async () => {
    const { armed, browser, signedOut } = await signedIn("first");
    const copy = browser.copy();
    armed.fault = "error-after";
    await browser.visit((session) => session.signOut());
    expect(armed.fault).toBe("ok");
    expect(browser.jar.size).toBe(0);
    expect(signedOut).toHaveLength(1);
    expect(await copy.userId()).toBeUndefined();
  });

  it("keep invalid what was invalid before", async () => {
    const { armed, browser } = await signedIn("first");
    const former = browser.copy();
    await browser.visit((session) => session.rotate());
    armed.fault = "error-after";
    await fail(browser, (session) => session.rotate());
    expect(await browser.userId()).toBe("alice");
    expect(await former.userId()).toBeUndefined();
  });

  for (const [what, step] of Object.entries(NEW_TOKENS))
    it(`end the session for good where another request signs out before ${what} fails`, async () => {
      let interrupt: (() => Promise<unknown>) | undefined;
      const { browser, sessions, server } = await signedIn("further", (store) => ({
        ...store,
        async update(...args) {
          const isStored = await store.update(...args);
          const meanwhile = interrupt;
          interrupt = undefined;
          if (!meanwhile) return isStored;
          await meanwhile();
          throw new Error("down");
        },
      }));
      const other = await browser.copy(server()).begin();
      const copy = browser.copy();
      interrupt = async () => {
        other.session.signOut();
        await other.end();
      };
      await fail(browser, (session) => step(session, sessions));
      expect(await browser.userId()).toBeUndefined();
      expect(await copy.userId()).toBeUndefined();
    });
});

describe("Revocations of which one is stored, and the answer is lost", () => {
  const steps: Record<string, Step> = { ...NEW_TOKENS, "a sign-out": (session) => session.signOut() };
  for (const [what, step] of Object.entries(steps))
    it(`leave the client of ${what} signed in`, async () => {
      const { armed, browser, sessions } = await signedIn("further");
      armed.fault = "lost-reply";
      await fail(browser, (session) => step(session, sessions));
      expect(await browser.userId()).toBe("alice");
      expect(await browser.data()).toEqual({ n: 1 });
    });
});

describe("Revocations of which one is not stored", () => {
  for (const [what, step] of Object.entries(NEW_TOKENS))
    it(`leave the client of ${what} signed in`, async () => {
      const { armed, browser, sessions } = await signedIn("further");
      armed.fault = "error";
      await fail(browser, (session) => step(session, sessions));
      expect(await browser.userId()).toBe("alice");
      expect(await browser.data()).toEqual({ n: 1 });
    });
});
