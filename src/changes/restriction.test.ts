import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { gated, site, START } from "../../test/support/stores.ts";
import { memoryStore } from "../stores/memory.ts";

interface Data {
  account?: { name: string };
  cart?: { items: string[] };
  list?: unknown[];
  n?: number;
  role?: string;
  w?: unknown;
}

const alices = (): Data => ({ account: { name: "alice" }, cart: { items: ["tea"] }, n: 5 });

/** A request of alice's session, and the store's gate. */
async function aliceRequest() {
  const gate = gated(memoryStore({ clock: () => START }));
  const shop = site<Data>({ store: gate, storeTimeout: "1m" });
  const browser = shop.browser();
  await browser.visit((session) => {
    Object.assign(session.data, alices());
    session.flash("info", "Hello alice");
    session.signIn("alice");
  });
  const other = browser.copy();
  return { browser, other, gate, ...(await browser.begin()) };
}

describe("A sign-in of the session's own user after another user's", () => {
  it("brings back everything, and the very objects", async () => {
    const { browser, session, end } = await aliceRequest();
    const { account, cart } = session.data;
    session.signIn("bob");
    expect(session.toJSON()).toEqual({});
    session.signIn("alice");
    expect(session.toJSON()).toEqual(alices());
    expect(session.data.account).toBe(account);
    cart!.items.push("milk");
    expect(session.takeFlashes()).toEqual([{ category: "info", message: "Hello alice" }]);
    await end();
    expect(await browser.data()).toEqual({ ...alices(), cart: { items: ["tea", "milk"] } });
  });

  it("leaves changes of before, and objects that were put into others", async () => {
    const { browser, session, end } = await aliceRequest();
    const { data } = session;
    const w = {
      a: data.account,
      list: [1, data.account, 2],
      map: new Map([["k", data.account]]),
      set: new Set([data.cart]),
    };
    data.w = w;
    data.role = "user";
    data.list = [data.account];
    session.update("n", (n = 0) => n + 1);
    delete data.cart;
    session.signIn("bob");
    expect(session.toJSON()).toEqual({
      role: "user",
      n: 1,
      list: [],
      w: { list: [1, 2], map: new Map(), set: new Set() },
    });
    session.signIn("alice");
    const { account, cart } = alices();
    const expected = {
      account,
      n: 6,
      role: "user",
      list: [account],
      w: { a: account, list: [1, account, 2], map: new Map([["k", account]]), set: new Set([cart]) },
    };
    expect(session.toJSON()).toEqual(expected);
    expect(data.w).toBe(w);
    await end();
    expect(await browser.data()).toEqual(expected);
  });

  it("applies to what comes back the changes that were made in between", async () => {
    const { browser, session, end } = await aliceRequest();
    const { data } = session;
    session.update("list", (list = []) => [...list, data.account, 1]);
    session.flash("info", "before");
    session.signIn("bob");
    session.update("n", (n = 0) => n + 1);
    (data.cart ??= { items: [] }).items.push("milk");
    session.update("list", (list = []) => [...list, 2]);
    data.role = "user";
    data.account = { name: "new" };
    session.flash("info", "between");
    expect(session.toJSON()).toEqual({
      account: { name: "new" },
      cart: { items: ["milk"] },
      list: [1, 2],
      n: 1,
      role: "user",
    });
    session.signIn("alice");
    await end();
    expect(await browser.data()).toEqual({
      account: { name: "new" },
      cart: { items: ["tea", "milk"] },
      list: [{ name: "alice" }, 1, 2],
      n: 6,
      role: "user",
    });
    const { session: next } = await browser.begin();
    expect(next.takeFlashes().map(({ message }) => message)).toEqual(["Hello alice", "before", "between"]);
  });

  it("merges with what another request has stored meanwhile", async () => {
    const { browser, other, session, end } = await aliceRequest();
    session.data.cart!.items.push("milk");
    session.signIn("bob");
    session.update("n", (n = 0) => n + 1);
    session.signIn("alice");
    await other.visit((theirs) => {
      theirs.data.cart!.items.push("bread");
      theirs.data.n = 10;
    });
    await end();
    expect(await browser.data()).toEqual({ ...alices(), cart: { items: ["tea", "bread", "milk"] }, n: 11 });
  });

  it("stores no data where nothing has changed", async () => {
    const { browser, other, session, end } = await aliceRequest();
    expect(session.data.account).toEqual({ name: "alice" });
    session.signIn("bob");
    session.signIn("alice");
    await other.visit(({ data }) => void delete data.account);
    await end();
    expect(await browser.data()).toEqual({ cart: { items: ["tea"] }, n: 5 });
  });

  it("has the data that a save() under way at the other sign-in has merged", async () => {
    const { browser, other, gate, session, end } = await aliceRequest();
    const { cart } = session.data;
    await other.visit(({ data }) => void data.cart!.items.push("bread"));
    session.data.role = "user";
    cart!.items.push("milk");
    const update = gate.hold("update");
    const saving = session.save();
    await update.arrived;
    session.signIn("bob");
    expect(session.toJSON()).toEqual({ role: "user" });
    update.letGo();
    await saving;
    expect(session.toJSON()).toEqual({ role: "user" });
    session.signIn("alice");
    expect(session.toJSON()).toEqual({ ...alices(), cart: { items: ["tea", "bread", "milk"] }, role: "user" });
    cart!.items.push("jam");
    await end();
    expect(await browser.data()).toEqual({
      ...alices(),
      cart: { items: ["tea", "bread", "milk", "jam"] },
      role: "user",
    });
  });
});

describe("Data that a sign-in brings back", () => {
  it("have what the handler saw of an update that fails on them, as an assignment", async () => {
    const { browser, other, session, end } = await aliceRequest();
    session.signIn("bob");
    session.update("n", (n) => {
      if (n !== undefined) throw new TypeError("there is one");
      return 2;
    });
    session.signIn("alice");
    expect(session.toJSON()).toEqual({ ...alices(), n: 2 });
    await other.visit(({ data }) => void (data.n = 7));
    await end();
    expect(await browser.data()).toEqual({ ...alices(), n: 2 });
  });

  it("have a key that may stay, to which an object was assigned that may not", async () => {
    const { browser, session, end } = await aliceRequest();
    session.data.w = 1;
    session.data.w = session.data.account;
    session.signIn("alice", { keep: ["w"] });
    expect(session.toJSON()).toEqual({});
    session.signIn("alice");
    expect(session.toJSON()).toEqual({ ...alices(), w: { name: "alice" } });
    await end();
    expect(await browser.data()).toEqual({ ...alices(), w: { name: "alice" } });
  });

  it("have the order of before", async () => {
    const { session } = await aliceRequest();
    const { account } = session.data;
    const makeW = () => ({
      of: account,
      own: 1,
      map: new Map<unknown, unknown>([
        [account, 1],
        [2, account],
        [3, 3],
      ]),
      set: new Set([account, 4]),
    });
    session.data.w = makeW();
    session.signIn("bob");
    session.signIn("alice");
    const { w } = session.data;
    expect(inspect(w, { depth: 9 })).toEqual(inspect(makeW(), { depth: 9 }));
  });

  it("lack what was removed from an object that is frozen by then", async () => {
    const { browser, session, end } = await aliceRequest();
    const w = { of: session.data.account, list: [session.data.account], own: 1 };
    session.data.w = w;
    session.signIn("bob");
    Object.freeze(w);
    session.signIn("alice");
    expect(session.toJSON()).toEqual({ ...alices(), w: { list: [{ name: "alice" }], own: 1 } });
    await end();
    expect(await browser.data()).toEqual({ ...alices(), w: { list: [{ name: "alice" }], own: 1 } });
  });
});

describe("An update that gives an object of the session's user", () => {
  it("gives another user nothing who signs in after a sign-in that keeps the key", async () => {
    const { browser, session, end } = await aliceRequest();
    const { account } = session.data;
    session.update("account", () => account!);
    session.signIn("alice", { keep: ["account"] });
    session.signIn("bob");
    expect(session.toJSON()).toEqual({});
    await end();
    expect(await browser.data()).toEqual({});
  });

  it("is made again twice with what may stay", async () => {
    const { browser, other, session, end } = await aliceRequest();
    const { account } = session.data;
    session.update("account", () => account!);
    session.update("account", (same) => ({ ...same!, of: same }));
    session.signIn("alice", { keep: ["account"] });
    await other.visit(({ data }) => void (data.n = 6));
    await end();
    expect(await browser.data()).toEqual({ account: { name: "alice", of: { name: "alice" } } });
  });
});

describe("The last of several sign-ins", () => {
  it("decides which keys are kept", async () => {
    const browser = site<Data>().browser();
    await browser.visit(({ data }) => void Object.assign(data, alices()));
    await browser.visit((session) => {
      session.signIn("alice", { keep: ["cart"] });
      expect(session.toJSON()).toEqual({ cart: { items: ["tea"] } });
      session.data.cart!.items.push("milk");
      session.signIn("alice", { keep: ["account", "cart"] });
    });
    expect(await browser.data()).toEqual({ account: { name: "alice" }, cart: { items: ["tea", "milk"] } });
  });

  it("keeps nothing for a third user", async () => {
    const { browser, session, end } = await aliceRequest();
    session.update("n", (n = 0) => n + 1);
    session.signIn("bob");
    session.data.role = "user";
    session.signIn("carol");
    await end();
    expect(await browser.data()).toEqual({ role: "user", n: 1 });
  });

  it("gives another user no kept keys where it comes while an earlier one is stored", async () => {
    const gate = gated(memoryStore({ clock: () => START }));
    const browser = site<Data>({ store: gate, storeTimeout: "1m" }).browser();
    await browser.visit(({ data }) => void Object.assign(data, alices()));
    const { session, end } = await browser.begin();
    session.signIn("alice", { keep: ["cart"] });
    const create = gate.hold("create");
    const saving = session.save();
    await create.arrived;
    session.signIn("bob");
    session.data.role = "user";
    create.letGo();
    await saving;
    expect(session.toJSON()).toEqual({ role: "user" });
    await end();
    expect(await browser.data()).toEqual({ role: "user" });
  });
});

describe("A sign-in while another user's is being stored", () => {
  it("hides that user's data where an update needs them, and fails with the response", async () => {
    const gate = gated(memoryStore({ clock: () => START }));
    const browser = site<Data>({ store: gate, storeTimeout: "1m" }).browser();
    await browser.visit(({ data }) => void Object.assign(data, alices()));
    const { session, end } = await browser.begin();
    session.signIn("alice");
    const create = gate.hold("create");
    const saving = session.save();
    await create.arrived;
    session.update("n", (n) => Math.round(n!.valueOf()) + 1);
    session.signIn("bob");
    create.letGo();
    await saving;
    expect(session.toJSON()).toEqual({});
    await expect(end()).rejects.toThrow(TypeError);
  });
});

describe("A sign-in that fails", () => {
  it("hides nothing where an update throws without the former value", async () => {
    const { browser, session, end } = await aliceRequest();
    session.data.w = { of: session.data.account };
    session.data.role = "user";
    session.update("n", (n) => Math.round(n!.valueOf()) + 1);
    const before = { ...alices(), n: 6, role: "user", w: { of: { name: "alice" } } };
    expect(() => session.signIn("bob")).toThrow(TypeError);
    expect(session.userId).toBe("alice");
    expect(session.toJSON()).toEqual(before);
    await end();
    expect(await browser.data()).toEqual(before);
  });

  it("brings the data back when save() has failed to store it, and hides them at the next save()", async () => {
    const { browser, session, end } = await aliceRequest();
    session.data.role = "user";
    session.signIn("bob");
    session.data.w = () => 1;
    await expect(session.save()).rejects.toThrow(TypeError);
    expect(session.userId).toBe("alice");
    expect(session.data.cart).toEqual({ items: ["tea"] });
    delete session.data.w;
    await session.save();
    expect(session.userId).toBe("bob");
    expect(session.toJSON()).toEqual({ role: "user" });
    await end();
    expect(await browser.data()).toEqual({ role: "user" });
  });

  it("loses nothing of the session's own user who has signed in meanwhile", async () => {
    const { browser, gate, session, end } = await aliceRequest();
    const { create } = gate;
    gate.create = () => Promise.reject(new Error("down"));
    session.signIn("bob");
    session.data.role = "user";
    const saving = session.save();
    session.signIn("alice");
    await expect(saving).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    expect(session.toJSON()).toEqual({ ...alices(), role: "user" });
    session.data.n = 6;
    gate.create = create;
    await end();
    expect(await browser.data()).toEqual({ ...alices(), n: 6 });
  });

  it("leaves hidden what an earlier one has hidden", async () => {
    const { browser, session, end } = await aliceRequest();
    session.signIn("alice", { keep: ["n"] });
    session.update("n", (n) => Math.round(n!.valueOf()) + 1);
    expect(() => session.signIn("bob")).toThrow(TypeError);
    expect([session.userId, session.toJSON()]).toEqual(["alice", { n: 6 }]);
    await end();
    expect(await browser.data()).toEqual({ n: 6 });
  });

  it("leaves hidden what an earlier one has hidden, also if an update fails whenever it is made again from then on", async () => {
    const { browser, session, end } = await aliceRequest();
    let calls = 0;
    session.update("n", (n = 0) => {
      calls += 1;
      if (calls > 2) throw new RangeError("once more");
      return n + 1;
    });
    session.signIn("bob");
    expect(() => session.signIn("carol")).toThrow(RangeError);
    expect([session.userId, session.toJSON()]).toEqual(["bob", {}]);
    await expect(end()).rejects.toThrow(RangeError);
    expect(await browser.data()).toEqual(alices());
  });

  it.each(["signIn", "signOut"] as const)("is refused inside of update(): %s()", async (call) => {
    const { browser, session, end } = await aliceRequest();
    expect(() => session.update("n", (n) => (session[call]("bob"), n ?? 0))).toThrow(`its function called ${call}()`);
    expect(session.userId).toBe("alice");
    await end();
    expect(await browser.data()).toEqual(alices());
  });
});
