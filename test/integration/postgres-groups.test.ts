import { Buffer } from "node:buffer";
import { Client, Pool } from "pg";
import postgresJs from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi, onTestFinished } from "vitest";
import type { SessionUpdate } from "../../src/store.ts";
import { migratePostgres, type PostgresClient, postgresStore } from "../../src/stores/postgres/store.ts";
import { type Postgres, POSTGRES_PATH, startPostgres } from "../support/postgres.ts";

const HOUR = 3_600_000;
/** Texts that an array of PostgreSQL could take for something else. */
const TEXTS = ["plain", "NULL", "", '"', "\\", "{}", "a,b", ' "a" ', "é\0🦁", "\ud800", "x".repeat(300)];

const stored = (version: number, more: Partial<SessionUpdate> = {}): SessionUpdate => ({
  payload: Buffer.from(`payload ${version}`),
  version,
  expiresAt: Date.now() + HOUR,
  userId: undefined,
  ...more,
});

describe.skipIf(POSTGRES_PATH === undefined)("postgresStore", () => {
  let postgres: Postgres;
  let table = "";
  let tables = 0;
  const ends: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterEach(async () => {
    await Promise.allSettled(ends.splice(0).map((end) => end()));
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function newStore(client: PostgresClient = pool()) {
    table = `groups_${(tables += 1)}`;
    await migratePostgres(client, { table });
    return postgresStore(client, { table });
  }

  function pool(): Pool {
    const made = new Pool(postgres.address);
    ends.push(() => made.end());
    return made;
  }

  function postgresJsClient(): PostgresClient {
    const sql = postgresJs({ ...postgres.address, max: 4 });
    ends.push(() => sql.end());
    return sql;
  }

  it.each(["pg", "postgres.js"])(
    "keeps sessions apart that are written and read in one turn, with %s",
    async (name) => {
      const store = await newStore(name === "pg" ? pool() : postgresJsClient());
      const users = [undefined, ...TEXTS];
      await Promise.all(TEXTS.map((id) => store.create(id, stored(1))));
      const updates = TEXTS.map((id, index) => {
        const payload = Buffer.from(index === 0 ? "" : id);
        return store.update(id, stored(2, { userId: users[index], payload }), 1);
      });
      expect(await Promise.all(updates)).toEqual(TEXTS.map(() => true));
      const read = await Promise.all([...TEXTS, "missing"].map((id) => store.read(id)));
      expect(read.pop()).toBeUndefined();
      for (const [index, session] of read.entries()) {
        expect(session).toMatchObject({ version: 2, userId: users[index] });
        expect(session!.payload.toString()).toBe(index === 0 ? "" : Buffer.from(TEXTS[index]!).toString());
      }
    },
  );

  it("decides each of the updates of one turn by its own version and expiry", async () => {
    const store = await newStore();
    const later = Date.now() + 2 * HOUR;
    for (const id of ["right", "wrong", "extended", "shortened"]) {
      expect(await store.create(id, stored(1, { expiresAt: later }))).toBe(true);
    }
    await store.create("expired", stored(1, { expiresAt: Date.now() - 1 }));
    const updated = await Promise.all([
      store.update("right", stored(2, { userId: "ada" }), 1),
      store.update("right", stored(2, { userId: "bob" }), 1),
      store.update("wrong", stored(3), 2),
      store.update("missing", stored(2), 1),
      store.update("expired", stored(2), 1),
      store.update("extended", stored(2, { extendOnly: true }), 1),
      store.update("shortened", stored(2), 1),
    ]);
    expect(updated.slice(0, 2).filter(Boolean)).toHaveLength(1);
    expect(updated.slice(2)).toEqual([false, false, false, true, true]);
    const [right, wrong, missing, expired, extended, shortened] = await Promise.all(
      ["right", "wrong", "missing", "expired", "extended", "shortened"].map((id) => store.read(id)),
    );
    expect(right).toMatchObject({ version: 2, userId: updated[0] ? "ada" : "bob" });
    expect(wrong).toMatchObject({ version: 1 });
    expect([missing, expired]).toEqual([undefined, undefined]);
    expect(extended!.expiresAt).toBe(later);
    expect(shortened!.expiresAt).toBeLessThan(later);
    expect(await store.idsOfUser(right!.userId!)).toEqual(["right"]);
    expect(await postgres.sql(`SELECT count(*)::int FROM ${table}`, "app")).toEqual([[5]]);
  });

  it("makes the updates of other sessions not wait for one that another transaction has locked", async () => {
    const store = await newStore();
    await Promise.all(["a", "b", "c"].map((id) => store.create(id, stored(1))));
    const other = new Client(postgres.address);
    await other.connect();
    ends.push(() => other.end());
    await other.query("BEGIN");
    await other.query(`SELECT 1 FROM ${table} WHERE id = 'b' FOR UPDATE`);
    let isDone = false;
    const [a, b, c] = ["a", "b", "c"].map((id) => store.update(id, stored(2), 1));
    const waiting = b!.then((result) => {
      isDone = true;
      return result;
    });
    expect(await Promise.all([a, c])).toEqual([true, true]);
    expect(isDone).toBe(false);
    await other.query("COMMIT");
    expect(await waiting).toBe(true);
  });

  // Supavisor reports a lost connection to the server as an internal error, and the server may have committed.
  it("does not repeat the updates of one turn after an error that tells nothing of their effect, and reads again", async () => {
    const client = pool();
    const store = await newStore(client);
    const ids = ["a", "b"];
    await Promise.all(ids.map((id) => store.create(id, stored(1))));
    const lost = Object.assign(new Error("Database connection closed"), { code: "XX000", severity: "FATAL" });
    const clients = Client.prototype as { query(given: unknown, callback: (error: Error) => void): unknown };
    const { query } = clients;
    const spy = vi.spyOn(clients, "query");
    onTestFinished(() => spy.mockRestore());
    const loseReply = () =>
      spy.mockImplementationOnce(function (this: typeof clients, given, callback) {
        return query.call(this, given, () => callback(lost));
      });
    loseReply();
    const updates = await Promise.allSettled(ids.map((id) => store.update(id, stored(2), 1)));
    expect(updates).toEqual(ids.map(() => ({ status: "rejected", reason: lost })));
    loseReply();
    const read = await Promise.all(ids.map((id) => store.read(id)));
    expect(read.map((each) => each?.version)).toEqual([2, 2]);
  });

  it("rejects only the update that the server refuses, of those of one turn", async () => {
    const store = await newStore();
    await Promise.all(["a", "b", "c"].map((id) => store.create(id, stored(1))));
    await postgres.sql(`ALTER TABLE ${table} ADD CHECK (user_id <> 'mallory')`, "app");
    const users = { a: "ada", b: "mallory", c: undefined };
    const outcomes = await Promise.allSettled(
      Object.entries(users).map(([id, userId]) => store.update(id, stored(2, { userId }), 1)),
    );
    expect(outcomes).toMatchObject([{ value: true }, { reason: { code: "23514" } }, { value: true }]);
    expect((await Promise.all(["a", "b", "c"].map((id) => store.read(id)))).map((each) => each!.version)).toEqual([
      2, 1, 2,
    ]);
  });

  it("sends one statement for the reads of one turn, and one for the updates", async () => {
    const client = pool();
    const store = await newStore(client);
    const ids = ["a", "b", "c", "d"];
    await Promise.all(ids.map((id) => store.create(id, stored(1))));
    let acquired = 0;
    client.on("acquire", () => (acquired += 1));
    await Promise.all(ids.map((id) => store.read(id)));
    await Promise.all(ids.map((id) => store.update(id, stored(2), 1)));
    expect(acquired).toBe(2);
  });

  it("finds the sessions of a turn by the index, although the table was empty when the statements were prepared", async () => {
    const client = new Client(postgres.address);
    await client.connect();
    ends.push(() => client.end());
    const store = await newStore(client);
    await postgres.sql(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`, "app");
    const turn = async (version: number) => {
      await Promise.all(["a", "b"].map((id) => store.read(id)));
      await Promise.all(["a", "b"].map((id) => store.update(id, stored(version + 1), version)));
    };
    await Promise.all(["a", "b"].map((id) => store.create(id, stored(1))));
    // PostgreSQL keeps a plan from the sixth execution on.
    for (let version = 1; version <= 7; version += 1) await turn(version);
    await postgres.sql(
      `INSERT INTO ${table} SELECT 'id' || n, 1, 9000000000000, NULL, NULL, 'x' FROM generate_series(1, 5000) AS n`,
      "app",
    );
    const rowsScanned = async () => {
      await client.query("SELECT pg_stat_force_next_flush()");
      const [row] = await postgres.sql(
        `SELECT seq_tup_read::int FROM pg_stat_user_tables WHERE relname = '${table}'`,
        "app",
      );
      return Number(row![0]);
    };
    const before = await rowsScanned();
    for (let version = 8; version <= 12; version += 1) await turn(version);
    expect((await rowsScanned()) - before).toBeLessThan(5000);
  });
});
