import { readdirSync } from "node:fs";
import { join } from "node:path";
import { SessionError, type SessionErrorCode } from "sojourn";
import { describe, expect, it } from "vitest";
import { document, ROOT } from "../support/http/blocks.ts";
import { functionsOf, inlineOptionsOf, membersOf, referencePages } from "../support/reference.ts";

const GUIDES = [
  "README.md",
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .map((name) => `docs/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".md") && !/^docs\/(?:api|decisions)\/|benchmarks/.test(name)),
].map(document);
const reference = referencePages();
/** Interfaces of options that are not called so, since they are members of other options. */
const NESTED = ["Limits", "ClientDetails"];
const OPTIONS = [...reference].flatMap(([page, text]) => [
  ...membersOf(text)
    .filter(({ owner }) => owner.endsWith("Options") || NESTED.includes(owner))
    .map(({ owner, name }) => ({ page, owner, name })),
  ...inlineOptionsOf(text).map(({ owner, name }) => ({ page, owner, name })),
]);

/** Where others than the functions of the entry take its options: every adapter, and what an application calls anyway. */
const TAKERS: Readonly<Record<string, readonly string[]>> = {
  "sojourn.md": [""],
  "adapter.md": ["sessionMiddleware", "sessionPlugin", "withSession"],
  // Its options are a key of nuxt.config.
  "nuxt.md": ["`sojourn/nuxt` is a module"],
};

/** Whether a page of code and prose names an option, as `name` or as the key of an object. */
const names = (text: string, option: string) =>
  new RegExp(String.raw`\`${option}\b|\b${option}: |[{,] ${option} [,}]`).test(text);

describe("the guides", () => {
  it("name every option, on a page that names what takes it", () => {
    expect(OPTIONS.length).toBeGreaterThan(80);
    const missing = OPTIONS.filter(({ page, name }) => {
      const takers = TAKERS[page] ?? functionsOf(reference.get(page)!);
      return !GUIDES.some((text) => takers.some((taker) => text.includes(taker)) && names(text, name));
    });
    expect(missing.map(({ page, owner, name }) => `${page}: ${owner}.${name}`)).toEqual([]);
  });

  it("name every event", () => {
    const events = membersOf(reference.get("sojourn.md")!).filter(({ owner }) => owner === "SessionEvents");
    expect(events.length).toBeGreaterThan(5);
    expect(events.filter(({ name }) => !names(document("docs/events.md"), name))).toEqual([]);
  });

  it("name every code of an error with its status", () => {
    const listed = (text: string, row: RegExp) =>
      Object.fromEntries(Array.from(text.matchAll(row), ([, code = "", status]) => [code, Number(status)]));
    const guide = listed(document("docs/errors.md"), /^\| `(ERR_SESSION_\w+)` \| (\d+) \|/gm);
    const comments = listed(reference.get("sojourn.md")!, /^- `(ERR_SESSION_\w+)` \((\d+)\):/gm);
    const type = /type SessionErrorCode =\s(.*?);/s.exec(reference.get("sojourn.md")!)![1]!;
    const codes = Array.from(type.matchAll(/"(\w+)"/g), ([, code]) => code as SessionErrorCode);
    const expected = Object.fromEntries(codes.map((code) => [code, new SessionError(code, "").status]));
    expect(codes.length).toBeGreaterThan(8);
    expect(guide).toEqual(expected);
    expect(comments).toEqual(expected);
  });
});
