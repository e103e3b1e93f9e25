import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import { createSessions } from "../sessions.ts";
import { memoryStore } from "../stores/memory.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;
type Jar = ReadonlyMap<string, string>;

const URL_OF_SHOP = "https://shop.example/";
const text = (length: number) => "x".repeat(length);

function application() {
  const time = { now: START };
  const sessions = createSessions<Data>({ secretKey: KEYS[0], clock: () => time.now, store: cookieStore() });
  return { time, sessions, browser: new Browser<Data>(sessions) };
}

/** The cookies of several versions of two sessions, with the label that each has in its data. */
async function versions() {
  const { sessions } = application();
  const jars = new Map<string, Jar>();
  for (const name of ["a", "b"]) {
    const browser = new Browser<Data>(sessions);
    for (const [version, length] of [8000, 8000, 3000, 5000, 10].entries()) {
      const label = `${name}${version}`;
      await browser.visit((session) => Object.assign(session.data, { label, text: text(length) }));
      jars.set(label, new Map(browser.jar));
    }
  }
  return { sessions, jars };
}

describe("Pieces of sessions in cookies, in any mixture", () => {
  it("give a session as it was once stored, of which all pieces are there, or none", async () => {
    const { sessions, jars } = await versions();
    const pieces = [...jars.values()].flatMap((jar) => [...jar]);
    const names = [...new Set(pieces.map(([name]) => name))];
    const values = pieces.map(([, value]) => value);
    const own = fc.constantFrom(...pieces);
    // Under another's name, cut off, or with another's tag.
    const forged = fc
      .tuple(fc.constantFrom(...names), fc.constantFrom(...values), fc.constantFrom(...values), fc.nat(30))
      .map(([name, one, other, at]): [string, string] => [name, one.slice(0, at) + other.slice(at)]);
    const whole = fc.constantFrom(...jars.values()).map((jar) => [...jar]);
    const header = fc
      .tuple(fc.array(fc.oneof(own, forged), { maxLength: 8 }), fc.option(whole, { nil: [] }))
      .chain(([some, all]) => fc.shuffledSubarray([...some, ...all], { minLength: some.length + all.length }));
    const seen = { live: 0, none: 0 };
    await fc.assert(
      fc.asyncProperty(header, async (pairs) => {
        const cookie = pairs.map((pair) => pair.join("=")).join("; ");
        const session = await sessions.open(new Request(URL_OF_SHOP, { headers: { cookie } }));
        const label = session.data["label"] as string | undefined;
        seen[label === undefined ? "none" : "live"] += 1;
        if (label === undefined) return session.isNew && Object.keys(session.data).length === 0;
        const present = new Set(pairs.map((pair) => pair.join("=")));
        return [...jars.get(label)!].every((pair) => present.has(pair.join("=")));
      }),
      { numRuns: 1500, seed: 14 },
    );
    expect(seen.live).toBeGreaterThan(100);
    expect(seen.none).toBeGreaterThan(100);
  });

  it("of two tabs' responses that arrive at once are anonymous, and the next session replaces them all", async () => {
    const { sessions, browser } = application();
    await browser.visit((session) => (session.data["text"] = text(7000)));
    const [one, two] = [browser.copy(), browser.copy()];
    await one.visit((session) => (session.data["one"] = 1));
    await two.visit((session) => (session.data["two"] = 2));
    const torn = new Browser<Data>(sessions);
    for (const [name, value] of one.jar) torn.jar.set(name, value);
    torn.jar.set("__Host-session.1", two.jar.get("__Host-session.1")!);
    expect(await torn.data()).toEqual({});
    await torn.visit((session) => (session.data["n"] = 1));
    expect([...torn.jar.keys()]).toEqual(["__Host-session"]);
    expect(await torn.data()).toEqual({ n: 1 });
  });
});

describe("Parallel requests of a session in cookies", () => {
  it("are not merged: the response that comes last wins", async () => {
    const { browser } = application();
    await browser.visit((session) => (session.data["cart"] = ["tea"]));
    const [first, second] = [await browser.begin(), await browser.begin()];
    (first.session.data["cart"] as string[]).push("milk");
    (second.session.data["cart"] as string[]).push("sugar");
    await first.end();
    await second.end();
    expect(await browser.data()).toEqual({ cart: ["tea", "sugar"] });
  });
});

describe("Clocks that differ, for a session in cookies", () => {
  it("neither fail nor lengthen it: a server whose clock is behind takes over what another has stored", async () => {
    const { browser, time } = application();
    time.now = START + 3_600_000;
    await browser.visit((session) => session.signIn("alice"));
    time.now = START;
    const expiresAt = async () => {
      const { session } = await browser.begin();
      return session.expiresAt;
    };
    const before = await expiresAt();
    expect(await browser.userId()).toBe("alice");
    await browser.visit((session) => (session.data["n"] = 1));
    expect(await browser.userId()).toBe("alice");
    expect(await expiresAt()).toBeLessThanOrEqual(before);
  });
});

describe("The revocations of two applications in one store", () => {
  it("are each application's own, where the cookies have different names", async () => {
    const revocations = memoryStore({ clock: () => START });
    const signedIn = async (name: string) => {
      const store = cookieStore({ revocations });
      const sessions = createSessions<Data>({ secretKey: KEYS[0], clock: () => START, cookie: { name }, store });
      const browser = new Browser<Data>(sessions);
      await browser.visit((session) => session.signIn("alice"));
      return { sessions, browser };
    };
    const [shop, forum] = [await signedIn("shop"), await signedIn("forum")];
    await shop.sessions.revokeAll("alice");
    expect(await shop.browser.userId()).toBeUndefined();
    expect(await forum.browser.userId()).toBe("alice");
  });
});
