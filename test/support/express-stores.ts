import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import createPgStore from "connect-pg-simple";
import { RedisStore } from "connect-redis";
import { RedisStore as RedisStore8 } from "connect-redis8";
import { ConnectSessionKnexStore } from "connect-session-knex";
import createMySqlStore from "express-mysql-session";
import session from "express-session";
import { Redis as IoRedis } from "ioredis";
import knexConstructor from "knex";
import { createPool } from "mysql2/promise";
import { Pool } from "pg";
import { createClient } from "redis";
import createFileStore from "session-file-store";
import type { ExpressSessionStore } from "sojourn/express-session";
import { MARIADB_PATH, startMariadb } from "./mariadb.ts";
import { POSTGRES_PATH, startPostgres } from "./postgres.ts";
import { REDIS_SERVER, startRedis } from "./redis.ts";
import { removeFolder, throwawayFolder } from "./throwaway.ts";

/** A published store of express-session, before its real engine. */
export interface ExpressStorePackage {
  readonly name: string;
  /** Whether the programs that it needs are installed. */
  readonly isHere: boolean;
  readonly lists: boolean;
  start(): Promise<ExpressStoreWorld>;
}

export interface ExpressStoreWorld {
  /** Another store object over the same sessions. */
  open(): ExpressSessionStore;
  /** When the engine removes what is under a key, in epoch milliseconds, by the engine's own account. */
  expiryOf(key: string): Promise<number>;
  /** Makes the engine fail, and heals it. */
  readonly engine: { kill(): Promise<void>; restart(): Promise<void> };
  stop(): Promise<void>;
}

export const expressStorePackages: readonly ExpressStorePackage[] = [
  {
    name: "connect-redis 9 with redis",
    isHere: REDIS_SERVER !== "",
    lists: true,
    async start() {
      const server = await startRedis();
      const client = createClient({ url: `redis://127.0.0.1:${server.port}` }).on("error", () => {});
      await client.connect();
      return {
        open: () => new RedisStore({ client }),
        expiryOf: async (key) => Number((await server.command("PEXPIRETIME", `sess:${key}`)).slice(1)),
        engine: server,
        async stop() {
          client.destroy();
          await server.end();
        },
      };
    },
  },
  {
    name: "connect-redis 8 with ioredis",
    isHere: REDIS_SERVER !== "",
    lists: true,
    async start() {
      const server = await startRedis();
      const client = new IoRedis(server.port, "127.0.0.1").on("error", () => {});
      return {
        open: () => new RedisStore8({ client }),
        expiryOf: async (key) => Number((await server.command("PEXPIRETIME", `sess:${key}`)).slice(1)),
        engine: server,
        async stop() {
          client.disconnect();
          await server.end();
        },
      };
    },
  },
  {
    name: "connect-pg-simple",
    isHere: POSTGRES_PATH !== undefined,
    lists: false,
    async start() {
      const { address, server, sql, stop } = await startPostgres();
      const pool = new Pool(address).on("error", () => {});
      await sql(readFileSync(join(import.meta.dirname, "../../node_modules/connect-pg-simple/table.sql"), "utf8"));
      await sql("GRANT ALL ON session TO app");
      const PgStore = createPgStore(session);
      const opened: InstanceType<typeof PgStore>[] = [];
      return {
        open() {
          opened.push(new PgStore({ pool, pruneSessionInterval: false }));
          return opened.at(-1)!;
        },
        async expiryOf(key) {
          const [row] = await sql(`SELECT extract(epoch FROM expire) * 1000 FROM session WHERE sid = '${key}'`);
          return Number(row?.[0]);
        },
        engine: server,
        async stop() {
          for (const each of opened) each.close();
          await pool.end();
          await stop();
        },
      };
    },
  },
  {
    name: "session-file-store",
    isHere: true,
    lists: false,
    async start() {
      const folder = throwawayFolder("sojourn-session-file-store-");
      const path = join(folder, "sessions");
      const FileStore = createFileStore(session);
      return {
        open: () => new FileStore({ path, retries: 0, reapInterval: -1, logFn() {} }),
        async expiryOf(key) {
          const content = JSON.parse(readFileSync(join(path, `${key}.json`), "utf8"));
          return content["__lastAccess"] + content.cookie.originalMaxAge;
        },
        engine: {
          async kill() {
            renameSync(path, `${path}.away`);
            writeFileSync(path, "no directory");
          },
          async restart() {
            rmSync(path);
            renameSync(`${path}.away`, path);
          },
        },
        stop: async () => removeFolder(folder),
      };
    },
  },
  {
    name: "express-mysql-session",
    isHere: MARIADB_PATH !== undefined,
    lists: true,
    async start() {
      const { client, program, sql, stop } = await startMariadb();
      const pool = createPool(client);
      const MySqlStore = createMySqlStore(session);
      const open = () => new MySqlStore({ clearExpired: false }, pool);
      await open().onReady();
      return {
        open,
        async expiryOf(key) {
          const [row] = (await sql(`SELECT expires FROM app.sessions WHERE session_id = '${key}'`)) as {
            expires: number;
          }[];
          return 1000 * row!.expires;
        },
        engine: program,
        async stop() {
          await pool.end();
          await stop();
        },
      };
    },
  },
  {
    name: "connect-session-knex on PostgreSQL",
    isHere: POSTGRES_PATH !== undefined,
    lists: true,
    async start() {
      const { address, server, sql, stop } = await startPostgres();
      await sql("GRANT ALL ON SCHEMA public TO app");
      const knex = knexConstructor({ client: "pg", connection: { ...address }, log: { warn() {}, error() {} } });
      const open = () => new ConnectSessionKnexStore({ knex, cleanupInterval: 0 });
      await open().ready;
      return {
        open,
        async expiryOf(key) {
          const [row] = await sql(`SELECT extract(epoch FROM expired) * 1000 FROM sessions WHERE sid = '${key}'`);
          return Number(row?.[0]);
        },
        engine: server,
        async stop() {
          await knex.destroy();
          await stop();
        },
      };
    },
  },
];
