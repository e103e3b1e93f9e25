import { Pool } from "pg";
import postgresJs from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migratePostgres, type PostgresClient, postgresStore } from "../../src/stores/postgres/store.ts";
import { outageCases, type OutageWorld } from "../support/outages.ts";
import { type Postgres, POSTGRES_PATH, startPostgres } from "../support/postgres.ts";
import { startProxy } from "../support/throwaway.ts";

interface Connected {
  readonly client: PostgresClient;
  end(): Promise<void>;
}

/** Clients with the documented settings. */
const CLIENTS: Record<string, (address: { port: number }) => Connected> = {
  pg(address) {
    const pool = new Pool({
      ...address,
      connectionTimeoutMillis: 3000,
      query_timeout: 5000,
      statement_timeout: 5000,
      keepAlive: true,
    });
    return { client: pool, end: () => pool.end() };
  },
  "postgres.js"(address) {
    const sql = postgresJs({
      ...address,
      connect_timeout: 3,
      fetch_types: false,
      keep_alive: 10,
      backoff: (retries) => Math.min(2, 0.05 * 2 ** retries),
      connection: { statement_timeout: 5000 },
    });
    return { client: sql, end: () => sql.end({ timeout: 1 }) };
  },
};

describe.skipIf(POSTGRES_PATH === undefined)("postgresStore in an outage", () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
    const { client, end } = CLIENTS.pg!(postgres.address);
    await migratePostgres(client);
    await end();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function world(connectTo: (address: { port: number }) => Connected): Promise<OutageWorld> {
    const proxy = await startProxy(postgres.address);
    return {
      server: postgres.server,
      proxy,
      async connect() {
        const { client, end } = connectTo({ ...postgres.address, port: proxy.port });
        return { store: postgresStore(client), end };
      },
      connections: postgres.connections,
      stop: () => proxy.stop(),
    };
  }

  for (const [name, connectTo] of Object.entries(CLIENTS)) {
    describe(`with ${name}`, () => {
      it.each(outageCases(() => world(connectTo)))("$name", async ({ run }) => {
        await expect(run()).resolves.toBeUndefined();
      });
    });
  }
});
