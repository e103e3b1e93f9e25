import { describe, expect, it } from "vitest";
import { document, pagesIn, quotesOf } from "../support/http/blocks.ts";

/** Pages of frameworks that are not installed here quote files, which are compiled and run with their framework. */
const quotes = pagesIn("docs").flatMap((page) => quotesOf(document(page)).map((file) => ({ page, ...file })));

describe("a page that quotes an example", () => {
  it.each(quotes)("shows what is in the file: $page, $name", ({ name, code }) => {
    expect(document(name)).toContain(code.trimEnd());
  });

  it("is there", () => {
    expect(quotes.length).toBeGreaterThan(20);
  });
});

describe("a page of a framework", () => {
  const pages = [...new Set(quotes.map(({ page }) => page))].filter((page) => page !== "docs/h3.md");

  it.each(pages)("says of each block of code which file it is: %s", (page) => {
    const text = document(page);
    expect(text.match(/^```(?!sh\b)\w+\n/gm)).toHaveLength(quotesOf(text).length);
  });
});
