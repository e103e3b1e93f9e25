import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { document, ROOT } from "../support/http/blocks.ts";

interface Section {
  readonly page: string;
  readonly heading: string;
  readonly text: string;
}

const names = readdirSync(join(ROOT, "docs/api"));
const pages = new Map(names.map((name) => [name, document(`docs/api/${name}`)]));
const sections: Section[] = [...pages]
  .filter(([page]) => page !== "README.md")
  .flatMap(([page, text]) =>
    text
      .split(/^#{2,3} /m)
      .slice(1)
      .map((part) => ({ page, heading: part.slice(0, part.indexOf("\n")), text: part.slice(part.indexOf("\n") + 1) })),
  )
  .filter(({ heading }) => heading !== "Also exported");
/** The rows of the tables of members. */
const rows = sections.flatMap(({ page, heading, text }) =>
  Array.from(text.matchAll(/^\| `(\w+\??)` \| .* \| (.*) \|$/gm), ([, name = "", description = ""]) => ({
    page,
    heading,
    name,
    description: description.trim(),
  })),
);
const { exports } = JSON.parse(document("package.json")) as { exports: Record<string, { default: string }> };
const entries = Object.entries(exports).filter(([path]) => path !== "./package.json");
const pageOf = (path: string) => (path === "." ? "sojourn.md" : `${path.slice(2).replaceAll("/", "-")}.md`);

describe("the API reference", () => {
  it("has a page for each entry of the package, and no other", () => {
    expect(names.toSorted()).toEqual(["README.md", ...entries.map(([path]) => pageOf(path))].toSorted());
    expect(entries.filter(([path]) => !pages.get("README.md")!.includes(`](${pageOf(path)})`))).toEqual([]);
  });

  it.each(entries)("names whatever %s exports at run time", async (path, { default: file }) => {
    const exported = Object.keys((await import(join(ROOT, file))) as object);
    const page = pages.get(pageOf(path))!;
    expect(
      exported.filter((name) => !new RegExp(`^## ${name}\\b|^\\[\`${name}|, \\[\`${name}`, "m").test(page)),
    ).toEqual([]);
  });

  it("says of each export what it is", () => {
    expect(sections.length).toBeGreaterThan(100);
    const withoutText = (text: string) =>
      text.replaceAll(/```.*?```/gs, "").replaceAll(/^(?:\||Types:|It has the members).*$/gm, "");
    const silent = sections.filter(({ page, text }) => page !== "express-types.md" && withoutText(text).trim() === "");
    expect(silent.map(({ page, heading }) => `${page}: ${heading}`)).toEqual([]);
  });

  it("says of each option that can be left out what happens then", () => {
    const options = rows.filter(({ heading }) => heading.endsWith("Options"));
    expect(options.length).toBeGreaterThan(60);
    const silent = options.filter(
      ({ name, description }) => name.endsWith("?") && !/\bDefaults?\b|Without it/.test(description),
    );
    expect(silent.map(({ page, heading, name }) => `${page}: ${heading}.${name}`)).toEqual([]);
  });

  it("explains each member of a table", () => {
    const silent = rows.filter(({ description }) => description === "");
    expect(silent.map(({ page, heading, name }) => `${page}: ${heading}.${name}`)).toEqual([]);
  });

  it("has nothing of the machine that wrote it", () => {
    const own = [...pages].filter(
      ([, text]) => text.includes(ROOT) || /\b20\d\d-\d\d-\d\d\b|file:\/\/\/(?:home|Users|tmp)/.test(text),
    );
    expect(own.map(([name]) => name)).toEqual([]);
  });
});
