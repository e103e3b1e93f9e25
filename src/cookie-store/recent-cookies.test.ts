import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { Browser, KEYS, START } from "../../test/support/stores.ts";
import type { SessionsOptions } from "../options.ts";
import { createSessions } from "../sessions.ts";
import { openEntry } from "./entry.ts";
import type { Decrypted } from "./pieces.ts";
import { RecentCookies } from "./recent-cookies.ts";
import { cookieStore } from "./store.ts";

type Data = Record<string, unknown>;

const ID = "AAAAAAAAAAAAAAAAAAAAAA";
const BYTES = 2560;

const decrypted = (): Decrypted => ({ id: ID, plain: Buffer.alloc(BYTES, 1), byPreviousKey: false });

/** Counts the decryptions, which succeed for cookies that begin with "good". */
function counted() {
  const recent = new RecentCookies();
  let count = 0;
  const decrypt = (joined: string) => {
    count += 1;
    return joined.startsWith("good") ? decrypted() : undefined;
  };
  const find = (joined: string) => recent.find(joined, () => decrypt(joined), openEntry);
  return { recent, find, decryptionsOf: (joined: string) => ((count = 0), find(joined), count) };
}

describe("RecentCookies", () => {
  it("decrypts cookies once", () => {
    const { find, decryptionsOf } = counted();
    const first = find("good");
    expect(first?.entry.token.id).toBe(ID);
    expect(decryptionsOf("good")).toBe(0);
    expect(find("good")).toEqual(first);
  });

  it("decrypts cookies that are not authentic each time", () => {
    const { decryptionsOf } = counted();
    expect(decryptionsOf("bad")).toBe(1);
    expect(decryptionsOf("bad")).toBe(1);
  });

  it("knows the cookies that were made", () => {
    const { recent, find, decryptionsOf } = counted();
    recent.remember("made", decrypted());
    expect(decryptionsOf("made")).toBe(0);
    expect(find("made")?.presented.tokenByPreviousKey).toBe(false);
  });

  it("takes no cookies for others", () => {
    const { find, decryptionsOf } = counted();
    find("good");
    for (const other of ["goo", "good ", "Good", "good\0", "gooe", ""]) expect(decryptionsOf(other)).toBe(1);
  });

  it("keeps four megabytes of sessions, those in use among many others too, and at most twice as much", () => {
    const { recent, find, decryptionsOf } = counted();
    // 4 KB each, with what a session takes beside its bytes.
    const capacity = 2 ** 22 / 2 ** 12;
    for (let i = 0; i < capacity; i += 1) find(`good ${i}`);
    for (let i = 0; i < capacity; i += 1) expect(decryptionsOf(`good ${i}`)).toBe(0);
    for (let i = capacity; i < 5 * capacity; i += 1) {
      if (i % 2 === 0) find(`good ${i}`);
      else recent.remember(`good ${i}`, decrypted());
      if (i % 100 === 0) expect(decryptionsOf("good 0"), `after ${i}`).toBe(0);
    }
    const all = Array.from({ length: 5 * capacity }, (_, i) => 5 * capacity - 1 - i);
    const known = all.filter((i) => decryptionsOf(`good ${i}`) === 0);
    expect(known.length).toBeLessThanOrEqual(2 * capacity);
  });
});

/** An application with its sessions in cookies, and a browser. */
function application(options: Partial<SessionsOptions> = {}) {
  const time = { now: START };
  const settings = { secretKey: KEYS[0], clock: () => time.now, store: cookieStore(), ...options };
  const sessions = createSessions<Data>(settings);
  const browser = new Browser<Data>(sessions);
  /** Gives a cookie of another browser to this one. */
  const present = (jar: ReadonlyMap<string, string>) => {
    browser.jar.clear();
    for (const [name, value] of jar) browser.jar.set(name, value);
    return browser.data();
  };
  return { time, sessions, browser, present };
}

describe("A session in cookies that the process knows", () => {
  it("is not shared by requests: what one changes, no other sees before it is stored", async () => {
    const { browser } = application();
    await browser.visit((session) => {
      session.data["cart"] = { items: ["tea"], since: new Date(5), seen: new Set([1]) };
      session.flash("info", { text: "Welcome" });
    });
    const before = await browser.data();
    const { session } = await browser.begin();
    const cart = session.data["cart"] as { items: string[]; since: Date; seen: Set<number> };
    cart.items.push("milk");
    cart.since.setTime(6);
    cart.seen.add(2);
    const [shown] = session.takeFlashes();
    (shown!.message as { text: string }).text = "changed";
    expect(await browser.data()).toEqual(before);
    const { session: other } = await browser.begin();
    expect(other.takeFlashes()).toEqual([{ category: "info", message: { text: "Welcome" } }]);
  });

  it("is not believed with another byte in any place, and is with the right ones", async () => {
    const { browser, present } = application();
    await browser.visit((session) => (session.data["text"] = "x".repeat(3000)));
    const jar = new Map(browser.jar);
    expect(await present(jar)).toEqual({ text: "x".repeat(3000) });
    for (const [name, value] of jar) {
      for (let at = 0; at < value.length; at += at < 100 ? 1 : 97) {
        const other = value[at] === "A" ? "B" : "A";
        const changed = value.slice(0, at) + other + value.slice(at + 1);
        expect(await present(new Map(jar).set(name, changed)), `${name} at ${at}`).toEqual({});
      }
      expect(await present(new Map(jar).set(name, value.slice(0, -1))), `${name} without its end`).toEqual({});
      expect(await present(new Map(jar).set(name, `${value}A`)), `${name} with more`).toEqual({});
      expect(await present(new Map(jar).set(name, `${value}=`)), `${name} with padding`).toEqual({});
    }
    expect(await present(jar)).toEqual({ text: "x".repeat(3000) });
  });

  it("is not believed by an application of another key or another cookie's name, from the same store", async () => {
    const store = cookieStore();
    const { browser, present } = application({ store });
    await browser.visit((session) => (session.data["n"] = 1));
    expect(await present(new Map(browser.jar))).toEqual({ n: 1 });
    const [value] = browser.jar.values();
    expect(await application({ store, secretKey: KEYS[1] }).present(browser.jar)).toEqual({});
    const other = application({ store, cookie: { name: "other" } });
    expect(await other.present(new Map([["__Host-other", value!]]))).toEqual({});
  });

  it("is encrypted by the current key, however often a previous one's cookie has been read", async () => {
    const { browser } = application();
    await browser.visit((session) => (session.data["n"] = 1));
    const rotated = application({ secretKey: [KEYS[1], KEYS[0]] });
    const jar = new Map(browser.jar);
    for (let i = 0; i < 3; i += 1) {
      expect(await rotated.present(jar)).toEqual({ n: 1 });
      await rotated.browser.visit((session) => void session.data["n"]);
      const renewed = new Map(rotated.browser.jar);
      expect(renewed).not.toEqual(jar);
      expect(await application({ secretKey: KEYS[1] }).present(renewed)).toEqual({ n: 1 });
    }
    expect(await application({ secretKey: KEYS[1] }).present(jar)).toEqual({});
  });

  it("ends at its time all the same", async () => {
    const { browser, present, time } = application({ idleTimeout: "30m" });
    await browser.visit((session) => (session.data["n"] = 1));
    const jar = new Map(browser.jar);
    expect(await present(jar)).toEqual({ n: 1 });
    time.now += 30 * 60_000;
    expect(await present(jar)).toEqual({});
  });
});
