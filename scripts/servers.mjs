// Finds the real programs that tests run against, or installs them where that can be done without asking anybody.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { ROOT } from "./setup.mjs";

const PLATFORM = process.platform.replace("win32", "win");
const BETTER_SQLITE3 = "better-sqlite3@12";
const BUN = `@oven/bun-${process.platform.replace("win32", "windows")}-${process.arch.replace("arm64", "aarch64")}@1`;
const DENO = `@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}@2`;

/**
 * What the tests need beside Node: a path set in `env` wins, then the first of `commands` that runs, on the PATH or in
 * one of `folders`; else it is installed, and found there: as root on Debian from `aptPackages`, or from `npmPackage` into
 * a folder of its own, since it is too much to ask of everybody's node_modules. The tests read the path from `env` and
 * skip where there is none.
 */
export const SERVERS = [
  {
    name: "Chromium",
    commands: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    aptPackages: ["chromium", "fonts-dejavu-core"],
    env: "CHROMIUM_PATH",
  },
  {
    name: "Redis",
    commands: ["redis-server", "valkey-server"],
    aptPackages: ["redis-server"],
    env: "REDIS_SERVER_PATH",
  },
  {
    // initdb and the others lie beside it; Debian puts none of them on the PATH.
    name: "PostgreSQL",
    commands: ["postgres"],
    folders: versionFolders("/usr/lib/postgresql"),
    aptPackages: ["postgresql"],
    env: "POSTGRES_PATH",
  },
  {
    name: "PgBouncer",
    commands: ["pgbouncer"],
    folders: () => ["/usr/sbin"],
    aptPackages: ["pgbouncer"],
    env: "PGBOUNCER_PATH",
  },
  {
    name: "MariaDB",
    commands: ["mariadbd", "mysqld"],
    folders: () => ["/usr/sbin"],
    aptPackages: ["mariadb-server-core", "mariadb-client-core"],
    env: "MARIADB_PATH",
  },
  ...[22, 24, 26].map(nodeRelease),
  {
    name: "Bun",
    commands: ["bun"],
    folders: () => [packageFolder(BUN, "bin")],
    npmPackage: BUN,
    env: "BUN_PATH",
  },
  {
    name: "Deno",
    commands: ["deno"],
    folders: () => [packageFolder(DENO)],
    npmPackage: DENO,
    env: "DENO_PATH",
  },
  {
    // Compiled where its maker has no binary for this machine. The newest does not run on Node 20.
    name: "better-sqlite3",
    commands: ["better-sqlite3"],
    folders: () => [join(npmFolder(BETTER_SQLITE3), "node_modules")],
    npmPackage: BETTER_SQLITE3,
    works: (path) =>
      existsSync(path) &&
      spawnSync(process.execPath, ["-e", "new (require(process.argv[1]))(':memory:')", path], { timeout: RUN_TIMEOUT })
        .status === 0,
    env: "BETTER_SQLITE3_PATH",
  },
];

/** A Node that is not the one that runs this. */
function nodeRelease(major) {
  const npmPackage = `node-${PLATFORM}-${process.arch}@${major}`;
  return {
    name: `Node ${major}`,
    commands: ["node"],
    folders: () => [packageFolder(npmPackage, "bin")],
    npmPackage,
    works(path) {
      const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: RUN_TIMEOUT });
      return status === 0 && stdout.startsWith(`v${major}.`);
    },
    env: `NODE${major}_PATH`,
  };
}

/** `<root>/<version>/bin`, the newest version first. */
function versionFolders(root) {
  return () => {
    if (!existsSync(root)) return [];
    const versions = readdirSync(root).toSorted((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(root, version, "bin"));
  };
}

const INSTALL_TIMEOUT = 8 * 60_000;
const RUN_TIMEOUT = 30_000;

/** The servers whose paths these variables have. */
export const serversOf = (...envs) => SERVERS.filter(({ env }) => envs.includes(env));

/** The variables that tests read paths from. */
export const variables = () => SERVERS.map(({ env }) => env);

/** Sets each server's variable in `env` to its path, and returns the servers that could not be had. */
export function provideServers(servers = SERVERS, { env = process.env, install = installServer } = {}) {
  return servers.filter((server) => {
    const path = findServer(server, env) ?? (install(server) ? findServer(server, env) : undefined);
    if (path) env[server.env] = path;
    return !path;
  });
}

/** The path of a server that runs here, if there is one. */
function findServer(server, env = process.env) {
  const { works = runs } = server;
  if (env[server.env]) return works(env[server.env]) ? resolve(env[server.env]) : undefined;
  const folders = [...(server.folders?.() ?? []), ...(env.PATH ?? "").split(delimiter).filter(Boolean)];
  return server.commands
    .flatMap((command) => folders.map((folder) => join(folder, command)))
    .find((path) => works(path));
}

// Being there is not enough: Ubuntu's `chromium-browser`, for one, may only say where to get Chromium.
function runs(path) {
  return spawnSync(path, ["--version"], { stdio: "ignore", timeout: RUN_TIMEOUT }).status === 0;
}

const installServer = (server) => (server.npmPackage ? npmInstall(server) : aptInstall(server));

/** A folder of a package that was installed into a folder of its own. */
const packageFolder = (npmPackage, ...within) =>
  join(npmFolder(npmPackage), "node_modules", npmPackage.slice(0, npmPackage.lastIndexOf("@")), ...within);

const npmFolder = (name) => join(ROOT, "node_modules", ".cache", "sojourn", name.replaceAll("/", "-"));

function npmInstall({ name, npmPackage }) {
  console.log(`Installing ${name} (once) …`);
  const folder = npmFolder(npmPackage);
  mkdirSync(folder, { recursive: true });
  const options = ["--prefix", folder, "--no-save", "--no-package-lock", "--no-audit", "--no-fund"];
  const { status, stdout, stderr } = spawnSync("npm", ["install", ...options, npmPackage], {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
    timeout: INSTALL_TIMEOUT,
  });
  if (status !== 0) process.stderr.write(`${stdout}${stderr}npm install failed for ${npmPackage}\n`);
  return status === 0;
}

function aptInstall(server) {
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).status !== 0) return false;
  console.log(`Installing ${server.name} (once) …`);
  // A failed update may still leave lists that are good enough.
  apt("update");
  return apt("install", "-y", "--no-install-recommends", ...server.aptPackages);
}

function apt(...args) {
  const { status, error, stdout, stderr } = spawnSync("apt-get", ["-o", "DPkg::Lock::Timeout=120", ...args], {
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    timeout: INSTALL_TIMEOUT,
  });
  if (status === 0) return true;
  process.stderr.write(`${stdout}${stderr}apt-get ${args[0]} failed${error ? `: ${error.message}` : ""}\n`);
  return false;
}
