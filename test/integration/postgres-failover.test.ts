import { Pool } from "pg";
import postgresJs from "postgres";
import { afterEach, describe, expect, it } from "vitest";
import { migratePostgres, type PostgresStore, postgresStore } from "../../src/stores/postgres/store.ts";
import { type Postgres, POSTGRES_PATH, startPostgres } from "../support/postgres.ts";
import { until } from "../support/throwaway.ts";

const WRITERS = 6;
const SYNCHRONOUS = { synchronous_standby_names: "*" };

describe.skipIf(POSTGRES_PATH === undefined)("postgresStore at a failover", () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  });

  async function startReplicated(): Promise<{ primary: Postgres; standby: Postgres }> {
    const primary = await startPostgres();
    cleanups.push(() => primary.stop());
    const standby = await primary.standby();
    cleanups.push(() => standby.stop());
    await until("the standby follows", async () => (await primary.sql("SELECT FROM pg_stat_replication")).length > 0);
    for (const [name, value] of Object.entries(SYNCHRONOUS)) await primary.sql(`ALTER SYSTEM SET ${name} = '${value}'`);
    await primary.sql("SELECT pg_reload_conf()");
    await until("it is synchronous", async () => {
      const [row] = await primary.sql("SELECT sync_state FROM pg_stat_replication");
      return row?.[0] === "sync";
    });
    return { primary, standby };
  }

  /** Updates a session again and again until an update fails, and records the last acknowledged version. */
  async function updateUntilFailure(
    store: PostgresStore,
    id: string,
    acknowledged: Map<string, number>,
  ): Promise<void> {
    const stored = (version: number) => ({ payload: Buffer.from(id), version, expiresAt: Date.now() + 3_600_000 });
    expect(await store.create(id, stored(1))).toBe(true);
    for (let version = 1; ; version += 1) {
      acknowledged.set(id, version);
      if (!(await store.update(id, stored(version + 1), version))) throw new Error("another writer has updated it");
    }
  }

  it("loses no acknowledged write if the standby is synchronous", async () => {
    const { primary, standby } = await startReplicated();
    const pool = new Pool({ ...primary.address, connectionTimeoutMillis: 60_000 });
    cleanups.push(() => pool.end());
    await migratePostgres(pool);
    const store = postgresStore(pool);
    const acknowledged = new Map<string, number>();
    const writers = Array.from({ length: WRITERS }, (_, n) =>
      updateUntilFailure(store, `w${n}`, acknowledged).catch(String),
    );
    await until("all have written", () => Array.from(acknowledged.values()).filter((n) => n > 20).length === WRITERS);
    await primary.server.kill();
    const reasons = await Promise.all(writers);
    expect(reasons.join()).not.toMatch(/another writer/);

    await standby.sql("SELECT pg_promote()");
    const promoted = new Pool(standby.address);
    cleanups.push(() => promoted.end());
    const promotedStore = postgresStore(promoted);
    for (const [id, version] of acknowledged) {
      const found = (await promotedStore.read(id))?.version ?? 0;
      // One more update may be done and not acknowledged.
      expect([version, version + 1]).toContain(found);
    }
  });

  it("finds the new primary by itself if the client knows both servers", async () => {
    const { primary, standby } = await startReplicated();
    const sql = postgresJs({
      host: `${primary.address.host}:${primary.address.port},${standby.address.host}:${standby.address.port}`,
      database: "app",
      username: "app",
      target_session_attrs: "read-write",
      fetch_types: false,
      connect_timeout: 60,
      backoff: () => 0.05,
    });
    cleanups.push(() => sql.end({ timeout: 1 }));
    await migratePostgres(sql);
    const store = postgresStore(sql);
    const stored = { payload: Buffer.from("kept"), version: 1, expiresAt: Date.now() + 3_600_000 };
    expect(await store.create("kept", stored)).toBe(true);
    await primary.server.kill();
    await standby.sql("SELECT pg_promote()");
    const version = await until("the store works", async () => {
      const found = await store.read("kept").catch(() => undefined);
      return found?.version;
    });
    expect(version).toBe(1);
    expect(await store.update("kept", { ...stored, version: 2 }, 1)).toBe(true);
  });
});
