import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import { document, pagesIn } from "../support/http/blocks.ts";

const MAX_WORDS = 1000;
/** The characters before a page's first code, table or picture. */
const MAX_PREFACE = 500;
/** Read by nobody from the beginning to the end: the reference, the records of decisions, and tables of figures. */
const LONG = /^docs\/(?:api|decisions)\/|^docs\/benchmarks\.md$/;
const PAGES = pagesIn("docs").filter((page) => !LONG.test(page));

/** The words that a person reads: no code, no comment, and no mark of a table or a list. */
function countWords(text: string): number {
  const read = text.replaceAll(/```.*?```|<!--.*?-->/gs, "");
  return read.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

/** The pictures that a page shows, each with the text for a person who can't see it. */
const picturesOf = (page: string) =>
  Array.from(document(page).matchAll(/!\[([^\]]*)\]\(([^)\s]+\.svg)\)/g), ([, alt = "", path = ""]) => ({
    alt,
    svg: document(posix.join(posix.dirname(page), path)),
  }));

describe("a page of the documentation", () => {
  it("asks one question, and begins with the code, table or picture that answers it", () => {
    expect(PAGES.length).toBeGreaterThan(30);
    expect(PAGES.filter((page) => !/^# .*\?\n/.test(document(page)))).toEqual([]);
    const late = PAGES.filter((page) => {
      const answer = document(page).search(/^(?:```|!\[|\|)/m);
      return answer === -1 || answer > MAX_PREFACE;
    });
    expect(late).toEqual([]);
  });

  it("has at most a thousand words", () => {
    const long = PAGES.map((page) => ({ page, words: countWords(document(page)) })).filter(
      ({ words }) => words > MAX_WORDS,
    );
    expect(long).toEqual([]);
  });

  it("shows pictures that can be read on light and dark, and describes each in words", () => {
    const shown = [...PAGES, "README.md"].flatMap(picturesOf);
    expect(shown.length).toBeGreaterThan(2);
    expect(shown.filter(({ svg }) => !svg.includes("prefers-color-scheme"))).toEqual([]);
    const titleOf = (svg: string) => /<title[^>]*>([^<]+)<\/title>/.exec(svg)?.[1];
    expect(shown.map(({ alt }) => alt)).toEqual(shown.map(({ svg }) => titleOf(svg)));
  });
});

describe("the count of a page's words", () => {
  it("leaves out code, comments and the marks of tables and lists", () => {
    const page = "# Two words\n\n<!-- run: with nothing -->\n```ts\nconst x = 1;\n```\n\n| a | b |\n|---|---|\n- c\n";
    expect(countWords(page)).toBe(5);
  });
});
