import mysqlCallbacks from "mysql2";
import mysql from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoredSession } from "../../src/store.ts";
import { migrateMysql, mysqlSchema, mysqlStore } from "../../src/stores/mysql/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { type Mariadb, MARIADB_PATH, startMariadb } from "../support/mariadb.ts";

const CAPABILITIES = ["idsOfUser", "all", "deleteExpired", "close"] as const;
const HOUR = 3_600_000;
// The clock goes back from 3:00 to 2:00, as in Berlin. In this form it needs no time zone database.
const ZONE = "CET-1CEST,M3.5.0,M10.5.0/3";

describe.skipIf(!MARIADB_PATH)("mysqlStore, on a server", () => {
  let server: Mariadb;
  let pool: mysql.Pool;

  beforeAll(async () => {
    server = await startMariadb({ env: { TZ: ZONE } });
    pool = mysql.createPool(server.client);
    await migrateMysql(pool);
  });

  afterAll(async () => {
    await pool?.end();
    await server?.stop();
  });

  const session = (given: Partial<StoredSession> = {}): StoredSession => ({
    payload: new TextEncoder().encode("payload"),
    version: 1,
    expiresAt: Date.now() + HOUR,
    ...given,
  });

  describe("with a clock of the application", () => {
    const cases = storeContract(({ clock }) => [mysqlStore(pool, { clock }), mysqlStore(pool, { clock })], {
      capabilities: CAPABILITIES,
    });
    it.each(cases)("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });

  // An application may share its pool with the store. The pool's options must not change the results of the store.
  describe("with the server's clock and a pool with unusual options", () => {
    let odd: mysqlCallbacks.Pool;
    beforeAll(async () => {
      odd = mysqlCallbacks.createPool({
        ...server.client,
        flags: ["-FOUND_ROWS"],
        supportBigNumbers: true,
        bigNumberStrings: true,
        nestTables: "_",
        namedPlaceholders: true,
        typeCast: (_, next) => next(),
        charset: "latin1",
        timezone: "+09:00",
        resetOnRelease: true,
        connectionLimit: 5,
      });
      odd.on("connection", (connection) => void connection.query("SET sql_mode = 'ANSI', time_zone = '-05:00'"));
      await migrateMysql(odd, { table: "app.Odd$1" });
    });
    afterAll(() => new Promise((resolve) => odd.end(resolve)));

    const cases = storeContract(
      () => [mysqlStore(odd, { table: "app.Odd$1" }), mysqlStore(odd, { table: "app.Odd$1" })],
      {
        capabilities: CAPABILITIES,
        clock: "own",
        lifetime: 1500,
      },
    );
    it.each(cases)("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });

  it("reads rows of a pool with both rowsAsArray and nestTables", async () => {
    for (const nestTables of [true, "_"] as const) {
      const nested = mysql.createPool({ ...server.client, rowsAsArray: true, nestTables });
      await migrateMysql(nested);
      const store = mysqlStore(nested);
      const stored = { payload: Buffer.of(1, 2), version: 7, expiresAt: Date.now() + HOUR, userId: "nested" };
      await store.create(`nested-${nestTables}`, stored);
      expect(await store.read(`nested-${nestTables}`)).toEqual(stored);
      await store.delete(`nested-${nestTables}`);
      await nested.end();
    }
  });

  it("returns true for a write that changes nothing, whether the client counts found or changed rows", async () => {
    for (const flags of [["FOUND_ROWS"], ["-FOUND_ROWS"]]) {
      const counting = mysql.createPool({ ...server.client, flags });
      try {
        const store = mysqlStore(counting);
        const id = flags.join();
        const stored = session();
        const expired = session({ expiresAt: 5 });
        expect(await store.create(id, expired)).toBe(true);
        expect(await store.create(id, expired)).toBe(true);
        expect(await store.create(id, stored)).toBe(true);
        expect(await store.create(id, stored)).toBe(false);
        expect(await store.update(id, stored, 1)).toBe(true);
        expect(await store.touch(id, stored.expiresAt)).toBe(true);
        expect(await store.read(id)).toEqual({ ...stored, payload: Buffer.from(stored.payload) });
      } finally {
        await counting.end();
      }
    }
  });

  it("creates a session under the id of an expired one, from the millisecond of its expiry", async () => {
    let time = Date.now();
    const store = mysqlStore(pool, { clock: () => time });
    const first = session({ expiresAt: time + 1000, userId: "ada" });
    const second = session({ payload: new Uint8Array(9), version: 3, expiresAt: time + 5000, userId: "grace" });
    await store.create("again", first);
    time += 999;
    expect(await store.create("again", second)).toBe(false);
    expect(await store.read("again")).toEqual({ ...first, payload: Buffer.from(first.payload) });
    time += 1;
    expect(await store.create("again", second)).toBe(true);
    expect(await store.read("again")).toEqual({ ...second, payload: Buffer.from(second.payload) });
  });

  it("truncates nothing if the server's strict mode is off", async () => {
    const lax = mysql.createPool(server.client);
    lax.pool.on("connection", (connection) => void connection.query("SET sql_mode = ''"));
    try {
      const store = mysqlStore(lax);
      const userId = "o".repeat(70_000);
      const stored = session({ payload: new Uint8Array(1 << 24).fill(7).subarray(0, 15_000_000), userId });
      expect(await store.create("large", stored)).toBe(true);
      const found = await store.read("large");
      expect(found?.userId).toBe(userId);
      expect(Buffer.compare(Buffer.from(found?.payload ?? []), Buffer.from(stored.payload))).toBe(0);
      expect(await store.idsOfUser(userId)).toEqual(["large"]);
      expect(await store.idsOfUser(`${userId}o`)).toEqual([]);
    } finally {
      await lax.end();
    }
  });

  it("treats user ids as different that differ only in case, in trailing spaces, or after 5000 characters", async () => {
    const store = mysqlStore(pool);
    const long = "x".repeat(5000);
    const userIds = [
      "ada",
      "Ada",
      "ada ",
      "áda",
      "a\u0301da",
      "ada\0",
      "\ud83e",
      "\ufffd",
      "",
      long,
      `${long}y`,
      `${long} `,
    ];
    for (const [index, userId] of userIds.entries()) await store.create(`of-${index}`, session({ userId }));
    for (const [index, userId] of userIds.entries()) {
      expect(await store.idsOfUser(userId)).toEqual([`of-${index}`]);
      expect((await store.read(`of-${index}`))?.userId).toBe(userId);
    }
  });

  it("uses an index for each query", async () => {
    const explain = async (statement: string, values: (Buffer | number)[]) => {
      const [rows] = await pool.execute<mysql.RowDataPacket[]>(`EXPLAIN ${statement}`, values);
      return rows[0]?.["key"] as string | null;
    };
    const from = "FROM sojourn_sessions WHERE";
    expect(await explain(`SELECT payload ${from} id = ?`, [Buffer.from("of-1")])).toBe("PRIMARY");
    expect(await explain(`SELECT id ${from} user_id = ?`, [Buffer.from("ada")])).toBe("user_id");
    expect(await explain(`SELECT id ${from} expires_at <= ? ORDER BY expires_at LIMIT 100`, [5])).toBe("expires_at");
  });

  it("uses the right time in the hour that a change of time zone repeats", async () => {
    // 2:30 in summer, and 2:30 once more in winter.
    for (const time of [Date.UTC(2025, 9, 26, 0, 30), Date.UTC(2025, 9, 26, 1, 30)]) {
      const turning = mysql.createPool(server.client);
      turning.pool.on("connection", (connection) => void connection.query(`SET timestamp = ${time / 1000}`));
      try {
        const store = mysqlStore(turning);
        await store.create(`live-${time}`, session({ expiresAt: time + 1 }));
        await store.create(`expired-${time}`, session({ expiresAt: time }));
        expect(await store.read(`live-${time}`)).toBeDefined();
        expect(await store.read(`expired-${time}`)).toBeUndefined();
      } finally {
        await turning.end();
      }
    }
  });

  it("deletes expired sessions in several processes at once, while others write", async () => {
    await pool.query("DELETE FROM sojourn_sessions");
    await pool.query(
      `INSERT INTO sojourn_sessions (id, payload, version, expires_at)
       SELECT CONCAT('old-', seq), 'x', 1, seq FROM seq_1_to_5000`,
    );
    const store = mysqlStore(pool);
    const others = [mysql.createPool(server.client), mysql.createPool(server.client)];
    const deletion = { isOn: true };
    const deleting = Promise.all(
      others.map(async (other) => {
        const { deleteExpired } = mysqlStore(other);
        while (deletion.isOn && (await deleteExpired(500)) === 500);
      }),
    ).finally(() => (deletion.isOn = false));
    try {
      for (let n = 0; deletion.isOn; n += 1) {
        const id = `old-${n}-new`;
        expect(await store.create(id, session())).toBe(true);
        expect(await store.update(id, session({ version: 2, expiresAt: Date.now() + HOUR }), 1)).toBe(true);
        expect(await store.touch(id, Date.now() + 2 * HOUR)).toBe(true);
        if (n % 2 === 0) expect(await store.delete(id)).toBe(true);
      }
      await deleting;
    } finally {
      deletion.isOn = false;
      await deleting;
      for (const other of others) await other.end();
    }
    // A process that could delete no row has left the rest to the other.
    while ((await store.deleteExpired(500)) > 0);
    const left: string[] = [];
    for await (const id of store.all()) left.push(id);
    expect(left.every((id) => id.endsWith("-new"))).toBe(true);
  });

  it("lists more sessions than fit in a page, and no expired ones", async () => {
    await pool.query("DELETE FROM sojourn_sessions");
    const rows = "SELECT LPAD(seq, 5, '0'), 'x', 1, IF(seq % 3, 9e14, 5) FROM seq_1_to_2000";
    await pool.query(`INSERT INTO sojourn_sessions (id, payload, version, expires_at) ${rows}`);
    await mysqlStore(pool).create("", session());
    await mysqlStore(pool).create("y".repeat(1000), session());
    const found: string[] = [];
    for await (const id of mysqlStore(pool).all()) found.push(id);
    expect(found).toHaveLength(1334 + 2);
    expect(new Set(found)).toContain("y".repeat(1000));
    expect(new Set(found).size).toBe(found.length);
  });
});

describe.skipIf(!MARIADB_PATH)("migrateMysql", () => {
  let server: Mariadb;
  let pool: mysql.Pool;

  beforeAll(async () => {
    server = await startMariadb();
    pool = mysql.createPool(server.client);
  });

  afterAll(async () => {
    await pool?.end();
    await server?.stop();
  });

  it("is named in the store's error if the table is missing", async () => {
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/call migrateMysql\(pool\)/);
    await expect(mysqlStore(pool).delete("a")).rejects.toThrow(/call migrateMysql\(pool\)/);
  });

  it("makes the table once, if it runs in several processes at once and again later", async () => {
    const pools = Array.from({ length: 8 }, () => mysql.createPool(server.client));
    try {
      await Promise.all(pools.map((each) => migrateMysql(each)));
      await mysqlStore(pool).create("kept", { payload: new Uint8Array(1), version: 1, expiresAt: 9e14 });
      await migrateMysql(pool);
      expect(await mysqlStore(pool).read("kept")).toBeDefined();
    } finally {
      for (const each of pools) await each.end();
    }
  });

  it("accepts a table that was made with mysqlSchema", async () => {
    await pool.query(mysqlSchema({ table: "shown" }));
    await migrateMysql(pool, { table: "shown" });
    const store = mysqlStore(pool, { table: "shown" });
    expect(await store.create("a", { payload: new Uint8Array(1), version: 1, expiresAt: 9e14 })).toBe(true);
  });

  it("refuses a table of another program", async () => {
    await pool.query("CREATE TABLE sessions (session_id VARCHAR(128) PRIMARY KEY, data TEXT)");
    await expect(migrateMysql(pool, { table: "sessions" })).rejects.toThrow(/`sessions` is not one of mysqlStore's/);
  });
});
