// `npm test`: from a fresh clone to the line `N passed, N failed`, which is the last one printed whatever happens.
// Arguments go to vitest: `npm test -- src/journal.test.ts -t conflict`.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provideServers } from "./servers.mjs";
import { prepare, ROOT, SetupError } from "./setup.mjs";

const REPORTER = "test/support/closing-line-reporter.ts";

try {
  prepare();
  for (const { name, env } of provideServers()) {
    if (process.env.CI) throw new SetupError(`${name} is missing: set ${env}, or put it on the PATH.`);
    console.log(`${name} is missing: its tests are skipped. (Set ${env}, or put it on the PATH.)`);
  }
  await close(...(await runTests(process.argv.slice(2))));
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  await close(1);
}

async function runTests(args) {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  const countsFile = join(folder, "counts.json");
  // --reporter replaces the default one, which is wanted unless the caller chose another.
  const chosen = args.some((arg) => arg.startsWith("--reporter")) ? [] : ["--reporter=default"];
  const vitest = ["node_modules/vitest/vitest.mjs", "run", ...chosen, `--reporter=./${REPORTER}`, ...args];
  try {
    const status = await runNode(vitest, { ...process.env, SOJOURN_TEST_COUNTS: countsFile });
    return [status, readCounts(countsFile)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// A child, since a test run may crash, and the closing line must be printed then too.
function runNode(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: "inherit" });
    // A terminal's Ctrl-C reaches the child by itself; this process only has to outlive it.
    process.on("SIGINT", () => {});
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function readCounts(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined; // vitest did not get as far as reporting
  }
}

async function close(status, { passed, failed, skipped } = { passed: 0, failed: 0, skipped: 0 }) {
  const line = `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}\n`;
  await new Promise((resolve) => process.stdout.write(line, resolve));
  // A run without a single test has shown nothing.
  process.exit(status || (failed > 0 || passed === 0 ? 1 : 0));
}
