import { describe, expect, it } from "vitest";
import { document, pagesIn } from "../support/http/blocks.ts";

/** Blocks of pages that are files of an example, which its own tests compile and run. */
const quoted = pagesIn("docs").flatMap((page) =>
  Array.from(
    document(page).matchAll(/<!-- quoted from: (\S+) -->\n```\w+\n(.*?)```/gs),
    ([, file = "", code = ""]) => ({ page, file, code }),
  ),
);

describe("a file of an example", () => {
  it("is quoted by some pages", () => expect(quoted.length).toBeGreaterThan(5));

  it.each(quoted)("is in $page as it is: $file", ({ file, code }) => expect(code).toBe(document(file)));
});
