// Finds the real programs that tests run against, or installs them where that can be done without asking anybody.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/**
 * What the tests need beside Node: a path set in `env` wins, then the first of `commands` that runs, on the PATH or in
 * one of `folders`; else it is installed: as root on Debian from `aptPackages`, or from `npmPackage`, whose file
 * `entry` is then the path. The tests read the path from `env` and skip where there is none.
 */
const SERVERS = [
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
];

/** `<root>/<version>/bin`, the newest version first. */
function versionFolders(root) {
  return () => {
    if (!existsSync(root)) return [];
    const versions = readdirSync(root).toSorted((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(root, version, "bin"));
  };
}

const APT_TIMEOUT = 8 * 60_000;

/** Sets each server's variable in `env` to its path, and returns the servers that could not be had. */
export function provideServers(servers = SERVERS, { env = process.env, install = aptInstall } = {}) {
  return servers.filter((server) => {
    const path = findServer(server, env) ?? (install(server) ? findServer(server, env) : undefined);
    if (path) env[server.env] = path;
    return !path;
  });
}

/** The path of a server that runs here, if there is one. */
function findServer(server, env = process.env) {
  if (env[server.env]) return runs(env[server.env]) ? resolve(env[server.env]) : undefined;
  const folders = [...(server.folders?.() ?? []), ...(env.PATH ?? "").split(delimiter).filter(Boolean)];
  return server.commands.flatMap((command) => folders.map((folder) => join(folder, command))).find(runs);
}

// Being there is not enough: Ubuntu's `chromium-browser`, for one, may only say where to get Chromium.
function runs(path) {
  return spawnSync(path, ["--version"], { stdio: "ignore", timeout: 30_000 }).status === 0;
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
    timeout: APT_TIMEOUT,
  });
  if (status === 0) return true;
  process.stderr.write(`${stdout}${stderr}apt-get ${args[0]} failed${error ? `: ${error.message}` : ""}\n`);
  return false;
}
