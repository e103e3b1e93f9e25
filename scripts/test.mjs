// `npm test`: what Node and npm alone can run, from a fresh clone on. `npm run test:all`: the same, and what needs real
// servers, a browser and other runtimes. `npm run test:frameworks -- koa`: the examples with packages of their own, and the
// adapters for their frameworks. The line `N passed, N failed` is the last one printed, whatever happens.
// Arguments go to vitest: `npm test -- src/changes/journal.test.ts -t conflict`.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provideServers, serversOf, variables } from "./servers.mjs";
import { prepare, ROOT, SetupError } from "./setup.mjs";

const REPORTER = "test/support/closing-line-reporter.ts";
/** What needs more than Node and npm. */
const SERVERS = "test/integration";
/** What installs and builds the examples, each with its framework. */
const FRAMEWORKS = "test/frameworks";

const SCOPES = ["--all", "--left-out", "--frameworks"];

const given = process.argv.slice(2);
const [scope] = given;
const args = SCOPES.includes(scope) ? given.slice(1) : given;

try {
  prepare();
  switch (scope) {
    case "--all":
      provide();
      await close(await runTests(args));
      break;
    // For .ci/run, which has run the others before.
    case "--left-out":
      provide();
      await close(await runTests([SERVERS, ...args]));
      break;
    case "--frameworks":
      provide(serversOf("CHROMIUM_PATH", "NODE24_PATH"));
      await close(await runTests(args.length > 0 ? args.map((name) => `${FRAMEWORKS}/${name}`) : [FRAMEWORKS]));
      break;
    default: {
      // A server that happens to be there changes nothing: the same tests run everywhere.
      for (const name of variables()) delete process.env[name];
      const outcome = await runTests(["--exclude", `${SERVERS}/**`, "--exclude", `${FRAMEWORKS}/**`, ...args]);
      console.log(
        "Left out: real Redis, PostgreSQL and MariaDB, Chromium, better-sqlite3, other versions of Node, Bun and Deno, " +
          "and the examples with their frameworks.\nTo run them too: npm run test:all",
      );
      await close(outcome);
    }
  }
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  await close({ status: 1 });
}

function provide(servers) {
  for (const { name, env } of provideServers(servers)) {
    if (process.env.CI) throw new SetupError(`${name} is missing: set ${env}, or put it on the PATH.`);
    console.log(`${name} is missing: its tests are skipped. (Set ${env}, or put it on the PATH.)`);
  }
}

async function runTests(words) {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-test-"));
  const countsFile = join(folder, "counts.json");
  // --reporter replaces the default one, which is wanted unless the caller chose another.
  const chosen = words.some((word) => word.startsWith("--reporter")) ? [] : ["--reporter=default"];
  const vitest = ["node_modules/vitest/vitest.mjs", "run", ...chosen, `--reporter=./${REPORTER}`, ...words];
  try {
    const status = await runNode(vitest, { ...process.env, SOJOURN_TEST_COUNTS: countsFile });
    return { status, counts: readCounts(countsFile) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// A child, since a test run may crash, and the closing line must be printed then too.
function runNode(words, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { cwd: ROOT, env, stdio: "inherit" });
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

async function close({ status, counts = { passed: 0, failed: 0, skipped: 0 } }) {
  const { passed, failed, skipped } = counts;
  const line = `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}\n`;
  await new Promise((resolve) => process.stdout.write(line, resolve));
  // A run without a single test has shown nothing.
  process.exit(status || (failed > 0 || passed === 0 ? 1 : 0));
}
