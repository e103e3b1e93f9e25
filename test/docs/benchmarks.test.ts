import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, it } from "vitest";
import { readResults, type Results } from "../../bench/lib/results.mjs";
import { DOCUMENTS, fillBlocks } from "../../bench/report/blocks.mjs";
import { document, ROOT } from "../support/http/blocks.ts";

const BLOCK = /<!-- bench:([\w-]+) -->\n(.*?)<!-- \/bench:\1 -->/gs;
const blocksOf = (text: string) =>
  new Map(Array.from(text.matchAll(BLOCK), ([, name = "", content]) => [name, content]));

interface LayerResult {
  contenders: { name: string; cells: { read: { layer: { median: number } } } }[];
}

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
    const costsOf = (results: Results) =>
      blocksOf(fillBlocks(document("docs/benchmarks.md"), results, "pictures")).get("cost")!;
    expect(costsOf(readResults())).not.toMatch(/-\d/);
    const cheaper = structuredClone(readResults()) as unknown as Map<string, LayerResult[]>;
    for (const { contenders } of cheaper.get("layer")!)
      for (const { name, cells } of contenders) if (name === "fastify · sojourn · memory") cells.read.layer.median = -3;
    expect(costsOf(cheaper as unknown as Results)).toMatch(/fastify: @fastify\/session \| – <sub>under 1 \//);
    expect(costsOf(cheaper as unknown as Results)).not.toMatch(/-\d/);
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
