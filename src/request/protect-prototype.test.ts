import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { KEYS, site } from "../../test/support/stores.ts";
import type { SessionsOptions } from "../options.ts";

/** Runs code like CommonJS without "use strict", where a write to a frozen object is ignored in silence. */
const sloppy = (code: string): ((session: object) => unknown) =>
  // oxlint-disable-next-line typescript/no-implied-eval -- modules are always strict
  new Function("session", code) as (session: object) => unknown;

const METHODS = ["pop", "update", "flash", "takeFlashes", "signIn", "signedInWithin", "signOut", "rotate", "save"];
const GETTERS = ["data", "id", "isNew", "userId", "createdAt", "signedInAt", "expiresAt", "signal", "isLoaded"];

async function twoVisitors() {
  const shop = site();
  const [alice, bob] = [await shop.browser().begin(), await shop.browser().begin()];
  return { alice: alice.session, bob: bob.session };
}

describe("a session", () => {
  it("refuses the writes of connect-flash and express-flash, and shows no visitor another's messages", async () => {
    const { alice, bob } = await twoVisitors();
    const connectFlash = sloppy(`
      var messages = session.flash = session.flash || {};
      return (messages.info = messages.info || []).push("SECRET");
    `);
    expect(() => connectFlash(alice)).toThrow(/session\.flash is a method: session\.flash\("info"/);
    expect(() => sloppy(`session.flash.info = ["SECRET"]`)(alice)).toThrow(/session\.flash\(category, message\)/);
    expect((bob.flash as unknown as { info?: unknown }).info).toBeUndefined();
    expect(bob.takeFlashes()).toEqual([]);
  });

  it.each([...METHODS, ...GETTERS, "load", "reload"])("refuses to have its %s replaced", async (name) => {
    const { alice } = await twoVisitors();
    expect(() => sloppy(`session.${name} = 1`)(alice)).toThrow(TypeError);
    expect(() => sloppy(`session.${name} = 1`)(alice)).toThrow(/session\.(data|flash)/);
  });

  it.each(["user", "constructor", "toString", "__proto__", "then", "0"])(
    "refuses to have a property %s set, and says where data belong",
    async (name) => {
      const { alice, bob } = await twoVisitors();
      expect(() => sloppy(`session["${name}"] = { secret: 1 }`)(alice)).toThrow(/set session\.data\./);
      expect(bob).not.toHaveProperty("secret");
      expect(Object.hasOwn(alice, name)).toBe(false);
    },
  );

  it("refuses it for a symbol, and where the session is frozen", async () => {
    const { alice } = await twoVisitors();
    expect(() => Reflect.set(Object.freeze(alice), Symbol("mine"), 1)).toThrow(TypeError);
  });

  it.each([...METHODS, "load", "reload"])(
    "shares no property of its method %s with another request",
    async (method) => {
      const { alice, bob } = await twoVisitors();
      for (const name of ["secret", "name", "length", "call", "prototype", "__proto__"]) {
        expect(() => sloppy(`session.${method}.${name} = "secret"`)(alice)).toThrow(TypeError);
        expect(Reflect.get(Reflect.get(bob, method) as object, name)).not.toBe("secret");
      }
      const shared = Reflect.get(alice, method) as object;
      expect(Reflect.defineProperty(shared, "secret", { value: 1 })).toBe(false);
      expect(Reflect.setPrototypeOf(shared, { secret: 1 })).toBe(false);
    },
  );

  it("shares nothing that can be written to through its prototypes", async () => {
    const { alice } = await twoVisitors();
    for (let at = Object.getPrototypeOf(alice) as object; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      expect(() => sloppy("session.secret = 1")(at)).toThrow(TypeError);
      expect(Reflect.defineProperty(at, "secret", { value: 1 })).toBe(false);
      expect(Reflect.setPrototypeOf(at, null)).toBe(false);
      if (Object.hasOwn(at, "flash")) expect(Reflect.deleteProperty(at, "flash")).toBe(false);
    }
  });

  it("still works as an object: methods, printing, comparing, being awaited", async () => {
    const { alice } = await twoVisitors();
    expect(alice.flash.name).toBe("flash");
    alice.flash.call(alice, "info", "called");
    expect(alice.takeFlashes.apply(alice, [])).toEqual([{ category: "info", message: "called" }]);
    expect(inspect(alice)).toContain("Session");
    expect(Object.prototype.toString.call(alice)).toBe("[object Session]");
    expect(await Promise.resolve(alice)).toBe(alice);
    alice.passive = true;
    expect(alice.passive).toBe(true);
    expect((alice as unknown as { nothing?: unknown }).nothing).toBeUndefined();
  });
});

describe("objects that createSessions gets and returns", () => {
  it("uses the options as they were at the call", async () => {
    const options = {
      secretKey: [...KEYS],
      cookie: { name: "mine" },
      limits: { bytes: 1000 },
      rotation: { every: "10m" as const },
    };
    const shop = site(options as Partial<SessionsOptions>);
    options.cookie.name = "changed";
    options.limits.bytes = 1;
    options.secretKey.length = 0;
    const browser = shop.browser();
    await browser.visit((session) => (session.data["text"] = "x".repeat(100)));
    expect(Array.from(browser.jar.keys())).toEqual(["__Host-mine"]);
    expect(await browser.data()).toEqual({ text: "x".repeat(100) });
  });

  it("lists a user's sessions in objects of the caller's own", async () => {
    const client = { userAgent: "Firefox" };
    const shop = site({ client: () => client });
    await shop.browser().visit((session) => session.signIn("ada"));
    const [mine] = await shop.sessions.list("ada");
    Object.assign(mine!, { userId: "changed" });
    Object.assign(mine!.client!, { userAgent: "changed" });
    expect(await shop.sessions.list("ada")).toMatchObject([{ userId: "ada", client: { userAgent: "Firefox" } }]);
    expect(client).toEqual({ userAgent: "Firefox" });
  });

  it("gives each request data, flashes and their messages of its own", async () => {
    const browser = site().browser();
    await browser.visit((session) => {
      session.data["cart"] = { items: ["tea"] };
      session.flash("info", { text: "Saved." });
    });
    const [one, other] = [await browser.begin(), await browser.begin()];
    (one.session.data["cart"] as { items: string[] }).items.push("milk");
    (one.session.takeFlashes()[0]!.message as { text: string }).text = "changed";
    expect(other.session.data).toEqual({ cart: { items: ["tea"] } });
    expect(other.session.takeFlashes()).toEqual([{ category: "info", message: { text: "Saved." } }]);
  });
});
