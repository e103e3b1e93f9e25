import { describe, expect, it, vi } from "vitest";
import { expressStore } from "./express-session/express-store.ts";
import { KEYS } from "../test/support/stores.ts";
import { resolveOptions, type SessionsOptions } from "./options.ts";
import { memoryStore } from "./stores/memory.ts";

const good = { secretKey: KEYS[0], store: memoryStore() };
const settled = (options: object = {}) => resolveOptions({ ...good, ...options });
const refusal = (options: unknown) => () => resolveOptions(options as SessionsOptions);
const refusalWith = (options: object) => refusal({ ...good, ...options });

describe("resolveOptions", () => {
  it("reads the time by Date.now as it is at that moment, so that fake timers move it", () => {
    const { now } = settled();
    vi.useFakeTimers({ now: 12_345 });
    try {
      expect(now()).toBe(12_345);
    } finally {
      vi.useRealTimers();
    }
  });

  it("has the documented defaults", () => {
    const { timeouts, storeTimeout, limits, trustProxy, now, cookie } = settled();
    expect(timeouts).toEqual({ idle: 86_400_000, absolute: 30 * 86_400_000, touchInterval: 300_000 });
    expect(storeTimeout).toBe(2000);
    expect(limits).toEqual({ bytes: 262_144, depth: 32 });
    expect(trustProxy).toBe(false);
    expect(now()).toBeTypeOf("number");
    expect(cookie.baseName).toBe("session");
  });

  it("treats undefined like an option that was left out", () => {
    const names = [
      "idleTimeout",
      "absoluteTimeout",
      "touchInterval",
      "cookie",
      "trustProxy",
      "storeTimeout",
      "limits",
      "clock",
    ];
    const { timeouts, limits, storeTimeout } = settled(Object.fromEntries(names.map((name) => [name, undefined])));
    expect({ timeouts, limits, storeTimeout }).toMatchObject({ limits: { depth: 32 }, storeTimeout: 2000 });
    expect(timeouts).toEqual(settled().timeouts);
    expect(settled({ limits: { bytes: undefined, depth: 2 } }).limits).toEqual({ bytes: 262_144, depth: 2 });
  });

  it("touches at a tenth of a short idle timeout", () => {
    expect(settled({ idleTimeout: "10m" }).timeouts.touchInterval).toBe(60_000);
    expect(settled({ idleTimeout: "50m" }).timeouts.touchInterval).toBe(300_000);
    expect(settled({ idleTimeout: "2h" }).timeouts.touchInterval).toBe(300_000);
  });

  it("accepts an idle timeout as long as the absolute one", () => {
    expect(settled({ idleTimeout: "1h", absoluteTimeout: "1h" }).timeouts).toMatchObject({
      idle: 3_600_000,
      absolute: 3_600_000,
    });
  });

  it.each<[string, object, RegExp]>([
    [
      "an idle timeout longer than the absolute one",
      { idleTimeout: "2d", absoluteTimeout: "1d" },
      /idleTimeout is longer/,
    ],
    ["an absolute timeout shorter than the default idle one", { absoluteTimeout: "1h" }, /idleTimeout is longer/],
    ["a touch interval that never comes", { idleTimeout: "1m", touchInterval: "1m" }, /touchInterval must be shorter/],
    ["a lifetime no cookie has", { absoluteTimeout: "401d" }, /400 days/],
    ["a store timeout of nothing", { storeTimeout: 0 }, /^storeTimeout: /],
    ["a store timeout that no timer can hold", { storeTimeout: "25d" }, /storeTimeout is longer than a timer/],
    ["a bad duration", { idleTimeout: "soon" }, /^idleTimeout: soon/],
    ["trustProxy in words", { trustProxy: "loopback" }, /trustProxy must be true or false/],
    ["trustProxy as a number", { trustProxy: 1 }, /trustProxy must be true or false/],
    ["a clock that stands", { clock: 5 }, /clock must be a function/],
    ["no room", { limits: { bytes: 0 } }, /limits\.bytes must be a positive/],
    ["half a level", { limits: { depth: 1.5 } }, /limits\.depth must be a positive/],
    ["limits without end", { limits: { bytes: Infinity } }, /limits\.bytes must be a positive/],
    ["a limit in words", { limits: { bytes: "1mb" } }, /limits\.bytes must be a positive/],
    [
      "an unknown option",
      { maxAge: 1 },
      /createSessions has no option "maxAge": idleTimeout.* Otherwise use any of secretKey, store/,
    ],
    ["an unknown option of the cookie", { cookie: { maxAge: 1 } }, /cookie has no option "maxAge"/],
    ["httpOnly, which can't be had otherwise", { cookie: { httpOnly: false } }, /cookie has no option "httpOnly"/],
    ["an unknown limit", { limits: { size: 1 } }, /limits has no option "size"/],
    [
      "a limit of a user's sessions that is none",
      { maxPerUser: null },
      /maxPerUser takes a number, or an object.*null/,
    ],
    ["a BigInt for it", { maxPerUser: 5n }, /maxPerUser takes a number.*not 5/],
    ["a text for it", { maxPerUser: "5" }, /maxPerUser takes a number.*not "5"/],
    ["an unknown option of it", { maxPerUser: { session: 1 } }, /maxPerUser has no option "session"/],
    ["a cookie that is none", { cookie: null }, /cookie takes an object/],
    ["limits that are none", { limits: 5 }, /limits takes an object/],
    ["no store", { store: undefined }, /store is missing.*fileStore/],
    ["null for a store", { store: null }, /store is missing/],
    ["a store's function", { store: memoryStore }, /store must be called: fileStore\(\)/],
    ["an address for a store", { store: "redis://localhost" }, /store is a text.*openStore/],
    ["a promise of a store", { store: Promise.resolve(memoryStore()) }, /store is a promise: await it/],
    ["a pool of connections for a store", { store: { query() {}, connect() {} } }, /postgresStore\(pool\)/],
    ["a database with query for a store", { store: { prepare() {}, exec() {}, query() {} } }, /sqliteStore/],
    ["a connection with prepare for a store", { store: { prepare() {}, query() {} } }, /mysqlStore\(pool\)/],
    ["a database for a store", { store: { prepare() {}, exec() {} } }, /sqliteStore\(database\)/],
    ["no secret key", { secretKey: undefined }, /secretKey is missing.*npx sojourn keygen/],
  ])("refuses %s", (_, options, message) => {
    expect(refusalWith(options)).toThrow(TypeError);
    expect(refusalWith(options)).toThrow(message);
  });

  it("refuses to begin without options", () => {
    for (const none of [undefined, null, 5]) expect(refusal(none)).toThrow(/createSessions takes an object/);
  });

  it("names the wrapper of a store of express-session", () => {
    const store = { get() {}, set() {}, destroy() {} };
    expect(refusalWith({ store: store as never })).toThrow("wrap it by expressStore(store)");
  });

  it("takes no client of Redis for a store of express-session", () => {
    const client = { get() {}, set() {}, destroy() {}, sendCommand() {}, subscribe() {} };
    expect(refusalWith({ store: client as never })).toThrow("give redisStore(client)");
    expect(() => expressStore(client)).toThrow("give redisStore(client)");
  });

  it("names every method that a store lacks", () => {
    const { read, create } = memoryStore();
    expect(refusalWith({ store: { read, create } })).toThrow("store lacks update, touch, delete");
    expect(refusalWith({ store: { ...memoryStore(), touch: true } })).toThrow("store lacks touch");
  });

  it("does not repeat a secret key in any refusal", () => {
    const key = "password-of-the-shop-7781-abcdefgh";
    for (const options of [{ secretKey: key }, { secretKey: [KEYS[0], key] }, { secretKey: { [key]: key } }]) {
      try {
        refusalWith(options)();
        expect.unreachable();
      } catch (error) {
        expect((error as Error).stack).not.toContain("7781");
      }
    }
  });
});
