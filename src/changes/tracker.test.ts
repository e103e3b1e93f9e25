import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { decode, encode, type Dictionary } from "./codec.ts";
import { Journal } from "./journal.ts";
import { objectsIn } from "./containers.ts";
import { Tracker } from "./tracker.ts";

const limits = { bytes: 10_000, depth: 32 };
const dictionary = (data: object): Dictionary => Object.setPrototypeOf(data, null) as Dictionary;
const make = () => ({ name: "ada", cart: { items: ["tea"] }, at: new Date(5), "10": 1, "9": undefined });
const trackerOn = (data: object) => new Tracker(dictionary(data));
const kinds = ({ changes }: Tracker) =>
  Object.fromEntries(
    [...changes].map(([key, its]) => [key, typeof its === "string" ? its : its.map(({ kind }) => kind).join(" ")]),
  );

describe("The data that a handler holds", () => {
  it("look to every reader like an ordinary dictionary", () => {
    const plain = dictionary(make());
    const { proxy } = trackerOn(make());
    expect(inspect(proxy, { depth: 9 })).toBe(inspect(plain, { depth: 9 }));
    expect(JSON.stringify(proxy)).toBe(JSON.stringify(plain));
    expect(Object.keys(proxy)).toEqual(Object.keys(plain));
    expect(Object.entries(proxy)).toEqual(Object.entries(plain));
    expect({ ...proxy }).toEqual({ ...plain });
    expect(Object.getPrototypeOf(proxy)).toBe(null);
    expect(["name" in proxy, "toString" in proxy, Object.hasOwn(proxy, "9"), Object.hasOwn(proxy, "x")]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    const names: string[] = [];
    for (const name in proxy) names.push(name);
    expect(names).toEqual(Object.keys(plain));
    const { name, ...others } = proxy;
    expect([name, Object.keys(others)]).toEqual(["ada", ["9", "10", "cart", "at"]]);
    expect(proxy).toEqual(plain);
    expect(encode(proxy, limits)).toBe(encode(plain, limits));
  });

  it("give the same object each time", () => {
    const { proxy } = trackerOn(make());
    expect(proxy["cart"]).toBe(proxy["cart"]);
  });

  it("take __proto__ for a key like any other", () => {
    const tracker = trackerOn({});
    tracker.proxy["__proto__"] = { admin: true };
    expect(Object.keys(tracker.proxy)).toEqual(["__proto__"]);
    expect(tracker.proxy["admin"]).toBe(undefined);
    delete tracker.proxy["__proto__"];
    expect(Object.keys(tracker.proxy)).toEqual([]);
  });

  it("can be frozen, and say so then", () => {
    const { proxy } = trackerOn(make());
    Object.freeze(proxy);
    expect(Object.isFrozen(proxy)).toBe(true);
    expect(() => (proxy["x"] = 1)).toThrow(TypeError);
    expect(() => delete proxy["name"]).toThrow(TypeError);
  });

  it("are left alone by what is set on an object that inherits from them", () => {
    const tracker = trackerOn(make());
    const heir = Object.create(tracker.proxy) as Dictionary;
    heir["name"] = "bob";
    expect([tracker.proxy["name"], heir["name"], kinds(tracker)]).toEqual(["ada", "bob", {}]);
  });

  it("have a copy for structuredClone, which takes no proxy", () => {
    const journal = new Journal({ data: encode(dictionary(make()), limits), flashes: [] }, limits);
    expect(() => structuredClone(journal.data)).toThrow("could not be cloned");
    const copy = journal.toJSON();
    expect(structuredClone(copy)).toEqual(make());
    expect(JSON.stringify(copy)).toBe(JSON.stringify(journal.data));
    (copy["cart"] as { items: string[] }).items.push("milk");
    expect(journal.data["cart"]).toEqual({ items: ["tea"] });
  });
});

describe("Tracker", () => {
  it("knows what was assigned, deleted and updated", () => {
    const tracker = trackerOn(make());
    const { proxy } = tracker;
    proxy["name"] = "ada";
    proxy["fresh"] = { n: 1 };
    delete proxy["at"];
    tracker.update("n", () => 1, limits);
    Object.defineProperty(proxy, "cart", { value: 1, writable: true, enumerable: true, configurable: true });
    expect(kinds(tracker)).toEqual({ name: "whole", fresh: "whole", at: "whole", n: "update", cart: "whole" });
  });

  it("takes the very object that is there, and the deletion of nothing, for no change", () => {
    const tracker = trackerOn(make());
    const { proxy } = tracker;
    proxy["cart"] ??= { items: [] };
    proxy["cart"] = proxy["cart"] ?? {};
    proxy["at"] = proxy["at"] ?? new Date(9);
    delete proxy["missing"];
    expect(kinds(tracker)).toEqual({});
  });

  it.each<[string, unknown, string]>([
    ["an empty array", [], "create"],
    ["an empty Map", new Map(), "create"],
    ["an empty Set", new Set(), "create"],
    ["an empty object", {}, "create"],
    ["an object of empty containers", { items: [], by: { name: new Map() } }, "create"],
    ["an object with a value", { items: [], n: 0 }, "whole"],
    ["an array with an empty container", [[]], "whole"],
    ["a Date", new Date(0), "whole"],
    ["a string", "", "whole"],
  ])("takes the assignment of %s to a key that is missing for what it is", (_, value, expected) => {
    const tracker = trackerOn({ there: 1, gone: 1 });
    delete tracker.proxy["gone"];
    tracker.proxy["there"] = value;
    tracker.proxy["gone"] = value;
    tracker.proxy["fresh"] = value;
    expect(kinds(tracker)).toEqual({ there: "whole", gone: "whole", fresh: expected });
  });

  it("takes no empty container for one that holds itself", () => {
    const tracker = trackerOn({});
    const cyclic: Dictionary = {};
    cyclic["self"] = cyclic;
    tracker.proxy["cyclic"] = cyclic;
    expect(kinds(tracker)).toEqual({ cyclic: "whole" });
  });

  it("joins updates, unless something else was written in between", () => {
    const tracker = trackerOn({ list: [1] });
    const add = (list: unknown) => [...(list as number[]), 1];
    for (let i = 0; i < 3; i++) tracker.update("list", add, limits);
    expect(kinds(tracker)).toEqual({ list: "update" });
    (tracker.proxy["list"] as number[]).push(2);
    tracker.update("list", add, limits);
    expect(kinds(tracker)).toEqual({ list: "update update" });
    tracker.proxy["list"] = [];
    tracker.update("list", add, limits);
    expect(kinds(tracker)).toEqual({ list: "whole" });
  });
});

describe("objectsIn", () => {
  it("lists the same objects in the same order as the codec, and as what is decoded from its text", () => {
    const value = dictionary({
      ...make(),
      map: new Map<unknown, unknown>([[{ k: 1 }, { v: [1, { w: 1 }] }]]),
      set: new Set([{ m: 1 }, [2, [3]]]),
      bytes: Uint8Array.of(1),
      tagged: { $: { x: 1 } },
      none: dictionary({ b: {}, "2": {}, "1": {} }),
    });
    const objects: object[] = [];
    const text = encode(value, limits, objects);
    const found = objectsIn(value);
    // The entries of a Map are arrays that are made each time.
    expect(found.map((object) => encode({ object }, limits))).toEqual(
      objects.map((object) => encode({ object }, limits)),
    );
    expect(found.filter((object, i) => object !== objects[i])).toEqual([[{ k: 1 }, { v: [1, { w: 1 }] }]]);
    expect(objectsIn(decode(text)).map((object) => encode({ object }, limits))).toEqual(
      found.map((object) => encode({ object }, limits)),
    );
  });

  it("leaves out what is inherited, whatever others have done to Object.prototype", () => {
    const value = { a: {} };
    const everywhere = Object.getPrototypeOf(value) as Dictionary;
    everywhere["planted"] = {};
    try {
      expect(objectsIn(value)).toEqual([value, value.a]);
    } finally {
      delete everywhere["planted"];
    }
  });
});
