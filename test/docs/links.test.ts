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
