import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { document, ROOT } from "../support/http/blocks.ts";
import { membersOf, referencePages, sectionsOf } from "../support/reference.ts";

// Next.js is too large to be installed here.
vi.mock("next/cache.js", () => ({ refresh: undefined }));
vi.mock("next/headers.js", () => ({ cookies: undefined, headers: undefined }));
vi.mock("next/server.js", () => ({ after: undefined, connection: undefined }));

const reference = referencePages();
const sections = [...reference].flatMap(([page, text]) => sectionsOf(text).map((section) => ({ page, ...section })));
const members = [...reference].flatMap(([page, text]) => membersOf(text).map((member) => ({ page, ...member })));
const { exports } = JSON.parse(document("package.json")) as { exports: Record<string, { default: string }> };
const entries = Object.entries(exports).filter(([path]) => path !== "./package.json");
const pageOf = (path: string) => (path === "." ? "sojourn.md" : `${path.slice(2).replaceAll("/", "-")}.md`);

describe("the API reference", () => {
  it("has a page for each entry of the package, and no other", () => {
    expect([...reference.keys()].toSorted()).toEqual(entries.map(([path]) => pageOf(path)).toSorted());
    const index = document("docs/api/README.md");
    expect(entries.filter(([path]) => !index.includes(`](${pageOf(path)})`))).toEqual([]);
  });

  it.each(entries)("names whatever %s exports at run time", async (path, { default: file }) => {
    const exported = Object.keys((await import(join(ROOT, file))) as object);
    const page = reference.get(pageOf(path))!;
    const isNamed = (name: string) => new RegExp(`^## ${name}\\b|(?:^|, )\\[\`${name}\``, "m").test(page);
    expect(exported.filter((name) => !isNamed(name))).toEqual([]);
  });

  it("says of each export what it is", () => {
    expect(sections.length).toBeGreaterThan(100);
    const prose = (text: string) =>
      text
        .replaceAll(/```.*?```/gs, "")
        .replaceAll(/^(?:\||Types:|It has the members).*$/gm, "")
        .trim();
    const silent = sections.filter(
      ({ page, text }) => !["express-types.md", "express-session-types.md"].includes(page) && prose(text) === "",
    );
    expect(silent.map(({ page, heading }) => `${page}: ${heading}`)).toEqual([]);
  });

  it("says of each option that can be left out what happens then", () => {
    const options = members.filter(({ owner, isOptional }) => owner.endsWith("Options") && isOptional);
    expect(options.length).toBeGreaterThan(60);
    const silent = options.filter(({ description }) => !/\bDefault\b/.test(description));
    expect(silent.map(({ page, owner, name }) => `${page}: ${owner}.${name}`)).toEqual([]);
  });

  it("explains each member of a table", () => {
    const silent = members.filter(({ description }) => description === "");
    expect(silent.map(({ page, owner, name }) => `${page}: ${owner}.${name}`)).toEqual([]);
  });

  it("has nothing of the machine and the day of its writing", () => {
    const own = [...reference].filter(
      ([, text]) => text.includes(ROOT) || /\b20\d\d-\d\d-\d\d\b|file:\/\/\/(?:home|Users|tmp)/.test(text),
    );
    expect(own.map(([page]) => page)).toEqual([]);
  });
});
