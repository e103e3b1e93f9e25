// The examples with packages of their own: a framework, and Sojourn as npm would install it. Plain Node without dependencies.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { provideServers, serversOf } from "./servers.mjs";
import { BUILD_STAMP, ensureInstalled, npm, ROOT, SetupError } from "./setup.mjs";

/** The version of Node for examples that the present one is too old for. */
const NEWER_NODE = "NODE24_PATH";

export const folderOf = (name) => join(ROOT, "examples", name);

/** The names of the examples that have a package.json. */
export function exampleNames() {
  return readdirSync(join(ROOT, "examples")).filter((name) => existsSync(join(folderOf(name), "package.json")));
}

export function manifestOf(name) {
  if (!exampleNames().includes(name)) {
    throw new SetupError(
      `There is no example ${JSON.stringify(name)}. There are: ${exampleNames().join(", ")}. \`npm start\` starts examples/login.`,
    );
  }
  return JSON.parse(readFileSync(join(folderOf(name), "package.json"), "utf8"));
}

/** The Node that an example runs on: this one if it is new enough, or a newer one of npm's. `undefined` if there is none. */
export function nodeFor(name, env = process.env) {
  const wanted = /^>=(\d+)(?:\.(\d+))?/.exec(manifestOf(name).engines?.node ?? ">=0");
  if (!wanted) throw new SetupError(`examples/${name}/package.json: engines.node must be of the form ">=22.12".`);
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [least, leastMinor = 0] = wanted.slice(1).map((part) => Number(part ?? 0));
  if (major > least || (major === least && minor >= leastMinor)) return process.execPath;
  provideServers(serversOf(NEWER_NODE), { env });
  return env[NEWER_NODE];
}

/** The environment in which an example's programs find its Node. Its framework decides whether they are for production. */
export const environmentFor = (node, env = process.env) => ({
  ...env,
  PATH: [dirname(node), env.PATH].join(delimiter),
  NODE_ENV: undefined,
  NODE_OPTIONS: "",
});

/** Installs an example's packages, and the library as it is built now. */
export const installExample = (name) => installPackages(folderOf(name));

/** The same for any folder with a package.json and a lock file. */
export function installPackages(folder) {
  ensureInstalled(folder);
  const stamp = join(folder, "node_modules/.sojourn-build");
  const built = readFileSync(BUILD_STAMP, "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === built) return;
  const library = join(folder, "node_modules/sojourn");
  rmSync(library, { recursive: true, force: true });
  for (const part of ["package.json", "dist"]) cpSync(join(ROOT, part), join(library, part), { recursive: true });
  writeFileSync(stamp, built);
}

/** Runs a script of an example's package.json and waits for it. Throws with its output if it fails. */
export function runScript(name, script, node, { cwd = folderOf(name), env = process.env } = {}) {
  const [command, ...words] = npm("run", script);
  const { status, stdout, stderr } = spawnSync(command === process.execPath ? node : command, words, {
    cwd,
    env: environmentFor(node, env),
    encoding: "utf8",
  });
  if (status !== 0) throw new SetupError(`${stdout}${stderr}npm run ${script} failed in the example ${name}.`);
}
