import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { npm } from "../../scripts/setup.mjs";
import { document, ROOT } from "../support/http/blocks.ts";

let packed: string[];
let links: { readonly page: string; readonly target: string }[];

beforeAll(() => {
  const [command, ...args] = npm("pack", "--dry-run", "--json", "--ignore-scripts");
  const { stdout } = spawnSync(command!, args, { cwd: ROOT, encoding: "utf8" });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  packed = files.map(({ path }) => path);
  links = packed
    .filter((path) => path.endsWith(".md"))
    .flatMap((page) =>
      Array.from(document(page).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => ({ page, target })),
    );
});

/** The anchors that GitHub gives to the headings of a page: the second of two that are alike ends in `-1`. */
function anchorsOf(text: string): Set<string> {
  const counts = new Map<string, number>();
  const headings = text.replaceAll(/^```.*?^```/gms, "").matchAll(/^#{1,6} (.*)$/gm);
  return new Set(
    Array.from(headings, ([, heading = ""]) => {
      const shown = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
      const anchor = shown.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "").replaceAll(" ", "-");
      const count = counts.get(anchor) ?? 0;
      counts.set(anchor, count + 1);
      return count === 0 ? anchor : `${anchor}-${count}`;
    }),
  );
}

describe("a link in a document of the package", () => {
  it("leads to a page of the same package, or is absolute", () => {
    const relative = links.filter(({ target }) => !/^(https:|#)/.test(target));
    expect(relative.length).toBeGreaterThan(10);
    const isPacked = (path: string) => packed.some((file) => file === path || file.startsWith(`${path}/`));
    const broken = relative.filter(({ page, target }) => {
      const path = posix.join(posix.dirname(page), target.replace(/#.*/, "")).replace(/\/$/, "");
      return !isPacked(path);
    });
    expect(broken).toEqual([]);
  });

  it("leads to a heading that the page has, where it names one", () => {
    const anchors = new Map<string, Set<string>>();
    const broken = links.filter(({ page, target }) => {
      const [path = "", anchor] = target.split("#");
      if (anchor === undefined || path.startsWith("https:") || !/(^|\.md)$/.test(path)) return false;
      const to = path === "" ? page : posix.join(posix.dirname(page), path);
      if (!anchors.has(to)) anchors.set(to, anchorsOf(document(to)));
      return !anchors.get(to)!.has(anchor);
    });
    expect(anchors.size).toBeGreaterThan(20);
    expect(broken).toEqual([]);
  });

  it("that only names a file of the repository names one that is there", () => {
    const pages = [...new Set(links.map(({ page }) => page))];
    const mentioned = pages.flatMap((page) =>
      Array.from(
        document(page).matchAll(/`((?:src|test|examples|scripts|docs)\/[\w./-]+\.(?:ts|mjs|md))`/g),
        ([, path = ""]) => ({
          page,
          path,
        }),
      ),
    );
    expect(mentioned.length).toBeGreaterThan(20);
    // NNN stands for a number.
    expect(mentioned.filter(({ path }) => !path.includes("NNN") && !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("names the repository of package.json where it is absolute and leads to the sources", () => {
    const { repository } = JSON.parse(document("package.json")) as { repository: { url: string } };
    const home = repository.url.replace(/^git\+/, "").replace(/\.git$/, "");
    const sources = links.filter(({ target }) => target.includes("/sojourn/"));
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter(({ target }) => !target.startsWith(`${home}/`))).toEqual([]);
  });
});
