import { afterAll, describe, expect, it } from "vitest";
import { blocksOf, document, runBlock, workshop } from "../support/http/blocks.ts";

const blocks = blocksOf(document("docs/stores.md")).map((block, i) => ({ ...block, i: i + 1 }));
/** Run by test/integration/stores-guide.test.ts. */
const ELSEWHERE = ["with redis", "with postgres", "with mysql", "with node 22"];
const place = workshop();
afterAll(place.clear);

describe("the guide to the stores", () => {
  it("says of each block of code how it is run", () => {
    const known = ["with nothing", "types only", ...ELSEWHERE];
    expect(blocks.filter(({ how }) => !known.includes(how))).toEqual([]);
    expect(blocks.length).toBeGreaterThan(8);
  });

  it("shows code whose types are right", async () => {
    // Those of Node 20 know nothing of node:sqlite.
    const typed = blocks.filter(({ how }) => how !== "with node 22");
    expect(await place.typeErrors(typed.map(({ code }) => code))).toBe("");
  });

  it.each(blocks.filter(({ how }) => how === "with nothing"))(
    "shows code in the guide to the stores that runs: block $i",
    async ({ code }) => {
      expect((await runBlock(place, code)).stderr).toBe("");
    },
  );
});
