import { describe, expect, it } from "vitest";
import { site } from "../../../test/support/stores.ts";
import type { Session } from "../../session.ts";
import { carry, type Carried, type NuxtEvent } from "./carried.ts";
import { replaceUserSession, setUserSession } from "./server.ts";

/** An event of Nuxt, with the session of its request. */
async function eventOf() {
  const { sessions } = site();
  const session = await sessions.open(new Request("http://localhost/"));
  const context = {};
  carry(context, { session: session as unknown as Session, req: {} } as Carried);
  return { event: { context } as NuxtEvent, session };
}

describe("setUserSession", () => {
  it("changes no prototype by a key `__proto__` of the given data, at any depth", async () => {
    const { event, session } = await eventOf();
    session.data["cart"] = {};
    for (const json of ['{"__proto__":{"polluted":1}}', '{"cart":{"__proto__":{"polluted":1}}}']) {
      await setUserSession(event, JSON.parse(json) as object);
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(session.data["cart"])).toBe(Object.prototype);
    await session.save();
    expect(JSON.stringify(session.toJSON())).toBe('{"cart":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}}');
  });

  it("shows another user nothing of the former one's data", async () => {
    const { event, session } = await eventOf();
    session.data["user"] = { card: "4242" };
    session.signIn("ada");
    await session.save();
    const { user } = (await setUserSession(event, { user: { id: "bob" } })) as { user?: unknown };
    await session.save();
    expect([user, session.userId, session.toJSON()]).toEqual([{ id: "bob" }, "bob", { user: { id: "bob" } }]);
  });

  it("changes nothing where the options of the sign-in can't be used", async () => {
    const { event, session } = await eventOf();
    session.data["cart"] = 1;
    session.signIn("ada");
    const failing = setUserSession(event, { user: { id: "" } });
    await expect(failing).rejects.toThrow(TypeError);
    const alsoFailing = setUserSession(event, { user: { id: "bob" } }, { remember: "soon" as never });
    await expect(alsoFailing).rejects.toThrow(TypeError);
    expect([session.userId, session.toJSON()]).toEqual(["ada", { cart: 1 }]);
  });
});

describe("replaceUserSession", () => {
  it("changes nothing where the user has no id", async () => {
    const { event, session } = await eventOf();
    session.data["cart"] = 1;
    await expect(replaceUserSession(event, { user: {} })).rejects.toThrow("the user has no id");
    expect(session.toJSON()).toEqual({ cart: 1 });
  });
});
