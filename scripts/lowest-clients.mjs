// Runs the tests of stores with the oldest client packages that src/stores/shared/oldest-clients.ts says will do, in a
// clone of the last commit, so that this one's node_modules stay as they are.
//
//   npm run lowest -- [arguments for vitest]
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { npm, prepare, ROOT } from "./setup.mjs";

const TESTS = ["redis", "postgres", "mysql", "cached", "open-store", "stores-processes"];
/** Compiled, into a folder of its own: `npm test` takes care of it. */
const ELSEWHERE = "better-sqlite3";

prepare();
const { OLDEST_CLIENTS } = await import(pathToFileURL(join(ROOT, "dist/stores/shared/oldest-clients.js")).href);
const oldest = Object.entries(OLDEST_CLIENTS)
  .filter(([name]) => name !== ELSEWHERE)
  .map(([name, version]) => `${name}@${version}`);
const chosen = process.argv.slice(2);
const clone = mkdtempSync(join(tmpdir(), "sojourn-lowest-"));
try {
  run("git", "clone", "--quiet", ROOT, clone);
  console.log(oldest.join(" "));
  run(...npm("install", "--no-audit", "--no-fund", "--save-dev", "--save-exact", ...oldest));
  run(...npm("test", "--", ...(chosen.length > 0 ? chosen : TESTS.map((name) => `test/integration/${name}`))));
} finally {
  rmSync(clone, { recursive: true, force: true });
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: clone, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`);
}
