import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** Supports of servers, and of whatever else Node and npm alone don't bring. */
const NEEDY = /\/support\/(?:engines|mariadb|outages|postgres|redis|runtimes|sqlite)\.ts"|process\.env\.\w+_PATH/;

/** The tests of a folder. Folders that a running test has made for itself begin with a dot. */
function testsIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name.startsWith(".") ? [] : testsIn(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

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
      "test/types",
      "examples",
    ].flatMap(testsIn);
    expect(quick.length).toBeGreaterThan(50);
    expect(quick.filter((file) => NEEDY.test(readFileSync(join(ROOT, file), "utf8")))).toEqual([]);
  });
});
