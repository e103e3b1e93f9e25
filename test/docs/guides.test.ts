import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createSessions } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { describe, expect, it } from "vitest";
import { document, ROOT } from "../support/http/blocks.ts";
import { SECRET_KEY } from "../support/http/servers.ts";

/** Each answers one question, in less words than a tired reader puts up with. */
const GUIDES = [
  "getting-started",
  "coming-from-express-session",
  "production",
  "comparison",
  "options",
  "how-it-works",
];

/** A page without its code. */
const proseOf = (page: string) => page.replaceAll(/```.*?```/gs, "");

describe.each(GUIDES)("the guide %s", (name) => {
  const page = document(`docs/${name}.md`);

  it("asks one question and begins with code", () => {
    expect(page).toMatch(/^# [A-Z][^\n]*\?\n/);
    expect(page.indexOf("```")).toBeLessThan(500);
  });

  it("has less than a thousand words beside its code", () => {
    expect(proseOf(page).split(/\s+/).length).toBeLessThan(1000);
  });
});

describe("the index of the documents", () => {
  it("lists every page", () => {
    const pages = readdirSync(join(ROOT, "docs"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.name.endsWith(".md"))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .filter((page) => !["README.md", "pictures/"].includes(page));
    const index = document("docs/README.md");
    expect(pages.filter((page) => !index.includes(`](${page}`))).toEqual([]);
  });
});

describe("the page of the options", () => {
  /** The names that the error of an unknown option lists. */
  function namesIn(attempt: () => unknown): string[] {
    try {
      attempt();
    } catch (error) {
      const [, list = ""] = /use any of (.*), or remove it/.exec((error as Error).message) ?? [];
      return list.match(/\w+/g) ?? [];
    }
    return [];
  }

  it("names every option of createSessions, and every option of the cookie", () => {
    const given = { secretKey: SECRET_KEY, store: memoryStore() };
    const options = namesIn(() => createSessions({ ...given, none: 1 } as never));
    const ofCookie = namesIn(() => createSessions({ ...given, cookie: { none: 1 } } as never));
    expect([options.length > 10, ofCookie.length > 5]).toEqual([true, true]);
    const page = document("docs/options.md");
    expect([...options, ...ofCookie].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("README", () => {
  it("says what costs more here than elsewhere, and the last run of the bench agrees", () => {
    const [, layer = ""] = /<!-- bench:layer -->(.*?)\n\nNode 24/s.exec(document("docs/benchmarks.md"))!;
    const ratios = layer
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .map((cells) => ({ name: cells[1], read: Number(cells[6]), write: Number(cells[7]), signIn: Number(cells[8]) }))
      .filter(({ name = "", signIn }) => signIn > 0 && !name.includes("floor"));
    expect(ratios.length).toBeGreaterThan(5);

    expect(document("README.md")).toContain("A sign-in costs more than with some peers");
    expect(ratios.filter(({ signIn }) => signIn > 1).length).toBeGreaterThan(0);
    expect(document("README.md")).toContain("`@fastify/secure-session` reads and writes its cookie\nat a lower cost");
    const { read, write } = ratios.find(({ name }) => name === "fastify: @fastify/secure-session")!;
    expect(Math.min(read, write)).toBeGreaterThan(1);
  });
});
