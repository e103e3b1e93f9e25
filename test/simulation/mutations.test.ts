import { describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/setup.mjs";
import { MUTATIONS, patchesOf, staleMutations } from "./mutations/all.mjs";

describe("the mutations that the simulation has to find", () => {
  it("name texts that the sources have exactly once", () => {
    expect(staleMutations(ROOT)).toEqual([]);
  });

  it("are reported if the sources do not have their text, or have it twice", () => {
    const { file, to } = MUTATIONS[0]!;
    const gone = { name: "gone", file, from: "no such text\n", to };
    const twice = { name: "twice", file, from: "return", to };
    expect(staleMutations(ROOT, [gone, twice])).toEqual([
      `gone: ${file} does not have this text once:\nno such text\n`,
      `twice: ${file} does not have this text once:\nreturn`,
    ]);
  });

  it("change the text that they name, and have names of their own", () => {
    expect(MUTATIONS.flatMap(patchesOf).filter(({ from, to }) => from === to)).toEqual([]);
    const names = MUTATIONS.map(({ name }) => name);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });
});
