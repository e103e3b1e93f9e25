import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { wasmSqlite } from "../../test/support/sqlite-wasm.ts";
import { KEYS, site } from "../../test/support/stores.ts";
import { bearerTokens } from "../adapters/bearer.ts";
import { withSession } from "../adapters/fetch.ts";
import { cookieStore } from "../cookie-store/store.ts";
import type { CookieOptions } from "../request/cookie.ts";
import { createSessions, type Sessions } from "../sessions.ts";
import type { SessionStore } from "../store.ts";
import { fileStore } from "../stores/file/store.ts";
import { memoryStore } from "../stores/memory.ts";
import { sqliteStore } from "../stores/sqlite/store.ts";
import { cookieFor, sessionFor, testClock, tokenFor } from "./application.ts";

interface Data {
  cart?: string[];
}

describe("cookieFor", () => {
  it.each<[string, CookieOptions]>([
    ["by default", {}],
    ["with a name and a domain", { name: "shop", domain: "shop.example" }],
    ["if every request uses HTTPS", { secure: true }],
    ["if no request uses HTTPS", { secure: false }],
  ])("gives a cookie that signs its user in, over HTTPS and over HTTP: %s", async (_, cookie) => {
    const { sessions } = site<Data>({ cookie });
    const header = await cookieFor(sessions, "ada", { data: { cart: ["tea"] } });
    for (const url of ["http://shop.example/", "https://shop.example/"]) {
      const session = await sessions.open(new Request(url, { headers: { cookie: header } }));
      expect(session.userId).toBe("ada");
      expect(session.data).toEqual({ cart: ["tea"] });
    }
  });

  it("gives every cookie of a session that cookieStore keeps in several", async () => {
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store: cookieStore() });
    const cart = ["x".repeat(6000)];
    const header = await cookieFor(sessions, "ada", { data: { cart } });
    for (const url of ["http://shop.example/", "https://shop.example/"]) {
      const session = await sessions.open(new Request(url, { headers: { cookie: header } }));
      expect(session.data).toEqual({ cart });
    }
    expect((await sessionFor(sessions, header)).userId).toBe("ada");
  });

  it("gives each client a session of its own", async () => {
    const { sessions } = site<Data>();
    await cookieFor(sessions, "ada");
    await cookieFor(sessions, "ada", { signIn: { note: "phone" } });
    const notes = (await sessions.list("ada")).map(({ note }) => note);
    expect(notes).toHaveLength(2);
    expect(notes).toContain("phone");
  });

  it("gives the cookie of a visitor who has data", async () => {
    const { sessions } = site<Data>();
    const session = await sessionFor(sessions, await cookieFor(sessions, null, { data: { cart: ["tea"] } }));
    expect(session.userId).toBeUndefined();
    expect(session.data.cart).toEqual(["tea"]);
  });

  it.each<[string, unknown[], string]>([
    ["a user id that is undefined", [undefined], "signIn(userId) takes the user's id"],
    ["a visitor without data", [null], "cookieFor: a visitor without data has no session"],
    ["data in place of the options", ["ada", { cart: [] }], 'cookieFor has no option "cart"'],
  ])("refuses %s", async (_, args, message) => {
    const call = cookieFor as (...given: unknown[]) => Promise<string>;
    await expect(call(site().sessions, ...args)).rejects.toThrow(message);
  });
});

describe("tokenFor", () => {
  const whoIs = (sessions: Sessions<Data>, headers: Record<string, string>) =>
    withSession(sessions, (_, session) => Response.json([session.userId, session.data.cart]), {
      bearer: bearerTokens(),
    })(new Request("https://shop.example/", { headers }));

  it("gives a token that signs its user in by the header, and by no cookie", async () => {
    const { sessions } = site<Data>();
    const token = await tokenFor(sessions, "ada", { data: { cart: ["tea"] }, signIn: { note: "phone" } });
    const response = await whoIs(sessions, { authorization: `Bearer ${token}` });
    expect(await response.json()).toEqual(["ada", ["tea"]]);
    expect((await sessions.list("ada")).map(({ note }) => note)).toEqual(["phone"]);
    expect((await sessionFor(sessions, `__Host-session=${token}`)).userId).toBeUndefined();
  });

  it("gives the token of a visitor who has data", async () => {
    const { sessions } = site<Data>();
    const token = await tokenFor(sessions, null, { data: { cart: ["tea"] } });
    const response = await whoIs(sessions, { authorization: `Bearer ${token}` });
    expect(await response.json()).toEqual([null, ["tea"]]);
  });

  it.each<[string, SessionStore, unknown[], string]>([
    ["a user id that is undefined", memoryStore(), [undefined], "signIn(userId) takes the user's id"],
    ["a visitor without data", memoryStore(), [null], "tokenFor: a visitor without data has no session"],
    ["data in place of the options", memoryStore(), ["ada", { cart: [] }], 'tokenFor has no option "cart"'],
    ["cookieStore", cookieStore(), ["ada"], "tokenFor() needs the sessions on a server"],
  ])("refuses %s", async (_, store, args, message) => {
    const call = tokenFor as (...given: unknown[]) => Promise<string>;
    await expect(call(createSessions({ secretKey: KEYS[0], store }), ...args)).rejects.toThrow(message);
  });
});

describe("sessionFor", () => {
  it.each(["http://shop.example/", "https://shop.example/"])(
    "reads the session that a response of %s began, by its Set-Cookie",
    async (url) => {
      const { sessions } = site<Data>();
      const session = await sessions.open(new Request(url));
      session.data.cart = ["tea"];
      session.signIn("ada");
      const { headers } = await sessions.commit(session, new Response());
      headers.append("Set-Cookie", "theme=dark; Path=/");
      for (const cookie of [headers.getSetCookie(), headers.getSetCookie()[0]!]) {
        const read = await sessionFor(sessions, cookie);
        expect(read.userId).toBe("ada");
        expect(read.data.cart).toEqual(["tea"]);
      }
    },
  );

  it("does not extend the session", async () => {
    const shop = site<Data>();
    const cookie = await cookieFor(shop.sessions, "ada");
    shop.time.now += 3_600_000;
    const { touch } = shop.store.calls;
    await sessionFor(shop.sessions, cookie);
    expect(shop.store.calls.touch).toBe(touch);
  });

  it("gives an empty session after a sign-out", async () => {
    const { sessions } = site<Data>();
    const cookie = await cookieFor(sessions, "ada");
    await sessions.revokeAll("ada");
    expect((await sessionFor(sessions, cookie)).userId).toBeUndefined();
  });

  it("refuses what is no cookie", async () => {
    await expect(sessionFor(site().sessions, undefined as never)).rejects.toThrow(
      "sessionFor(sessions, cookie) takes a Cookie header or a list of Set-Cookie values, not undefined",
    );
  });
});

describe("testClock", () => {
  it("ends a session when its idle timeout has passed, and not before", async () => {
    const { clock, advance } = testClock();
    const { sessions } = site<Data>({ clock, store: memoryStore({ clock }), idleTimeout: "30m" });
    const cookie = await cookieFor(sessions, "ada");
    advance("29m");
    expect((await sessionFor(sessions, cookie)).userId).toBe("ada");
    advance("2m");
    expect((await sessionFor(sessions, cookie)).userId).toBeUndefined();
  });

  it("stands still otherwise", () => {
    const { clock, advance } = testClock(1000);
    expect(clock()).toBe(1000);
    advance("5s");
    expect(clock()).toBe(6000);
    expect(() => advance(5 as never)).toThrow('advance: 5 has no unit; write "5s"');
  });
});

describe("fake timers", () => {
  afterEach(() => void vi.useRealTimers());

  const stores: [string, () => SessionStore][] = [
    ["memoryStore", () => memoryStore()],
    [
      "fileStore",
      () => {
        const directory = mkdtempSync(join(tmpdir(), "sojourn-fake-timers-"));
        onTestFinished(() => rmSync(directory, { recursive: true }));
        return fileStore(directory);
      },
    ],
    ["sqliteStore", () => sqliteStore(wasmSqlite())],
  ];

  it.each(stores)("that begin after a store was created move its clock: %s", async (_, create) => {
    const store = create();
    onTestFinished(() => store.close?.());
    const sessions = createSessions<Data>({ secretKey: KEYS[0], store, idleTimeout: "30m" });
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2020-01-01") });
    const cookie = await cookieFor(sessions, "ada");
    vi.setSystemTime(new Date("2020-01-01T00:29:00"));
    expect((await sessionFor(sessions, cookie)).userId).toBe("ada");
    vi.setSystemTime(new Date("2020-01-01T00:31:00"));
    expect((await sessionFor(sessions, cookie)).userId).toBeUndefined();
  });
});
