import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { document, ROOT } from "../support/http/blocks.ts";

/** They say what was measured, how, and when. */
const DECISIONS = pagesIn("docs/decisions").map(document).join("\n");
/** Pages on one measurement and what follows from it. They name the tool that repeats it. */
const RECORDS = ["docs/scaling.md", "docs/a-million-sessions.md"];

function pagesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `${folder}/${name}`);
}

const pages = ["README.md", ...pagesIn("docs")].filter(
  (page) => page !== "docs/benchmarks.md" && !/^docs\/(?:decisions|api)\//.test(page) && !RECORDS.includes(page),
);

const NUMBER = String.raw`\d+(?:[., ]\d+)*`;
/** A measured time, size, share or ratio. Durations and limits are code, with a unit that is written to the number. */
const FIGURE = new RegExp(
  String.raw`(?<![\w.])(${NUMBER})(?: (?:to|and|or) (${NUMBER}))? (?:µs|ns|ms|times(?= (?:as|the)\b)|%|(?:bytes|B) (?:a|each|per)\b|of (?:the )?(${NUMBER})\b)`,
  "gu",
);

/** The figures of a text, outside of code and of what the bench has written. */
function figuresOf(text: string): string[] {
  const prose = text
    .replaceAll(/<!-- bench:([\w-]+) -->.*?<!-- \/bench:\1 -->/gs, "")
    .replaceAll(/^```.*?^```/gms, "")
    .replaceAll(/`[^`\n]*`/g, "");
  return Array.from(prose.matchAll(FIGURE), ([figure]) => figure.replaceAll(/\s+/g, " "));
}

/** Each number with its unit, thousands without what separates them: `12 to 20 ms` is two figures. */
function partsOf(figure: string): string[] {
  const unit = /[µ%a-z]+(?: [a-z]+)?$/.exec(figure.replace(/ of .*$/, " of"))?.[0] ?? "";
  const numbers = figure.replaceAll(/(?<=\d)[, ](?=\d{3}(?!\d))/g, "").matchAll(/\d+(?:\.\d+)?/g);
  return Array.from(numbers, ([number]) => `${number} ${unit}`);
}

const known = new Set(figuresOf(DECISIONS).flatMap(partsOf));

describe("a measured figure in README or a guide", () => {
  it.each(pages)("is written by the bench, or stands in a decision: %s", (page) => {
    const unknown = figuresOf(document(page)).filter((figure) => !partsOf(figure).every((part) => known.has(part)));
    expect(unknown).toEqual([]);
  });

  it("is found where it is written", () => {
    const text =
      "0.3 ms, 11 000 of 11 000, 12 to 20 µs, 2.7 times the cost, 90 %; not `30 ms`, 16 KB or up to 16 times";
    expect(figuresOf(text)).toEqual(["0.3 ms", "11 000 of 11 000", "12 to 20 µs", "2.7 times", "90 %"]);
    expect(partsOf("11 000 of 12 000")).toEqual(["11000 of", "12000 of"]);
  });
});

describe("a page on one measurement", () => {
  it("names the tool that repeats it", () => {
    const present = RECORDS.filter((page) => existsSync(join(ROOT, page))).map(document);
    expect(present.some((text) => text.includes("bench/tools/scale.mjs"))).toBe(true);
  });
});
