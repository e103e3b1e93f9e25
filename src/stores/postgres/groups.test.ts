import { describe, expect, it } from "vitest";
import { groupOfTurn } from "./groups.ts";

interface Fake {
  /** The keys of each statement, in the order in which they were sent. */
  readonly sent: string[];
  readonly call: (key: string) => Promise<string>;
}

function fakeGroup(together: (keys: string[]) => string[], { repeats = false } = {}): Fake {
  const sent: string[] = [];
  const run = groupOfTurn<{ key: string }, string>({
    async alone({ key }) {
      sent.push(key);
      if (key === "bad") throw new Error("bad");
      return `alone ${key}`;
    },
    async together(calls) {
      const keys = calls.map(({ key }) => key);
      sent.push(keys.join("+"));
      return new Map(together(keys).map((key) => [key, `together ${key}`]));
    },
    mayRepeat: () => repeats,
  });
  return { sent, call: (key) => run({ key }) };
}

const failing = (): never => {
  throw new Error("group");
};

describe("groupOfTurn", () => {
  it("runs the calls of one turn of the event loop together", async () => {
    const { sent, call } = fakeGroup((keys) => keys);
    expect(await Promise.all(["a", "b", "c"].map(call))).toEqual(["together a", "together b", "together c"]);
    expect(await Promise.all(["d", "e"].map(call))).toEqual(["together d", "together e"]);
    expect(sent).toEqual(["a+b+c", "d+e"]);
  });

  it("runs a call alone if there is no other in its turn, or one of the same row", async () => {
    const { sent, call } = fakeGroup((keys) => keys);
    expect(await call("a")).toBe("alone a");
    expect(await Promise.all(["a", "b", "a"].map(call))).toEqual(["together a", "together b", "alone a"]);
    expect(sent).toEqual(["a", "a", "a+b"]);
  });

  it("runs the calls alone that the group did not decide", async () => {
    const { call } = fakeGroup((keys) => keys.filter((key) => key !== "b"));
    expect(await Promise.all(["a", "b"].map(call))).toEqual(["together a", "alone b"]);
  });

  it("runs each call alone if the group failed because of one of them", async () => {
    const { call } = fakeGroup(failing, { repeats: true });
    const [a, bad] = await Promise.allSettled(["a", "bad"].map(call));
    expect(a).toMatchObject({ value: "alone a" });
    expect(bad).toMatchObject({ reason: { message: "bad" } });
  });

  it("rejects each call with the error of the group, and repeats none, if it failed for another reason", async () => {
    const { sent, call } = fakeGroup(failing);
    for (const each of await Promise.allSettled(["a", "b"].map(call))) {
      expect(each).toMatchObject({ reason: { message: "group" } });
    }
    expect(sent).toEqual(["a+b"]);
  });

  it("runs many calls in groups of a bounded size", async () => {
    const { sent, call } = fakeGroup((keys) => keys);
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`);
    expect(await Promise.all(keys.map(call))).toEqual(keys.map((key) => `together ${key}`));
    expect(sent.map((group) => group.split("+").length)).toEqual([32, 32, 32, 4]);
  });
});
