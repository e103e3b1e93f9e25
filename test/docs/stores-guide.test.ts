import { afterAll, describe, expect, it } from "vitest";
import { blocksOfPages, pagesIn, runBlock, workshop } from "../support/http/blocks.ts";

const blocks = blocksOfPages(pagesIn("docs/stores"));
/** Run by test/integration/stores-guide.test.ts. */
const ELSEWHERE = ["with redis", "with postgres", "with mysql", "with node 22"];
const place = workshop();
afterAll(place.clear);

describe("the pages on the stores", () => {
  it("say of each block of code how it is run", () => {
    const known = ["with nothing", "types only", ...ELSEWHERE];
    expect(blocks.filter(({ how }) => !known.includes(how))).toEqual([]);
    expect(blocks.length).toBeGreaterThan(8);
  });

  it("show code whose types are right", async () => {
    // Those of Node 20 know nothing of node:sqlite.
    const typed = blocks.filter(({ how }) => how !== "with node 22");
    expect(await place.typeErrors(typed.map(({ code }) => code))).toBe("");
  });

  it.each(blocks.filter(({ how }) => how === "with nothing"))(
    "show code that runs: $page, block $i",
    async ({ code }) => {
      expect((await runBlock(place, code)).stderr).toBe("");
    },
  );
});
