import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, it } from "vitest";
import { readResults } from "../../bench/lib/results.mjs";
import { DOCUMENTS, fillBlocks } from "../../bench/report/blocks.mjs";
import { document, ROOT } from "../support/http/blocks.ts";

const BLOCK = /<!-- bench:([\w-]+) -->\n(.*?)<!-- \/bench:\1 -->/gs;
const blocksOf = (text: string) =>
  new Map(Array.from(text.matchAll(BLOCK), ([, name = "", content]) => [name, content]));

describe.each(Object.entries(DOCUMENTS))("the measured figures of %s", (name, pictures) => {
  const text = document(name);

  it("are those of bench/results", () => {
    expect(blocksOf(text)).toEqual(blocksOf(fillBlocks(text, readResults(), pictures)));
  });

  it("stand in blocks that are closed", () => {
    const marks = (pattern: RegExp) => Array.from(text.matchAll(pattern), ([, block]) => block);
    expect(marks(/<!-- bench:([\w-]+) -->/g)).toEqual(marks(/<!-- \/bench:([\w-]+) -->/g));
  });

  it("have pictures that are there", () => {
    const shown = Array.from(text.matchAll(/!\[[^\]]+\]\(([^)]+\.svg)\)/g), ([, path = ""]) => path);
    const missing = shown.filter((path) => !existsSync(join(ROOT, posix.join(posix.dirname(name), path))));
    expect(missing).toEqual([]);
  });
});

describe("the summary of what a request costs", () => {
  it("has no negative cost, but says that it lies below what can be measured", () => {
    const costs = blocksOf(document("docs/benchmarks.md")).get("cost")!;
    expect(costs).toContain("| under 1 |");
    expect(costs).not.toMatch(/\| -\d/);
  });
});

describe("a figure that a person changes in a generated block", () => {
  it("is replaced by what was measured", () => {
    const results = readResults();
    const text = document("docs/benchmarks.md");
    const changed = text.replace(/<!-- bench:floors -->\n/, "$&A hundred times as fast.\n");
    expect(changed).not.toBe(text);
    expect(fillBlocks(changed, results, DOCUMENTS["docs/benchmarks.md"]!)).toBe(
      fillBlocks(text, results, DOCUMENTS["docs/benchmarks.md"]!),
    );
  });
});
