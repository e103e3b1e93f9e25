import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** Supports of servers, and of whatever else Node and npm alone don't bring. */
const NEEDY = /\/support\/(?:engines|mariadb|outages|postgres|redis|runtimes|sqlite)\.ts"|process\.env\.\w+_PATH/;

const testsIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts") && !file.includes("node_modules"))
    .map((file) => join(folder, file));

describe("the tests", () => {
  it("that need more than Node and npm lie under test/integration, where npm test leaves them out", () => {
    const quick = [
      "src",
      "test/http",
      "test/stores",
      "test/docs",
      "test/fuzz",
      "test/scripts",
      "test/support",
      "examples",
    ].flatMap(testsIn);
    expect(quick.length).toBeGreaterThan(50);
    expect(quick.filter((file) => NEEDY.test(readFileSync(join(ROOT, file), "utf8")))).toEqual([]);
  });
});
