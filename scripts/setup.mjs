// Makes a fresh or stale clone ready: dependencies installed, library built. Plain Node without dependencies, because
// it runs when there are none yet.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

const LOCK_TIMEOUT = 10 * 60_000;

/** An expected fault, whose message is all that a person needs to see. */
export class SetupError extends Error {}

/** Throws where this Node is too old for the library. */
export function checkNode(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`Sojourn needs Node 20.19 or later; this is ${version}.`);
}

/** Node checked, dependencies installed, library built: what every script begins with. */
export function prepare(root = ROOT) {
  checkNode();
  ensureInstalled(root);
  ensureBuilt(root);
}

/** Ends the process with one line for an expected fault; anything else keeps its stack. */
export function exitWith(error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}

// Dependencies

/** Installs the dependencies, unless node_modules already holds what package-lock.json asks for. */
export function ensureInstalled(root = ROOT) {
  if (isInstalled(root)) return;
  locked(root, () => {
    if (isInstalled(root)) return;
    console.log("Installing dependencies (once) …");
    // Or npm would take a package of which only a part was unpacked for a whole one.
    rmSync(join(root, "node_modules"), { recursive: true, force: true });
    install(root);
    if (!isInstalled(root)) throw new SetupError("npm succeeded, but node_modules is not what package-lock.json says.");
  });
}

function install(root) {
  // With NODE_ENV=production npm would leave out the compiler and the test runner.
  const options = ["--include=dev", "--no-audit", "--no-fund"];
  const lockFile = existsSync(join(root, "package-lock.json"));
  if (lockFile) {
    const failure = attempt(root, npm("ci", ...options));
    if (!failure) return;
    // EUSAGE: the lock file is incomplete to npm ci's eyes. It is so if it was written where the registry lacks the
    // optional packages of other platforms. npm install takes the versions that it does name, and leaves it as it is.
    if (!failure.output.includes("EUSAGE")) throw failed("Installing dependencies (npm ci)", failure);
  }
  const failure = attempt(root, npm("install", ...options, ...(lockFile ? ["--no-save"] : [])));
  if (failure) throw failed("Installing dependencies (npm install)", failure);
}

/**
 * Whether node_modules holds what the lock file asks for. npm writes its own account of node_modules only when an
 * install is complete, so that a half-finished one has none, or an old one.
 */
export function isInstalled(root = ROOT) {
  const modules = join(root, "node_modules");
  const present = (path) => existsSync(join(root, path, "package.json"));
  const installed = readPackages(join(modules, ".package-lock.json"));
  if (!installed) return false;

  const wanted = readPackages(join(root, "package-lock.json"));
  if (!wanted) return directDependencies(root).every((name) => present(join("node_modules", name)));

  // What is optional is mostly for other platforms; what of it belongs here is in npm's account and must be there too.
  const asked = Object.entries(wanted).filter(([path, entry]) => path.includes("node_modules/") && !entry.optional);
  return asked.every(([path, entry]) => sameRelease(entry, installed[path])) && Object.keys(installed).every(present);
}

function sameRelease(wanted, installed) {
  return installed?.version === wanted.version && installed?.integrity === wanted.integrity;
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined; // missing, or cut off in the middle of being written
  }
}

function directDependencies(root) {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.keys({ ...dependencies, ...devDependencies });
}

// Build

/** Builds the library into dist, unless dist already is what the sources say. */
export function ensureBuilt(root = ROOT) {
  if (isBuilt(root)) return;
  locked(root, () => {
    if (isBuilt(root)) return;
    console.log("Building the library …");
    const fingerprint = sourceFingerprint(root); // before the build: an edit during it must count as new
    rmSync(join(root, "dist"), { recursive: true, force: true }); // or files whose source is gone would be published
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const failure = attempt(root, [process.execPath, tsc, "-p", "tsconfig.build.json"]);
    if (failure) throw failed("Building", failure);
    mkdirSync(join(root, "node_modules/.cache"), { recursive: true });
    writeFileSync(stampFile(root), fingerprint);
  });
}

/** Whether dist was built, whole, from exactly these sources by this compiler. */
export function isBuilt(root = ROOT) {
  const stamp = stampFile(root);
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== sourceFingerprint(root)) return false;
  const compiled = sources(root).filter((file) => !file.endsWith(".d.ts"));
  return compiled.every((file) => existsSync(join(root, "dist", file.replace(/\.ts$/, ".js"))));
}

const stampFile = (root) => join(root, "node_modules/.cache/sojourn-build");
/** A file whose content tells one build of the library from another. */
export const BUILD_STAMP = stampFile(ROOT);

// By content, since a checkout or a copy gives files any time it likes.
function sourceFingerprint(root) {
  const hash = createHash("sha256");
  const configs = ["tsconfig.json", "tsconfig.build.json", "package.json", "node_modules/typescript/package.json"];
  for (const file of [...configs, ...sources(root).map((source) => join("src", source))]) {
    const path = join(root, file);
    hash
      .update(`${file}\0`)
      .update(existsSync(path) ? readFileSync(path) : "")
      .update("\0");
  }
  return hash.digest("hex");
}

function sources(root) {
  return readdirSync(join(root, "src"), { recursive: true })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .toSorted((a, b) => (a < b ? -1 : 1));
}

// Running one at a time

/**
 * Runs `work` while no other process prepares the same tree: two `npm start` at once must not install into each
 * other's node_modules. The lock names its holder, so that a killed one doesn't block the next.
 */
function locked(root, work) {
  const lock = join(tmpdir(), `sojourn-setup-${createHash("sha256").update(root).digest("hex").slice(0, 16)}.lock`);
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    const deadline = Date.now() + LOCK_TIMEOUT;
    while (!link(mine, lock)) {
      if (!holderLives(lock)) rmSync(lock, { force: true });
      else if (Date.now() > deadline) throw new SetupError(`Another setup seems stuck; if none runs, remove ${lock}`);
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

// A link appears with its content, or not at all.
function link(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function holderLives(lock) {
  try {
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return true;
  } catch (error) {
    return error.code !== "ESRCH"; // somebody else's, or let go of this very moment: try again
  }
}

/** Runs a command in silence; undefined where it succeeds. */
function attempt(cwd, [command, ...args]) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status === 0) return undefined;
  return { reason: error?.message ?? signal ?? `exit code ${status}`, output: `${stdout ?? ""}${stderr ?? ""}` };
}

function failed(doing, { reason, output }) {
  return new SetupError(`${output}${doing} failed: ${reason}.`);
}

/** The npm that started this script, or else the one on the PATH. */
export function npm(...args) {
  const script = process.env.npm_execpath;
  return script?.endsWith("npm-cli.js") ? [process.execPath, script, ...args] : ["npm", ...args];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    prepare();
  } catch (error) {
    exitWith(error);
  }
}
