// `npm run test:express-session [checkout]`: runs express-session's own tests against sojourn/express-session. Without a
// checkout, the version below comes from GitHub. Each test that fails has to be in the list of deliberate differences, and
// each of that list has to fail.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { prepare, ROOT } from "./setup.mjs";

const REPOSITORY = "https://github.com/expressjs/session";
const VERSION = "v1.19.0";
/** What its tests import. */
const NEEDED = ["after", "cookie-parser", "express", "mocha", "supertest"];

export const DIFFERENCES = JSON.parse(
  readFileSync(join(ROOT, "test/fixtures/express-session-differences.json"), "utf8"),
);

/** Runs the tests of a checkout, or of one that is fetched. Returns the full titles of those that pass and that fail. */
export function runSuite(checkout) {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-express-session-"));
  try {
    if (checkout) cpSync(checkout, folder, { recursive: true });
    else execFileSync("git", ["clone", "--quiet", "--depth=1", `--branch=${VERSION}`, REPOSITORY, folder]);
    if (!existsSync(join(folder, "node_modules/mocha"))) install(folder);
    if (!existsSync(join(folder, "test/fixtures/server.crt")))
      execFileSync("sh", [join(folder, "test/support/gencert.sh")], { cwd: folder, stdio: "ignore" });
    return runMocha(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function install(folder) {
  const file = join(folder, "package.json");
  const { devDependencies, ...manifest } = JSON.parse(readFileSync(file, "utf8"));
  // npm leaves out what is listed there, also where it is asked for by name.
  writeFileSync(file, JSON.stringify(manifest));
  const packages = NEEDED.map((name) => `${name}@${devDependencies[name]}`);
  const words = [
    "install",
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--omit=dev",
    "--prefer-offline",
  ];
  execFileSync("npm", [...words, ...packages], { cwd: folder, stdio: "ignore" });
}

function runMocha(folder) {
  const output = join(folder, "results.json");
  const hook = join(ROOT, "test/fixtures/express-session-hook.cjs");
  const words = [`--require=${hook}`, "--require=./test/support/env", "--exit", "--reporter=json"];
  const { stderr } = spawnSync(
    process.execPath,
    ["--no-warnings", "node_modules/mocha/bin/mocha.js", ...words, `--reporter-option=output=${output}`, "test/"],
    { cwd: folder, encoding: "utf8", env: { ...process.env, EXPRESS_SESSION_CHECKOUT: folder, NODE_OPTIONS: "" } },
  );
  if (!existsSync(output)) throw new Error(`mocha has not run:\n${stderr}`);
  const { passes, failures } = JSON.parse(readFileSync(output, "utf8"));
  const titles = (tests) => tests.map(({ fullTitle }) => fullTitle);
  return { passed: titles(passes), failed: titles(failures) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  prepare();
  const { passed, failed } = runSuite(process.argv[2]);
  const unexpected = failed.filter((title) => !Object.hasOwn(DIFFERENCES, title));
  const mended = passed.filter((title) => Object.hasOwn(DIFFERENCES, title));
  for (const title of failed) console.log(`differs: ${title}\n  ${DIFFERENCES[title] ?? "NOT LISTED"}`);
  for (const title of mended) console.log(`passes, though it is listed: ${title}`);
  console.log(
    `${passed.length} passed, ${failed.length - unexpected.length} differ deliberately, ${unexpected.length} failed`,
  );
  process.exitCode = unexpected.length + mended.length > 0 ? 1 : 0;
}
