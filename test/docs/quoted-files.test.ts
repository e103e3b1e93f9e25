import { describe, expect, it } from "vitest";
import { document } from "../support/http/blocks.ts";

/** Pages whose code is that of an example with a package of its own. Its own tests compile and run it. */
const PAGES = ["docs/sveltekit.md", "docs/astro.md"];

describe.each(PAGES)("%s", (page) => {
  const blocks = document(page).match(/^```\w+\n/gm)!;
  const files = Array.from(
    document(page).matchAll(/<!-- file: (\S+) -->\n```\w+\n(.*?)```\n/gs),
    ([, path = "", code]) => ({ path, code }),
  );

  it("says of each block of code which file it is", () => {
    expect(files.length).toBeGreaterThan(3);
    expect(blocks).toHaveLength(files.length);
  });

  it.each(files)("shows $path as it is", ({ path, code }) => {
    expect(code).toBe(document(path));
  });
});
