// The clients of servers and databases that contenders share, each as its own documentation opens it.
import { createRequire } from "node:module";
import { join } from "node:path";

export const SECRET = "Vd8rWq3kZp0yTn6bJm2xHc9gLs5fAe7uRi4o";
/** More sessions than any measurement makes. */
export const MANY = 3_000_000;
export const DAY_S = 86_400;
export const DAY_MS = DAY_S * 1000;

export async function nodeRedis({ port }) {
  const { createClient } = await import("redis");
  const client = createClient({ socket: { host: "127.0.0.1", port } });
  client.on("error", (error) => console.error(error));
  return client.connect();
}

export async function ioRedis({ port }) {
  const { Redis } = await import("ioredis");
  return new Redis(port, "127.0.0.1");
}

export async function pgPool(address) {
  const { default: pg } = await import("pg");
  return new pg.Pool(address);
}

/** The package is compiled for the version of Node that started the bench. */
export async function betterSqlite3(directory) {
  const Database = createRequire(import.meta.url)(process.env.BETTER_SQLITE3_PATH);
  return new Database(join(directory, "sessions.db"));
}
