import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

/** A module of the library as a script: that is all that a startup snapshot can be made of. */
function asScript(module: string): string {
  const text = readFileSync(new URL(`../dist/${module}`, import.meta.url), "utf8");
  return text.replace(/^import (\{[^}]*\}) from (".*");$/gm, "const $1 = require($2);").replace(/^export /gm, "");
}

it("processes started from one startup snapshot of Node make different secrets, although one was made before", () => {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  const run = (...args: string[]) => execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  try {
    const main = `freshBytes(16);
      require("node:v8").startupSnapshot.setDeserializeMainFunction(() => console.log(freshBytes(16).toString("hex")));`;
    writeFileSync(join(folder, "main.cjs"), asScript("random.js") + main);
    run("--snapshot-blob", "blob", "--build-snapshot", "main.cjs");
    const made = Array.from({ length: 3 }, () => run("--snapshot-blob", "blob").trim());
    for (const secret of made) expect(secret).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(made).size).toBe(3);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
