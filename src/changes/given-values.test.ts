import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, encode, type Dictionary } from "./codec.ts";
import { GivenValues } from "./given-values.ts";
import { EMPTY, Journal } from "./journal.ts";

const limits = { bytes: 10_000, depth: 32 };
const journalOn = (data: Dictionary, allowed = limits) => {
  const base = { data: encode(data, limits), flashes: [] };
  return new Journal(base, allowed);
};
const make = () => ({ user: { name: "Ada", roles: ["editor", { at: 1 }] as unknown[] }, other: { n: 1 } });
type Made = ReturnType<typeof make>;

describe("A change in place of something that a handler was given", () => {
  const changes: Record<string, (data: Made) => unknown> = {
    "of a value": ({ user }) => (user.name = "Bob"),
    "to -0": ({ other }) => (other.n = -0),
    "of an item": ({ user }) => (user.roles[0] = "reader"),
    "deep inside": ({ user }) => ((user.roles[1] as { at: number }).at = 2),
    "that adds a member": ({ user }) => Object.assign(user, { more: 1 }),
    "that adds an item": ({ user }) => user.roles.push(1),
    "that removes a member": ({ user }) => Reflect.deleteProperty(user, "name"),
    "that leaves a hole": ({ user }) => Reflect.deleteProperty(user.roles, 0),
    "that lengthens an array": ({ user }) => (user.roles.length = 3),
    "that replaces a member by another one with the same name": ({ user }) => (user.roles = ["editor"]),
    "of the order of members": ({ user }) => {
      const { name } = user;
      Reflect.deleteProperty(user, "name");
      user.name = name;
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    it(`${what} is noticed`, () => {
      const journal = journalOn(make());
      const data = journal.data as unknown as Made;
      void [data.user, data.other];
      expect(journal.isChanged()).toBe(false);
      change(data);
      expect(journal.isChanged()).toBe(true);
    });

    it(`${what} is noticed in an object that was taken before a write was stored`, () => {
      const journal = journalOn(make());
      const data = journal.data as unknown as Made & { count: number };
      const held = { user: data.user, other: data.other };
      data.count = 1;
      expect(journal.isChanged()).toBe(true);
      const snapshot = journal.snapshot();
      journal.stored(snapshot, snapshot.content);
      expect(journal.isChanged()).toBe(false);
      change(held);
      expect(journal.isChanged()).toBe(true);
    });
  }

  const refused: Record<string, (data: Made) => unknown> = {
    "a symbol": ({ user }) => Object.assign(user, { [Symbol("s")]: 1 }),
    "a hidden member": ({ user }) => Object.defineProperty(user, "hidden", { value: 1 }),
    "a member that becomes hidden": ({ user }) => Object.defineProperty(user, "name", { enumerable: false }),
    "a name on an array": ({ user }) => Object.assign(user.roles, { extra: 1 }),
    "a name on an array, and a hole where it was undefined": ({ user }) => {
      Reflect.deleteProperty(user.roles, 2);
      Object.assign(user.roles, { extra: 1 });
    },
    "a prototype": ({ user }) => Object.setPrototypeOf(user, { inherited: 1 }),
    "a symbol of the data themselves": (data) => Object.assign(data, { [Symbol("s")]: 1 }),
    "a prototype of the data themselves": (data) => Object.setPrototypeOf(data, { inherited: 1 }),
  };
  for (const [what, change] of Object.entries(refused)) {
    it(`by ${what} that can't be kept is refused`, () => {
      const made = make();
      made.user.roles.push(undefined);
      const journal = journalOn(made);
      const data = journal.data as unknown as Made;
      void data.user;
      change(data);
      expect(() => journal.isChanged()).toThrow(TypeError);
    });
  }

  it("is noticed wherever the text of the data becomes another one", () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const data = fc.dictionary(fc.string(), value, { noNullPrototype: true, maxKeys: 4 });
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.constantFrom("set", "delete", "add"), value), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(data, edits, (before, done) => {
        const text = encode(before, limits);
        const journal = new Journal({ data: text, flashes: [] }, limits);
        const objects = objectsOf(journal.data);
        for (const [which, where, how, to] of done) {
          const object = objects[which % Math.max(1, objects.length)];
          if (object) edit(object, where, how, to);
        }
        const after = decode(text);
        const same = objectsOf(after);
        for (const [which, where, how, to] of done) {
          const object = same[which % Math.max(1, same.length)];
          if (object) edit(object, where, how, to);
        }
        expect(journal.isChanged()).toBe(encode(after, limits) !== text);
      }),
    );
  });
});

/** The objects below the keys of a dictionary. */
function objectsOf(value: unknown, isTop = true): Dictionary[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value).flatMap((child) => objectsOf(child, false));
  return isTop ? inner : [value as Dictionary, ...inner];
}

function edit(object: Dictionary, where: number, how: string, to: unknown): void {
  const names = Object.keys(object);
  const name = names[where % Math.max(1, names.length)];
  if (how === "add" || name === undefined)
    object[Array.isArray(object) ? object.length : "added"] = structuredClone(to);
  else if (how === "set") object[name] = structuredClone(to);
  else if (Array.isArray(object)) object.splice(where % object.length, 1);
  else delete object[name];
}

describe("A request that only reads", () => {
  it("does not encode the data, however large they are", () => {
    const journal = journalOn({ ...make(), large: "x".repeat(5000) }, { bytes: 100, depth: 32 });
    const data = journal.data as unknown as Made;
    expect([data.user.name, data.other.n]).toEqual(["Ada", 1]);
    expect(journal.isChanged()).toBe(false);
  });

  it("is told apart from one that flashes a message", () => {
    const journal = journalOn(make());
    void journal.data["user"];
    journal.flash({ category: "info", message: "Saved." });
    expect(journal.isChanged()).toBe(true);
    const { content, base } = journal.snapshot();
    expect(content.data).toBe(base.data);
    expect(content.flashes).toMatchObject([{ message: "Saved." }]);
  });

  it("has nothing to store on an empty session", () => {
    const journal = new Journal(EMPTY, limits);
    void journal.data["user"];
    expect(journal.content()).toBe(EMPTY);
  });
});

describe("GivenValues", () => {
  it("leaves values to the text that are large, or are no plain objects and arrays", () => {
    for (const value of [{ at: new Date(0) }, new Map(), Array.from({ length: 1000 }, (_, i) => i)]) {
      const given = new GivenValues();
      given.add("key", value);
      expect(given.areSame()).toBe(false);
    }
  });
});
