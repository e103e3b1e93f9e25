import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { encode, BOUNDLESS, type Dictionary } from "./codec.ts";
import { Journal } from "./journal.ts";

const journalOf = (data: Dictionary) =>
  new Journal({ data: encode(data, BOUNDLESS), flashes: [] }, { bytes: 10_000, depth: 10 });

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What a `WeakRef` refers to stays until the end of the turn. */
async function collected(): Promise<void> {
  await new Promise((resolve) => void setImmediate(resolve));
  collectGarbage();
}

/** Values that a handler has looked at, and gives up. */
function givenUp(data: Dictionary, ...keys: string[]) {
  const journal = journalOf(data);
  const values = keys.map((key) => journal.data[key]);
  return { values: values as unknown[][], given: journal.givenUp() };
}

describe("GivenUpValues", () => {
  it("are none where the handler has no object that it could change", () => {
    expect(givenUp({ a: 1, list: [1] }, "a").given).toBeUndefined();
    expect(journalOf({ list: [1] }).givenUp()).toBeUndefined();
  });

  it("tell of a change of any value that was given", () => {
    const { values, given } = givenUp({ one: [1], two: [[2]] }, "one", "two");
    expect(given!.isChangeLost({})).toBe(false);
    (values[1]![0] as unknown[]).push(3);
    expect(given!.isChangeLost({})).toBe(true);
    expect(given!.isChangeLost({ other: [[2, 3]] })).toBe(true);
  });

  it("tell of none where the value, or a part of it, is in the data", () => {
    const { values, given } = givenUp({ two: [[2]] }, "two");
    const [two] = values;
    two!.push(3);
    expect(given!.isChangeLost({ again: { deep: two } })).toBe(false);
    expect(given!.isChangeLost({ again: two![0] })).toBe(false);
  });

  it("tell of changes after restart() alone", () => {
    const { values, given } = givenUp({ one: [1] }, "one");
    values[0]!.push(2);
    given!.restart();
    expect(given!.isChangeLost({})).toBe(false);
    values[0]!.push(3);
    expect(given!.isChangeLost({})).toBe(true);
  });

  it("know all values after a save, which gives the handler whatever is in the data", () => {
    const journal = journalOf({});
    const list: number[] = [];
    journal.data["list"] = list;
    expect(journal.isChanged()).toBe(true);
    const snapshot = journal.snapshot();
    journal.stored(snapshot, snapshot.content);
    const given = journal.givenUp();
    list.push(1);
    expect(given!.isChangeLost({})).toBe(true);
  });

  it("are kept until release(), and after that as long as the handler has a part of one", async () => {
    const begin = () => {
      const { values, given } = givenUp({ one: [[1]], two: [[2]] }, "one", "two");
      return { refs: values.map((value) => new WeakRef(value)), given: given!, part: values[1]![0] as unknown[] };
    };
    const { refs, given, part } = begin();
    const areThere = () => refs.map((ref) => ref.deref() !== undefined);
    await collected();
    expect(areThere()).toEqual([true, true]);
    given.release();
    await collected();
    expect(areThere()).toEqual([false, true]);
    expect(given.isChangeLost({})).toBe(false);
    part.push(3);
    expect(given.isChangeLost({})).toBe(true);
    given.restart();
    expect(given.isChangeLost({})).toBe(false);
  });

  it("can be released though one has become a cycle", () => {
    const { values, given } = givenUp({ one: [1] }, "one");
    values[0]!.push(values[0]);
    given!.release();
    values[0]!.pop();
    expect(given!.isChangeLost({})).toBe(false);
    values[0]!.push(2);
    expect(given!.isChangeLost({})).toBe(true);
  });
});
