import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { document, filesOf, pagesIn, ROOT } from "../support/http/blocks.ts";

/** Pages of frameworks that are not installed here. They quote files, which are compiled and run with their framework. */
const quotes = pagesIn("docs").flatMap((page) =>
  filesOf(document(page))
    .filter(({ name }) => /^(?:examples|test)\//.test(name))
    .map((file) => ({ page, ...file })),
);

describe("a page that quotes an example", () => {
  it.each(quotes)("shows what is in the file: $page, $name", ({ name, code }) => {
    expect(existsSync(join(ROOT, name))).toBe(true);
    expect(squeezed(document(name))).toContain(squeezed(code));
  });

  it("is there", () => {
    expect(quotes.length).toBeGreaterThan(5);
  });
});

/** An excerpt may leave out imports: the lines of the file that are in it, in their order. */
const squeezed = (code: string): string => code.trimEnd();
