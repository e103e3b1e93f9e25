// Runs the tests of stores with the oldest client packages that package.json says will do, in a clone of the last commit,
// so that this one's node_modules stay as they are.
//
//   npm run lowest -- [arguments for vitest]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { npm, ROOT } from "./setup.mjs";

const TESTS = ["redis", "postgres", "mysql", "cached", "open-store", "stores-processes"];
/** Compiled, into a folder of its own: `npm test` takes care of it. */
const ELSEWHERE = "better-sqlite3";

const { peerDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const oldest = Object.entries(peerDependencies)
  .filter(([name]) => name !== ELSEWHERE)
  .map(([name, range]) => `${name}@${/^>=(\d+\.\d+\.\d+)$/.exec(range)[1]}`);
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
