import { describe, expect, it } from "vitest";
import { gated, site, type SiteOptions, type Underway } from "../../test/support/stores.ts";
import { memoryStore } from "../stores/memory.ts";

interface Data {
  cart?: { items: string[]; note?: string };
  log?: number[];
  votes?: Map<string, number>;
  seen?: Set<number>;
  nested?: { by: { name: Record<string, number> } };
  n?: number;
  account?: { owner: string; address: { street: string } };
  w?: object;
  role?: string;
  lang?: string;
  username?: string;
}

/** A browser whose session holds `data`. */
async function browserWith(data: Data, options: SiteOptions = {}) {
  const shop = site<Data>({ storeTimeout: "1m", ...options });
  const browser = shop.browser();
  await browser.visit((session) => void Object.assign(session.data, data));
  return { ...shop, browser };
}

const endAll = (requests: readonly Underway<Data>[]) => Promise.all(requests.map((request) => request.end()));

describe("Two requests of one session at the same time", () => {
  it("both keep the item that they put into a cart which neither of them found", async () => {
    const { browser } = await browserWith({ n: 0 });
    const requests = [await browser.begin(), await browser.begin()];
    for (const [i, { session }] of requests.entries()) {
      const cart = (session.data.cart ??= { items: [] });
      cart.items.push(`item ${i}`);
    }
    await endAll(requests);
    expect(await browser.data()).toEqual({ n: 0, cart: { items: ["item 0", "item 1"] } });
  });

  it("keep an update and an in-place change of what the update gave", async () => {
    const { browser } = await browserWith({ cart: { items: ["tea"] } });
    const [mine, other] = [await browser.begin(), await browser.begin()];
    mine.session.update("cart", (cart) => ({ ...cart, items: [...(cart?.items ?? []), "milk"] }));
    mine.session.data.cart!.note = "quick";
    other.session.update("cart", (cart) => ({ ...cart, items: [...(cart?.items ?? []), "sugar"] }));
    await endAll([other, mine]);
    expect(await browser.data()).toEqual({ cart: { items: ["tea", "sugar", "milk"], note: "quick" } });
  });
});

describe("Two hundred requests of one session at the same time", () => {
  const numbers = Array.from({ length: 200 }, (_, i) => i);

  it.each<[string, (data: Data, i: number) => unknown, (data: Data) => Iterable<number>]>([
    ["items appended to an array", (data, i) => data.log!.push(i), (data) => data.log!],
    ["keys set in a Map", (data, i) => data.votes!.set(`voter ${i}`, i), (data) => data.votes!.values()],
    ["members added to a Set", (data, i) => data.seen!.add(i), (data) => data.seen!],
    [
      "properties set in a nested object",
      (data, i) => (data.nested!.by.name[`name ${i}`] = i),
      (data) => Object.values(data.nested!.by.name),
    ],
  ])("keep all of their %s", async (_, change, numbersIn) => {
    const { browser } = await browserWith({
      log: [],
      votes: new Map(),
      seen: new Set(),
      nested: { by: { name: {} } },
    });
    const requests: Underway<Data>[] = [];
    for (const i of numbers) {
      const request = await browser.begin();
      change(request.session.data, i);
      requests.push(request);
    }
    await endAll(requests);
    expect([...numbersIn((await browser.data()) as Data)].toSorted((a, b) => a - b)).toEqual(numbers);
  });
});

describe("A handler", () => {
  it("goes on with the objects that it holds after save() has met another request's changes", async () => {
    const { browser } = await browserWith({ cart: { items: ["tea"] }, log: [1], votes: new Map(), seen: new Set() });
    const mine = await browser.begin();
    const { cart, log, votes, seen } = mine.session.data as Required<Data>;
    const { items } = cart;
    items.push("milk");
    await browser.visit(({ data }) => {
      data.cart!.items.push("sugar");
      data.log!.push(2);
      data.votes!.set("a", 1);
      data.seen!.add(1);
    });
    await mine.session.save();
    expect(cart).toEqual({ items: ["tea", "sugar", "milk"] });
    items.push("bread");
    log.push(3);
    votes.set("b", 2);
    seen.add(2);
    await mine.end();
    expect(await browser.data()).toEqual({
      cart: { items: ["tea", "sugar", "milk", "bread"] },
      log: [1, 2, 3],
      votes: new Map([["a", 1]]).set("b", 2),
      seen: new Set([1, 2]),
    });
  });

  it("goes on with an object that it holds and has changed while save() met another request's changes", async () => {
    const store = gated(memoryStore());
    const shop = site<Data>({ store, clock: Date.now });
    const browser = shop.browser();
    await browser.visit(({ data }) => void (data.cart = { items: ["tea"] }));
    const mine = await browser.begin();
    const { cart } = mine.session.data as Required<Data>;
    cart.items.push("milk");
    await browser.visit(({ data }) => void data.cart!.items.push("sugar"));
    const gate = store.hold("update");
    const saved = mine.session.save();
    await gate.arrived;
    cart.items.push("bread");
    gate.letGo();
    await saved;
    expect(cart).toEqual({ items: ["tea", "sugar", "milk", "bread"] });
    cart.items.push("jam");
    await mine.end();
    expect(await browser.data()).toEqual({ cart: { items: ["tea", "sugar", "milk", "bread", "jam"] } });
  });
});

describe("Another user's sign-in", () => {
  it("takes no object of before along that was put into an updated value", async () => {
    const browser = site<Data>().browser();
    await browser.visit((session) => {
      session.data.account = { owner: "secret", address: { street: "secret" } };
      session.data.w = {};
      session.signIn("ada");
    });
    await browser.visit((session) => {
      session.update("w", (draft: object = {}) => draft);
      (session.data.w as Record<string, unknown>)["from"] = session.data.account;
      session.signIn("bob");
    });
    expect(JSON.stringify(await browser.data())).not.toContain("secret");
  });

  it("removes what was read before from what this request has put elsewhere, at any depth", async () => {
    const { browser } = await browserWith({ account: { owner: "alice", address: { street: "1 Long Street" } } });
    await browser.visit((session) => session.signIn("alice"));
    await browser.visit((session) => {
      const { data } = session;
      data.w = { a: data.account, own: 1, list: [data.account!.address, 2], map: new Map([["k", data.account]]) };
      data.role = "user";
      session.signIn("bob");
      expect(data).toEqual({ role: "user", w: { own: 1, list: [2], map: new Map() } });
    });
    expect(await browser.data()).toEqual({ role: "user", w: { own: 1, list: [2], map: new Map() } });
  });

  it("gives the new user everything that this request has assigned, also what the former user had the same", async () => {
    const { browser } = await browserWith({ role: "user", lang: "en", username: "alice" });
    await browser.visit((session) => session.signIn("alice"));
    await browser.visit((session) => {
      Object.assign(session.data, { role: "user", lang: "en", username: "bob" });
      session.signIn("bob");
    });
    expect(await browser.data()).toEqual({ role: "user", lang: "en", username: "bob" });
  });

  it("at the same time as another sign-in gives both sessions everything that was assigned", async () => {
    const { browser } = await browserWith({ role: "user", lang: "en" });
    const second = browser.copy();
    const [a, b] = [await browser.begin(), await second.begin()];
    for (const { session } of [a, b]) {
      Object.assign(session.data, { role: "user", lang: "en", username: "ada" });
      session.signIn("ada");
    }
    await a.end();
    await b.end();
    const all = { role: "user", lang: "en", username: "ada" };
    expect([await browser.data(), await second.data()]).toEqual([all, all]);
  });
});

describe("A change in place of what another request has removed", () => {
  it("is dropped, and an event tells where it was made", async () => {
    const { browser, events } = await browserWith({ cart: { items: ["tea"] }, log: [] });
    const mine = await browser.begin();
    mine.session.data.cart!.items.push("milk");
    mine.session.data.log!.push(1);
    await browser.visit(({ data }) => void delete data.cart);
    await mine.end();
    expect(await browser.data()).toEqual({ log: [1] });
    const { id, userId } = mine.session;
    expect(events.filter(({ name }) => name === "dropped")).toEqual([
      { name: "dropped", id, userId, reason: "removed", paths: ["session.data.cart"] },
    ]);
  });

  it("is told of also where it was made while save() was under way", async () => {
    const store = gated(memoryStore());
    const { browser, events } = await browserWith({ cart: { items: ["tea"] }, n: 1 }, { store, clock: Date.now });
    const mine = await browser.begin();
    const { cart } = mine.session.data;
    mine.session.data.n = 2;
    await browser.visit(({ data }) => void delete data.cart);
    const gate = store.hold("update");
    const saved = mine.session.save();
    await gate.arrived;
    cart!.items.push("milk");
    gate.letGo();
    await saved;
    await mine.end();
    expect(await browser.data()).toEqual({ n: 2 });
    expect(events.filter(({ name }) => name === "dropped")).toMatchObject([{ paths: ["session.data.cart"] }]);
  });
});

describe('save({ onConflict: "fail" })', () => {
  const rejection = { code: "ERR_SESSION_CONFLICT", status: 409 };

  it("rejects where another request has changed the data, and stores nothing", async () => {
    const { browser } = await browserWith({ n: 1, log: [] });
    const mine = await browser.begin();
    mine.session.data.log!.push(1);
    await browser.visit(({ data }) => void (data.n = 2));
    await expect(mine.session.save({ onConflict: "fail" })).rejects.toMatchObject(rejection);
    await mine.end();
    expect(await browser.data()).toEqual({ n: 2, log: [] });
  });

  it("rejects a sign-in to data that another request has changed", async () => {
    const { browser } = await browserWith({ n: 1 });
    const mine = await browser.begin();
    mine.session.signIn("ada");
    await browser.visit(({ data }) => void (data.n = 2));
    await expect(mine.session.save({ onConflict: "fail" })).rejects.toMatchObject(rejection);
    await mine.end();
    expect([await browser.data(), await browser.userId()]).toEqual([{ n: 2 }, undefined]);
  });

  it("stores where another request has changed no data, and merges where save() is called again without it", async () => {
    const { browser } = await browserWith({ n: 1 });
    const mine = await browser.begin();
    mine.session.data.log = [1];
    await browser.visit((session) => session.flash("info", "hello"));
    await mine.session.save({ onConflict: "fail" });
    await browser.visit(({ data }) => void (data.n = 2));
    mine.session.data.log.push(2);
    await expect(mine.session.save({ onConflict: "fail" })).rejects.toMatchObject(rejection);
    await mine.session.save();
    await mine.end();
    expect(await browser.data()).toEqual({ n: 2, log: [1, 2] });
  });

  it('merges with onConflict: "merge", and refuses anything else', async () => {
    const { browser } = await browserWith({ n: 1 });
    const { session } = await browser.begin();
    await session.save({ onConflict: "merge" });
    await expect(session.save({ onConflict: "retry" as never })).rejects.toThrow('onConflict is "merge" or "fail"');
    await expect(session.save({ conflict: "fail" } as never)).rejects.toThrow(TypeError);
    expect(() => session.save((() => 0) as never)).toThrow("takes no callback");
  });
});

describe("An assignment that gives what was there before", () => {
  it("causes no store operation alone", async () => {
    const { browser, store } = await browserWith({ role: "user", cart: { items: [] } });
    const before = { ...store.calls };
    await browser.visit(({ data }) => {
      data.role = "user";
      data.cart = { items: [] };
    });
    expect(store.calls).toEqual({ ...before, read: before.read + 1, total: before.total + 1 });
  });

  it("counts when anything else of the request is stored", async () => {
    const { browser } = await browserWith({ role: "user", n: 0 });
    const mine = await browser.begin();
    mine.session.data.role = "user";
    mine.session.data.n = 1;
    await browser.visit(({ data }) => void (data.role = "admin"));
    await mine.end();
    expect(await browser.data()).toEqual({ role: "user", n: 1 });
  });

  it("does not count when only the token is renewed", async () => {
    const { browser, time } = await browserWith({ role: "user" }, { rotation: { every: "10m" } });
    const late = browser.copy();
    time.now += 11 * 60_000;
    const mine = await late.begin();
    mine.session.data.role = "user";
    await browser.visit(({ data }) => void (data.role = "admin"));
    await mine.end();
    expect(await browser.data()).toEqual({ role: "admin" });
  });
});

describe("session.toJSON()", () => {
  it("gives a copy of the data, for JSON.stringify and structuredClone", async () => {
    const { browser } = await browserWith({ n: 1, votes: new Map([["a", 1]]) });
    const { session } = await browser.begin();
    expect(structuredClone(session.toJSON())).toEqual({ n: 1, votes: new Map([["a", 1]]) });
    expect(JSON.parse(JSON.stringify({ session }))).toEqual({ session: { n: 1, votes: {} } });
    session.toJSON().votes!.set("b", 2);
    expect(session.data.votes).toEqual(new Map([["a", 1]]));
  });
});

describe("An update of a key that objects inherit", () => {
  it.each(["__proto__", "constructor", "toString"])(
    "changes no prototype before another user's sign-in: %s",
    async (key) => {
      const browser = site().browser();
      await browser.visit((session) => session.signIn("eve"));
      const { session, end } = await browser.begin();
      session.update(key, (list: unknown = {}) => Object.assign(list as object, { isAdmin: true }));
      session.signIn("ada", { keep: ["cart"] as never });
      await end();
      expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
      expect((Object as unknown as { isAdmin?: unknown }).isAdmin).toBeUndefined();
      expect(Object.hasOwn(await browser.data(), key)).toBe(true);
    },
  );
});
