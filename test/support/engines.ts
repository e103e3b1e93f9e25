import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MARIADB_PATH, startMariadb } from "./mariadb.ts";
import { POSTGRES_PATH, startPostgres } from "./postgres.ts";
import { REDIS_SERVER, startCluster, startRedis } from "./redis.ts";

/** A store that several processes can share, by a URL for `openStore`. */
export interface Engine {
  readonly name: string;
  /** Whether the programs that it needs are installed. */
  readonly isHere: boolean;
  start(): Promise<{ readonly url: string; stop(): Promise<void> }>;
}

export const engines: readonly Engine[] = [
  {
    name: "files",
    isHere: true,
    async start() {
      const folder = mkdtempSync(join(tmpdir(), "sojourn-files-"));
      return { url: `file:${folder}`, stop: async () => rmSync(folder, { recursive: true, force: true }) };
    },
  },
  {
    name: "Redis",
    isHere: REDIS_SERVER !== "",
    async start() {
      const redis = await startRedis();
      return { url: `redis://127.0.0.1:${redis.port}?announceChanges=true`, stop: () => redis.end() };
    },
  },
  {
    name: "a Redis Cluster",
    isHere: REDIS_SERVER !== "",
    async start() {
      const { nodes, end } = await startCluster();
      const addresses = nodes.slice(0, 3).map(({ port }) => `127.0.0.1:${port}`);
      return { url: `redis+cluster://${addresses.join(",")}?announceChanges=true`, stop: end };
    },
  },
  {
    name: "PostgreSQL",
    isHere: POSTGRES_PATH !== undefined,
    async start() {
      const { address, stop } = await startPostgres();
      const { user, host, port, database } = address;
      return { url: `postgres://${user}@${host}:${port}/${database}?announceChanges=true`, stop };
    },
  },
  {
    name: "MariaDB",
    isHere: MARIADB_PATH !== undefined,
    async start() {
      const { client, stop } = await startMariadb();
      const { user, password, host, port, database } = client;
      return { url: `mysql://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`, stop };
    },
  },
];
