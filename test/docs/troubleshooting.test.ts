import { describe, expect, it } from "vitest";
import { document, pagesIn } from "../support/http/blocks.ts";
import { allMessages, messagesOf } from "../support/messages.ts";

const INDEX = "docs/troubleshooting/README.md";
const PAGES = pagesIn("docs/troubleshooting");
const messages = allMessages();
/** The tables of messages, row by row: the beginning of the messages that each is for. */
const tables = PAGES.flatMap((page) => document(page).split(/^## /m)).map((section) =>
  section
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [, cell = "", cause = "", remedy = ""] = line.split(/(?<!\\)\|/).map((part) => part.trim());
      return { beginning: cell.slice(1, -1), cause, remedy };
    }),
);
const rows = tables.flat();
const beginnings = rows.map(({ beginning }) => beginning);
/** As a reader looks it up: without what is only known at run time. */
const sortKey = (text: string) =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9 ]/g, "")
    .trim();

describe("the pages on troubleshooting", () => {
  it("have a row for every message of the sources", () => {
    const missing = messages.filter(({ text }) => !beginnings.some((beginning) => text.startsWith(beginning)));
    expect(missing).toEqual([]);
  });

  it("have no row for a message that there is not", () => {
    const unknown = beginnings.filter((beginning) => !messages.some(({ text }) => text.startsWith(beginning)));
    expect(unknown).toEqual([]);
  });

  it("name the code of every warning", () => {
    const pages = PAGES.map(document).join("\n");
    const codes = new Set(messages.flatMap(({ code }) => code ?? []));
    expect(codes.size).toBeGreaterThan(5);
    expect([...codes].filter((code) => !pages.includes(`\`${code}\``))).toEqual([]);
  });

  it("are all linked from the index by symptom", () => {
    const others = PAGES.filter((page) => page !== INDEX).map((page) => page.split("/").at(-1)!);
    expect(others.length).toBeGreaterThan(5);
    expect(others.filter((name) => !document(INDEX).includes(`](${name}`))).toEqual([]);
  });

  it("give a cause and a remedy in each row", () => {
    expect(rows.length).toBeGreaterThan(80);
    expect(rows.filter(({ cause, remedy }) => cause === "" || remedy === "")).toEqual([]);
  });

  it("are in alphabetical order", () => {
    for (const table of tables) {
      const keys = table.map((row) => sortKey(row.beginning));
      expect(keys).toEqual(keys.toSorted());
    }
  });
});

describe("the messages of a source", () => {
  it.each([
    ["a text", 'throw new TypeError("one")', ["one"]],
    ["a template", "throw new TypeError(`${a} is ${b}${c} now`)", ["… is … now"]],
    ["a sum", 'throw new SessionError("CODE", `a ${b}` + " c")', ["a … c"]],
    ["either of two", 'warn("CODE", a ? "one" : "two")', ["one", "two"]],
    ["a constant", 'const SAID = "one"; process.emitWarning(SAID)', ["one"]],
    ["what a function returns", 'function f() { return "one"; } throw new TypeError(`a: ${f()}`)', ["a: one"]],
    ["an entry of a table", 'const T = { a: "one" }; throw new TypeError(T[x] ?? "two")', ["one", "two"]],
    ["a message that is passed on", "warn(code, message)", []],
  ])("are found where they are written: %s", (_, source, texts) => {
    expect(messagesOf("a.ts", source).map(({ text }) => text)).toEqual(texts);
  });
});
