import { describe, expect, it } from "vitest";
import { decode, encode, type Dictionary } from "./codec.ts";
import { EMPTY, Journal, only, replay, type Content, type Snapshot } from "./journal.ts";

/** Another user signs in, who gets nothing. */
const BOB = { keep: [], userId: "bob" };

const limits = { bytes: 10_000, depth: 32 };
const contentOf = (data: object): Content => ({ data: encode({ ...data }, limits), flashes: [] });
const dataOf = (content: Content) => ({ ...decode(content.data) });

interface Data {
  n?: number;
  role?: string;
  list?: number[];
  cart?: { items: string[]; at?: Date; note?: string };
  account?: { name: string; address: { street: string } };
  w?: unknown;
  [key: string]: unknown;
}

function journalOn(data: object): { journal: Journal; data: Data } {
  const journal = new Journal(contentOf(data), limits);
  return { journal, data: journal.data };
}

/** As a commit begins. */
function begin(journal: Journal): Snapshot {
  journal.isChanged();
  return journal.snapshot();
}

/** Stores after another request has stored `newest`. */
function storeOver(journal: Journal, newest: object): Data {
  const snapshot = begin(journal);
  const stored = replay(snapshot, contentOf(newest), limits);
  journal.stored(snapshot, stored);
  expect({ ...journal.data }).toEqual(dataOf(stored));
  expect(journal.isChanged()).toBe(false);
  return dataOf(stored);
}

describe("A commit that has failed", () => {
  it("leaves changes in place to be merged with those that come after it", () => {
    const { journal, data } = journalOn({ list: [1], cart: { items: ["tea"] } });
    data.list!.push(2);
    journal.restore(begin(journal));
    data.list!.push(3);
    data.cart!.items.push("milk");
    expect(storeOver(journal, { list: [1, 9], cart: { items: ["tea", "jam"] } })).toEqual({
      list: [1, 9, 2, 3],
      cart: { items: ["tea", "jam", "milk"] },
    });
  });

  it("leaves a new nested object a new one", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] } });
    data.cart!.items = ["tea"];
    journal.restore(begin(journal));
    data.cart!.items.push("milk");
    expect(storeOver(journal, { cart: { items: ["tea", "jam"] } })).toEqual({ cart: { items: ["tea", "milk"] } });
  });

  it("leaves an update to be applied with those that come after it, and changes in place between them", () => {
    const { journal, data } = journalOn({ list: [1] });
    const double = (list: unknown) => (list as number[]).map((n) => n * 2);
    journal.update("list", double);
    journal.restore(begin(journal));
    data.list!.push(5);
    journal.update("list", double);
    data.list!.push(7);
    expect(storeOver(journal, { list: [1, 10] })).toEqual({ list: [4, 40, 10, 7] });
  });

  it("of a request that only looked leaves what it changes then to be merged", () => {
    const { journal, data } = journalOn({ list: [1], cart: { items: [] } });
    expect(data.list).toEqual([1]);
    journal.restore(begin(journal));
    data.list!.push(2);
    data.cart!.items.push("tea");
    expect(storeOver(journal, { list: [1, 9], cart: { items: ["jam"] } })).toEqual({
      list: [1, 9, 2],
      cart: { items: ["jam", "tea"] },
    });
  });
});

describe("A call of save() that has failed", () => {
  it("is dropped from the very objects that the handler holds, which keep what was changed since", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] }, list: [1], n: 1 });
    const { cart, list } = data;
    cart!.items.push("milk");
    list!.push(2);
    data.n = 2;
    journal.setAside();
    cart!.items.push("bread");
    journal.dropSetAside(contentOf({ cart: { items: ["tea"] }, list: [1], n: 1 }));
    expect({ ...data }).toEqual({ cart: { items: ["tea", "bread"] }, list: [1], n: 1 });
    expect([data.cart === cart, data.list === list]).toEqual([true, true]);
    list!.push(3);
    expect(storeOver(journal, { cart: { items: ["tea", "jam"] }, list: [1, 9], n: 7 })).toEqual({
      cart: { items: ["tea", "jam", "bread"] },
      list: [1, 9, 3],
      n: 7,
    });
  });

  it("is taken back whole, with what was changed since", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] }, n: 1 });
    data.cart!.items.push("milk");
    journal.update("n", (n) => (n as number) + 1);
    journal.setAside();
    expect(journal.isSetAside).toBe(true);
    data.cart!.items.push("bread");
    journal.update("n", (n) => (n as number) + 1);
    expect(journal.isSetAside).toBe(false);
    journal.takeBack();
    expect(storeOver(journal, { cart: { items: ["tea", "jam"] }, n: 10 })).toEqual({
      cart: { items: ["tea", "jam", "milk", "bread"] },
      n: 12,
    });
  });

  it("for a value that can't be kept is dropped with that value", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] } });
    (data.cart as unknown as Dictionary)["f"] = () => 1;
    data.w = () => 1;
    const cyclic: Dictionary = {};
    data["cyclic"] = cyclic["self"] = cyclic;
    expect(() => journal.isChanged()).toThrow(TypeError);
    journal.setAside();
    data.n = 1;
    journal.dropSetAside(contentOf({ cart: { items: ["tea"] } }));
    expect({ ...data }).toEqual({ cart: { items: ["tea"] }, n: 1 });
    expect(storeOver(journal, { cart: { items: ["jam"] } })).toEqual({ cart: { items: ["jam"] }, n: 1 });
  });
});

describe("A merge", () => {
  it("tells the paths of changes in place that it drops", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] }, list: [1], by: new Map([["a", { n: 1 }]]) });
    data.cart!.items.push("milk");
    data.list!.push(2);
    (data["by"] as Map<string, { n: number }>).get("a")!.n = 2;
    const merged = replay(begin(journal), contentOf({ cart: { items: "none" }, by: new Map() }), limits);
    expect(merged.dropped).toEqual(["session.data.cart.items", "session.data.list", "session.data.by.a"]);
    expect(dataOf(merged)).toEqual({ cart: { items: "none" }, by: new Map() });
  });

  it("counts an object that was read elsewhere for assigned", () => {
    const { journal, data } = journalOn({ account: { name: "a", address: { street: "s" } } });
    data.w = data.account;
    data.account!.name = "b";
    expect(storeOver(journal, { account: { name: "a", address: { street: "t" } } })).toEqual({
      account: { name: "b", address: { street: "t" } },
      w: { name: "b", address: { street: "s" } },
    });
    // One object can't hold both: the place where it was read has it.
    data.account!.address.street = "u";
    expect(data.w).toEqual({ name: "b", address: { street: "s" } });
  });

  it("leaves the copy that it puts into another place of an object to be merged", () => {
    const { journal, data } = journalOn({ account: { name: "a", address: { street: "s" } } });
    const { account } = data;
    data.w = [account, account, account];
    storeOver(journal, { account: { name: "a", address: { street: "s" } }, n: 1 });
    const copies = data.w as (typeof account)[];
    expect(new Set([account, ...copies]).size).toBe(4);
    copies[1]!.name = "b";
    const [first, , last] = [1, 2, 3].map(() => ({ name: "a", address: { street: "s" } }));
    first!.address.street = "t";
    expect(storeOver(journal, { account, w: [first, { name: "a", address: { street: "u" } }, last] })["w"]).toEqual([
      { name: "a", address: { street: "t" } },
      { name: "b", address: { street: "u" } },
      { name: "a", address: { street: "s" } },
    ]);
  });

  it("of a save() leaves a copy to be merged that was changed meanwhile", () => {
    const { journal, data } = journalOn({ account: { name: "a", address: { street: "s" } } });
    data.w = [data.account, data.account];
    const saving = begin(journal);
    (data.w as { name: string }[])[0]!.name = "b";
    journal.stored(
      saving,
      replay(saving, contentOf({ account: { name: "a", address: { street: "s" } }, n: 1 }), limits),
    );
    const stored = { name: "a", address: { street: "t" } };
    expect(storeOver(journal, { account: stored, w: [stored, stored], n: 1 })).toEqual({
      account: { name: "b", address: { street: "t" } },
      w: [
        { name: "b", address: { street: "t" } },
        { name: "b", address: { street: "t" } },
      ],
      n: 1,
    });
  });

  it("leaves an object in the place where it was read, though a save() finds it in an earlier place as well", () => {
    const { journal, data } = journalOn({ list: [], account: { name: "a", address: { street: "s" } } });
    const { account } = data;
    expect(data.list).toEqual([]);
    const saving = begin(journal);
    (data.list as unknown[]).push(account);
    const others = { list: [], account: { name: "a", address: { street: "t" } } };
    journal.stored(saving, replay(saving, contentOf(others), limits));
    expect(data.account).toBe(account);
    expect(data).toEqual({ list: [{ name: "a", address: { street: "s" } }], account: others.account });
    account!.name = "b";
    expect(storeOver(journal, { ...others, n: 1 })["account"]).toEqual({ name: "b", address: { street: "t" } });
  });

  it("counts an object that was moved for removed and assigned", () => {
    const { journal, data } = journalOn({ cart: { items: ["tea"] } });
    data.w = data.cart;
    delete data.cart;
    expect(storeOver(journal, { cart: { items: ["tea", "jam"] } })).toEqual({ w: { items: ["tea"] } });
  });

  it("of empty containers that both created puts together what both put into them", () => {
    const { journal, data } = journalOn({});
    data.cart ??= { items: [] };
    data.cart.items.push("milk");
    data["by"] = new Map();
    (data["by"] as Map<string, number>).set("a", 1);
    expect(storeOver(journal, { cart: { items: ["tea"], note: "n" }, by: new Map([["b", 2]]) })).toEqual({
      cart: { items: ["tea", "milk"], note: "n" },
      by: new Map([["b", 2]]).set("a", 1),
    });
  });

  it("creates an empty container inside of what is there, and none that is removed again", () => {
    const { journal, data } = journalOn({});
    data.cart ??= { items: [] };
    data.cart.items.push("milk");
    data["by"] = {};
    delete data["by"];
    expect(storeOver(journal, { cart: { note: "n" }, by: { a: 1 } })).toEqual({ cart: { note: "n", items: ["milk"] } });
  });

  it("does not mix two assignments, nor an assignment with a change in place of before", () => {
    const { journal, data } = journalOn({ w: { id: 1, role: "user" }, list: [1] });
    data.w = { id: 3, role: "user" };
    data.list!.push(2);
    data.list = [7];
    expect(storeOver(journal, { w: { id: 2, role: "admin" }, list: [1, 9] })).toEqual({
      w: { id: 3, role: "user" },
      list: [7],
    });
  });

  it("merges changes in place before and after an update in program order", () => {
    const { journal, data } = journalOn({ list: [3] });
    data.list!.push(1);
    journal.update("list", (list) => (list as number[]).toSorted((a, b) => a - b));
    data.list!.push(9);
    expect(storeOver(journal, { list: [3, 2] })).toEqual({ list: [1, 2, 3, 9] });
  });

  it("applies an update to what an empty container that was created holds", () => {
    const { journal, data } = journalOn({});
    data.list ??= [];
    data.list.push(1);
    journal.update("list", (list) => (list as number[]).map((n) => n + 1));
    expect(storeOver(journal, { list: [5] })).toEqual({ list: [6, 2] });
  });

  it("leaves the objects of the handler's own alone that its update gives", () => {
    const { journal } = journalOn({});
    const mine = { items: ["tea"] };
    journal.update("cart", () => mine);
    expect(storeOver(journal, { list: [1] })).toEqual({ list: [1], cart: { items: ["tea"] } });
    expect(mine).toEqual({ items: ["tea"] });
  });
});

describe("A new object of the same text that is assigned inside of a container during a save", () => {
  it("counts as an assignment", () => {
    const { journal, data } = journalOn({ map: new Map([["m", {}]]) });
    const map = data["map"] as Map<string, object>;
    data.n = 1;
    const saving = begin(journal);
    map.set("m", {});
    journal.stored(saving, replay(saving, contentOf({ map: new Map([["m", { x: 1 }]]) }), limits));
    expect(map).toEqual(new Map([["m", {}]]));
    expect(journal.isChanged()).toBe(true);
  });
});

describe("Another user's sign-in", () => {
  const alice = { account: { name: "alice", address: { street: "Long" } }, n: 1, cart: { items: ["tea"] } };

  it("applies updates as if there had been nothing before, and changes in place after them", () => {
    const { journal, data } = journalOn(alice);
    data.cart!.items.push("secret");
    journal.update("cart", (cart) => cart ?? { items: [] });
    data.cart!.items.push("mine");
    journal.update("n", (n) => ((n as number | undefined) ?? 0) + 1);
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ cart: { items: ["mine"] }, n: 1 });
    expect(dataOf(replay(begin(journal), only(contentOf(alice), []), limits))).toEqual({
      cart: { items: ["mine"] },
      n: 1,
    });
  });

  it("shows nothing more where an update that came after an earlier one fails on what that has hidden", () => {
    const { journal, data } = journalOn(alice);
    journal.restrict(BOB);
    journal.update("n", (n) => {
      if (n !== undefined) throw new TypeError("there is one");
      return 2;
    });
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ n: 2 });
    journal.restrict(undefined);
    expect({ ...data }).toEqual({ ...alice, n: 2 });
  });

  it("shows nothing more where a value can't be kept, also while a save() merges", () => {
    const { journal, data } = journalOn(alice);
    const list = (data.list ??= []);
    const saving = begin(journal);
    journal.restrict(BOB);
    journal.update("w", () => ({}));
    const wrong = () => 1;
    Object.assign(data.w as Dictionary, { wrong });
    list.push(wrong as never);
    journal.stored(saving, replay(saving, contentOf({ ...alice, list: ["secret"] }), limits));
    journal.restrict(BOB);
    expect(JSON.stringify({ ...data })).not.toMatch(/secret|alice|Long/);
    expect(data.w).toEqual({ wrong });
  });

  it("shows nothing more where what it has removed from can't be changed any more", () => {
    const { journal, data } = journalOn(alice);
    const w = { of: data.account, list: [data.account], own: 1 };
    data.w = w;
    journal.restrict(BOB);
    Object.freeze(w.list);
    Object.freeze(w);
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ w: { list: [], own: 1 } });
    journal.restrict(undefined);
    expect({ ...data }).toEqual({ ...alice, w: { list: [], own: 1 } });
  });

  it("removes what an update has taken from elsewhere", () => {
    const { journal, data } = journalOn(alice);
    const { account } = data;
    journal.update("w", () => ({ account, own: 1 }));
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ w: { own: 1 } });
    expect(dataOf(replay(begin(journal), EMPTY, limits))).toEqual({ w: { own: 1 } });
  });

  it("leaves keys that may stay, without what was put into them from others", () => {
    const { journal, data } = journalOn(alice);
    (data.cart as unknown as Dictionary)["of"] = data.account;
    data.cart!.items.push("milk");
    data.w = data.cart;
    journal.restrict({ ...BOB, keep: ["cart"] });
    expect({ ...data }).toEqual({ cart: { items: ["tea", "milk"] }, w: { items: ["tea", "milk"] } });
    expect(
      dataOf(replay(begin(journal), only(contentOf({ ...alice, cart: { items: ["tea", "jam"] } }), ["cart"]), limits)),
    ).toEqual({
      cart: { items: ["tea", "jam", "milk"] },
      w: { items: ["tea", "milk"] },
    });
  });

  it("leaves an explicit assignment that comes after it", () => {
    const { journal, data } = journalOn(alice);
    const { cart } = data;
    journal.restrict(BOB);
    data.cart = cart!;
    expect(dataOf(replay(begin(journal), EMPTY, limits))).toEqual({ cart: { items: ["tea"] } });
  });

  it("during a save() takes along what that one has assigned, and nothing that it stores else", () => {
    const { journal, data } = journalOn(alice);
    data.role = "user";
    data.w = { of: data.account, own: 1 };
    journal.update("n", (n) => ((n as number | undefined) ?? 0) + 1);
    const saving = begin(journal);
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ role: "user", w: { own: 1 }, n: 1 });
    journal.stored(saving, replay(saving, contentOf({ ...alice, n: 10, other: 1 }), limits));
    expect({ ...data }).toEqual({ role: "user", w: { own: 1 }, n: 1 });
    const signIn = begin(journal);
    const stored = replay(signIn, EMPTY, limits);
    expect(dataOf(stored)).toEqual({ role: "user", w: { own: 1 }, n: 1 });
    journal.stored(signIn, stored);
    expect(journal.isChanged()).toBe(false);
  });

  it("after a save() that has failed takes nothing along that is dropped with that", () => {
    const { journal, data } = journalOn(alice);
    data.role = "user";
    journal.setAside();
    data.w = { of: data.account, own: 1 };
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ role: "user", w: { own: 1 } });
    journal.dropSetAside(contentOf(alice));
    journal.restrict(BOB);
    expect({ ...data }).toEqual({ w: { own: 1 } });
    expect(dataOf(replay(begin(journal), EMPTY, limits))).toEqual({ w: { own: 1 } });
  });
});
