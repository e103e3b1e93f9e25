import { describe, expect, it } from "vitest";
import { KEYS, site } from "../../test/support/stores.ts";
import { afterStep, match, stepOf, type RotationStep } from "./rotation.ts";

const MINUTE = 60_000;
const policy = { every: 15 * MINUTE, grace: MINUTE };
const bytes = (text: string) => Buffer.from(text);

describe("match", () => {
  const record = {
    secretHash: bytes("current"),
    epoch: 3,
    rotation: { since: 1000, previous: bytes("previous"), next: bytes("next") },
  };
  const judged = (hash: string, now = 1000, epoch = 3, subject: Parameters<typeof match>[0] = record) =>
    match(subject, epoch, (other) => bytes(hash).equals(other), now, policy);

  it.each([
    ["current", 1000, "current"],
    ["next", 1000, "next"],
    ["previous", 1000 + MINUTE - 1, "previous"],
    ["previous", 1000 + MINUTE, "replayed"],
    ["older", 1000, "replayed"],
  ])("takes the secret %j at %i for %j", (hash, now, expected) => {
    expect(judged(hash, now)).toBe(expected);
  });

  it("takes a token of before a sign-in for superseded, however it was rotated", () => {
    expect(judged("older", 1000, 2)).toBe("superseded");
    expect(judged("previous", 1000, 2)).toBe("superseded");
  });

  it("takes an unknown secret for superseded where nothing was ever rotated", () => {
    expect(judged("other", 1000, 3, { secretHash: bytes("current"), epoch: 3 })).toBe("superseded");
  });
});

describe("stepOf", () => {
  const issued = 0;
  const due = 15 * MINUTE;
  const next = { since: 1, next: bytes("next") };

  it.each<[string, Parameters<typeof stepOf>, RotationStep]>([
    ["names a successor once the secret is old enough", ["current", undefined, issued, due, policy, true], "name"],
    ["waits until then", ["current", undefined, issued, due - 1, policy, true], "none"],
    ["counts from the last rotation", ["current", { since: 1 }, issued, due, policy, true], "none"],
    ["names nothing where rotation is off", ["current", undefined, issued, 99 * due, undefined, true], "none"],
    ["hands out what was named", ["current", next, issued, 99 * due, policy, true], "reissue"],
    [
      "hands out the current secret for the one before",
      ["previous", { since: 1 }, issued, due, policy, true],
      "reissue",
    ],
    ["confirms a successor that is seen, without a cookie too", ["next", next, issued, due, policy, false], "confirm"],
    ["hands out nothing without a cookie", ["current", next, issued, due, policy, false], "none"],
    ["names nothing without a cookie", ["current", undefined, issued, due, policy, false], "none"],
    [
      "hands out nothing for a secret that was rotated out meanwhile",
      ["replayed", next, issued, due, policy, true],
      "none",
    ],
  ])("%s", (_, args, expected) => {
    expect(stepOf(...args)).toBe(expected);
  });
});

describe("afterStep", () => {
  const current = bytes("current");
  const named = () => bytes("named");

  it("names a successor, and keeps the secret before in its grace", () => {
    const before = { since: 5, previous: bytes("before") };
    expect(afterStep("name", before, 0, 100, current, named)).toEqual({ ...before, next: bytes("named") });
    expect(afterStep("name", undefined, 7, 100, current, named)).toEqual({ since: 7, next: bytes("named") });
  });

  it("makes the current secret the one before, and begins its grace", () => {
    const before = { since: 5, next: bytes("next") };
    expect(afterStep("confirm", before, 0, 100, current, named)).toEqual({ since: 100, previous: current });
  });

  it("begins no grace in the past, by a clock that is behind the one that began the last", () => {
    expect(afterStep("confirm", { since: 500 }, 0, 100, current, named)).toEqual({ since: 500, previous: current });
  });
});

const rotating = { rotation: { every: "15m", grace: "1m" }, idleTimeout: "1d" } as const;

async function signedIn(options = {}) {
  const shop = site({ ...rotating, client: () => ({ userAgent: "tests" }), ...options });
  const browser = shop.browser();
  await browser.visit((session) => session.signIn("ada"));
  return { shop, browser };
}

describe("rotation", () => {
  it("hands out a new token when the old one is due, and the same one to every request that asks", async () => {
    const { shop, browser } = await signedIn();
    const before = browser.cookie;
    shop.time.now += 15 * MINUTE - 1;
    await browser.visit();
    expect(browser.cookie).toBe(before);

    shop.time.now += 1;
    const tabs = [browser.copy(), browser.copy(), browser.copy()];
    await Promise.all(tabs.map((tab) => tab.visit()));
    const cookies = new Set(tabs.map((tab) => tab.cookie));
    expect(cookies.size).toBe(1);
    expect(cookies.has(before)).toBe(false);
    expect(await tabs[0]!.userId()).toBe("ada");
  });

  it("heals a lost response: the old token hands out the same successor again", async () => {
    const { shop, browser } = await signedIn();
    shop.time.now += 15 * MINUTE;
    const lost = browser.copy();
    await lost.visit();
    shop.time.now += 60 * MINUTE;
    await browser.visit();
    expect(browser.cookie).toBe(lost.cookie);
    expect(await browser.userId()).toBe("ada");
  });

  it("lets the old token live until a grace after the new one was first seen, and gives it the new one", async () => {
    const { shop, browser } = await signedIn();
    shop.time.now += 15 * MINUTE;
    const slow = browser.copy();
    await browser.visit();
    await browser.visit();
    shop.time.now += MINUTE - 1;
    await slow.visit((session) => expect(session.userId).toBe("ada"));
    expect(slow.cookie).toBe(browser.cookie);
  });

  it("ends the session when a rotated-out token comes back after its grace, and says who brought it", async () => {
    const { shop, browser } = await signedIn();
    shop.time.now += 15 * MINUTE;
    const thief = browser.copy();
    await browser.visit();
    await browser.visit();
    shop.time.now += MINUTE;
    const replayed: unknown[] = [];
    shop.sessions.on("replayed", (event) => replayed.push(event));
    const answer = await thief.visit((session) => expect(session.userId).toBeUndefined());
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(await browser.userId()).toBeUndefined();
    expect(replayed).toEqual([
      {
        id: expect.any(String) as string,
        userId: "ada",
        client: { userAgent: "tests" },
        presentedBy: { userAgent: "tests" },
      },
    ]);
  });

  it("catches a thief who was first: the user's old token is then the replay", async () => {
    const { shop, browser } = await signedIn();
    const thief = browser.copy();
    shop.time.now += 15 * MINUTE;
    await thief.visit();
    await thief.visit();
    shop.time.now += MINUTE;
    expect(await browser.userId()).toBeUndefined();
    expect(await thief.userId()).toBeUndefined();
  });

  it("catches a token that is several rotations old", async () => {
    const { shop, browser } = await signedIn();
    const thief = browser.copy();
    for (let i = 0; i < 5; i++) {
      shop.time.now += 15 * MINUTE;
      await browser.visit();
      await browser.visit();
    }
    expect(await thief.userId()).toBeUndefined();
    expect(await browser.userId()).toBeUndefined();
  });

  it("goes on over a change of the secret key, even between handing out and first seeing", async () => {
    const { shop, browser } = await signedIn({ secretKey: KEYS[0] });
    shop.time.now += 15 * MINUTE;
    const lost = browser.copy();
    await lost.visit();
    const renewed = site({
      ...rotating,
      store: shop.backend,
      clock: () => shop.time.now,
      secretKey: [KEYS[1], KEYS[0]],
    });
    const after = browser.copy(renewed.sessions);
    await after.visit((session) => expect(session.userId).toBe("ada"));
    await after.visit((session) => expect(session.userId).toBe("ada"));
    expect(await lost.copy(renewed.sessions).userId()).toBe("ada");
  });

  it("keeps nothing of a rotation beyond a sign-in: tokens of before are anonymous and end nothing", async () => {
    const { shop, browser } = await signedIn();
    shop.time.now += 15 * MINUTE;
    const old = browser.copy();
    await browser.visit();
    await browser.visit((session) => session.signIn("ada"));
    shop.time.now += 5 * MINUTE;
    expect(await old.userId()).toBeUndefined();
    expect(await browser.userId()).toBe("ada");
  });
});
