import mysql from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrateMysql, mysqlStore } from "../../src/stores/mysql/store.ts";
import { type Mariadb, MARIADB_PATH, startMariadb } from "../support/mariadb.ts";
import { outageCases, type OutageWorld } from "../support/outages.ts";
import { startProxy } from "../support/throwaway.ts";

describe.skipIf(!MARIADB_PATH)("mysqlStore, in an outage", () => {
  let server: Mariadb;

  beforeAll(async () => {
    server = await startMariadb();
    const pool = mysql.createPool(server.client);
    await migrateMysql(pool);
    await pool.end();
  });
  afterAll(() => server?.stop());

  it.each(outageCases(start))("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  async function start(): Promise<OutageWorld> {
    const proxy = await startProxy(server);
    // The same options as in docs/stores/mysql.md.
    const connect = async () => {
      const options = { connectionLimit: 10, queueLimit: 1000, connectTimeout: 5000 };
      const pool = mysql.createPool({ ...server.client, port: proxy.port, ...options });
      return { store: mysqlStore(pool), end: () => pool.end() };
    };
    return {
      server: server.program,
      proxy,
      connect,
      connections: server.connections,
      async stop() {
        await proxy.stop();
        if (!server.program.running) await server.program.restart();
      },
    };
  }
});
