import { describe, expect, it } from "vitest";
import { Browser, gated, KEYS, START } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

/** A browser that alice has signed in with. The calls of the revocations can be stopped. */
async function signedIn({ hasList = false } = {}) {
  const time = { now: START };
  const clock = () => time.now;
  const revocations = gated(memoryStore({ clock }));
  const store = cookieStore({ revocations });
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock, store, storeTimeout: "1m" });
  const browser = new Browser<Data>(sessions);
  await browser.visit((session) => session.signIn("alice"));
  if (hasList) await browser.visit((session) => session.rotate());
  return { time, revocations, sessions, browser };
}

describe("revokeAll of cookieStore with revocations", () => {
  for (const hasList of [false, true])
    for (const [when, operation] of [
      ["before it reads", "read"],
      ["before it writes", hasList ? "update" : "create"],
    ] as const)
      it(`ends the session that signs in again ${when} ${hasList ? "a" : "the first"} list`, async () => {
        const { time, revocations, sessions, browser } = await signedIn({ hasList });
        const held = revocations.hold(operation);
        const revoking = sessions.revokeAll("alice");
        await held.arrived;
        time.now += 10;
        await browser.visit((session) => session.signIn("alice"));
        held.letGo();
        time.now += 10;
        await revoking;
        expect(await browser.userId()).toBeUndefined();
      });

  it("drops a sign-in as the same user whose former session it has ended meanwhile", async () => {
    const { time, revocations, sessions, browser } = await signedIn();
    const slow = await browser.begin();
    slow.session.signIn("alice");
    const held = revocations.hold("create");
    const signingIn = slow.end();
    await held.arrived;
    time.now += 10;
    await sessions.revokeAll("alice");
    held.letGo();
    await signingIn;
    expect(await browser.userId()).toBeUndefined();
  });

  it("leaves alone a session that begins afterwards", async () => {
    const { sessions, browser } = await signedIn();
    await sessions.revokeAll("alice");
    await browser.visit((session) => session.signIn("alice"));
    expect(await browser.userId()).toBe("alice");
  });
});
