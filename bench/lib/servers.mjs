// The programs that the measurements need, found or installed as the tests do it: Redis, PostgreSQL, better-sqlite3.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { register } from "tsx/esm/api";
import { provideServers, SERVERS } from "../../scripts/servers.mjs";

const NEEDED = ["Redis", "PostgreSQL", "better-sqlite3"];

/** Sets the variables from which the starters below take their paths. Returns the names of the programs that cannot be had. */
export function findServers() {
  register();
  return provideServers(SERVERS.filter(({ name }) => NEEDED.includes(name))).map(({ name }) => name);
}

/** Runs `work` with a Redis server that keeps nothing on disk. */
export async function withRedis(work) {
  const { startRedis } = await import("../../test/support/redis.ts");
  const redis = await startRedis(["--appendonly", "no"]);
  try {
    return await work({ port: redis.port, pid: redis.pid });
  } finally {
    await redis.end();
  }
}

/** Runs `work` with a PostgreSQL server that has its defaults: a commit is on the disk before it is acknowledged. */
export async function withPostgres(work) {
  const { startPostgres } = await import("../../test/support/postgres.ts");
  const postgres = await startPostgres({ settings: { fsync: "on", shared_buffers: "128MB" } });
  try {
    // Its first line is the process that all others of the server descend from.
    const pid = parseInt(readFileSync(join(postgres.folder, "data/postmaster.pid"), "utf8"), 10);
    return await work({ ...postgres.address, pid });
  } finally {
    await postgres.stop();
  }
}

/** Runs `work` with a directory that is gone afterwards. */
export async function withDirectory(work) {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-bench-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Whether what a store needs is on this machine. */
export function storeIsHere({ store }, missing) {
  if (store.startsWith("Redis")) return !missing.includes("Redis");
  if (store === "SQLite") return !missing.includes("better-sqlite3");
  return !missing.includes(store);
}
