import mysql from "mysql2/promise";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { StoredSession } from "../../src/store.ts";
import { migrateMysql, mysqlStore, type MysqlStoreOptions } from "../../src/stores/mysql/store.ts";
import { type Mariadb, MARIADB_PATH, startMariadb } from "../support/mariadb.ts";
import { until } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const session = (given: Partial<StoredSession> = {}): StoredSession => ({
  payload: new Uint8Array(250),
  version: 1,
  expiresAt: Date.now() + HOUR,
  ...given,
});
const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;

describe.skipIf(!MARIADB_PATH)("mysqlStore with a faulty server", () => {
  let server: Mariadb;
  const pools = new Set<mysql.Pool>();

  beforeAll(async () => {
    server = await startMariadb({ args: ["--max-connections=10"] });
    const pool = connect();
    await migrateMysql(pool);
  });
  beforeEach(async () => void (await server.sql("DELETE FROM app.sojourn_sessions")));
  // Undoes what a test has done to its connections and to the server, even if the test fails.
  afterEach(async () => {
    server.program.resume();
    await Promise.allSettled(Array.from(pools, (pool) => pool.end()));
    pools.clear();
    await server.sql("SET GLOBAL read_only = OFF, GLOBAL innodb_lock_wait_timeout = 50");
    await until("the connections of the test are closed", async () => {
      const left = (await server.sql("SELECT id FROM information_schema.processlist WHERE user = 'app'")) as {
        id: number;
      }[];
      for (const { id } of left) await server.sql(`KILL ${id}`).catch(() => {});
      return left.length === 0;
    });
  });
  afterAll(() => server?.stop());

  function connect(options: mysql.PoolOptions = {}): mysql.Pool {
    const pool = mysql.createPool({ ...server.client, connectionLimit: 4, ...options });
    pools.add(pool);
    return pool;
  }

  const store = (options: MysqlStoreOptions = {}, pool = connect()) => mysqlStore(pool, options);

  /** Locks the row of a session in a transaction, which the caller ends. */
  async function lockRow(id: string): Promise<mysql.PoolConnection> {
    const connection = await connect().getConnection();
    await connection.beginTransaction();
    await connection.query("SELECT 1 FROM sojourn_sessions WHERE id = ? FOR UPDATE", [id]);
    return connection;
  }

  const waitingStatements = () =>
    server.sql("SELECT id FROM information_schema.processlist WHERE state LIKE 'Updating'");

  it("reads from a server that has become read-only, and opens a new connection after a failed write", async () => {
    const pool = connect({ connectionLimit: 1 });
    let connections = 0;
    pool.on("connection", () => (connections += 1));
    const { create, read, delete: end } = store({}, pool);
    await create("a", session());
    await server.sql("SET GLOBAL read_only = ON");
    await expect(create("b", session())).rejects.toMatchObject({ errno: 1290 });
    await expect(end("a")).rejects.toMatchObject({ errno: 1290 });
    expect(await read("a")).toBeDefined();
    expect(connections).toBe(3);
    await server.sql("SET GLOBAL read_only = OFF");
    expect(await end("a")).toBe(true);
  });

  it("rejects at the lock timeout, and does not change the session", async () => {
    await server.sql("SET GLOBAL innodb_lock_wait_timeout = 1");
    const { create, read, update, touch } = store();
    await create("a", session());
    const holder = await lockRow("a");
    await expect(update("a", session({ version: 2 }), 1)).rejects.toMatchObject({ errno: 1205 });
    expect((await read("a"))?.version).toBe(1);
    await holder.rollback();
    holder.release();
    expect(await touch("a", Date.now() + 2 * HOUR)).toBe(true);
  });

  it.each(["rollback", "commit"] as const)(
    "does not write to a session that expires while the write waits for a row lock, until a %s",
    async (end) => {
      const { create, read, update, touch, delete: remove } = store();
      await create("a", session({ expiresAt: Date.now() + 700 }));
      const holder = await lockRow("a");
      if (end === "commit") await holder.query("UPDATE sojourn_sessions SET user_id = 'ada' WHERE id = 'a'");
      const late = [update("a", session({ version: 2 }), 1), touch("a", Date.now() + HOUR)];
      await until("the session has expired", async () => (await read("a")) === undefined);
      await holder[end]();
      holder.release();
      expect(await Promise.all(late)).toEqual([false, false]);
      expect(await read("a")).toBeUndefined();
      expect(await remove("a")).toBe(false);
    },
  );

  it("updates and touches a session that expires soon, after another transaction has changed its expiry", async () => {
    const { create, read, update, touch } = store();
    const soon = Date.now() + 30_000;
    await create("a", session({ expiresAt: soon }));
    const holder = await lockRow("a");
    const late = [touch("a", soon + 10), update("a", session({ version: 2, expiresAt: soon + 20 }), 1)];
    await until("both writes wait", async () => (await waitingStatements()).length === 2);
    await holder.query("UPDATE sojourn_sessions SET expires_at = expires_at + 1 WHERE id = 'a'");
    await holder.commit();
    holder.release();
    expect(await Promise.all(late)).toEqual([true, true]);
    expect((await read("a"))?.version).toBe(2);
    expect(await update("a", session({ version: 2, expiresAt: soon }), 1)).toBe(false);
    expect(await touch("a", Date.now() + HOUR)).toBe(true);
    expect((await read("a"))?.expiresAt).toBeGreaterThan(soon + 20);
  });

  it("repeats a statement that a deadlock has rolled back", async () => {
    const { create, deleteExpired } = store();
    for (const id of ["a", "b"]) await create(id, session({ expiresAt: 5 }));
    for (let n = 0; n < 50; n += 1) await create(`other-${n}`, session());
    const other = await lockRow("b");
    // The server rolls back the transaction with fewer changes.
    await other.query("UPDATE sojourn_sessions SET payload = 'x' WHERE id LIKE 'other-%'");
    const before = await deadlocks();
    const collected = deleteExpired(10);
    await until("the deletion has locked a and waits for b", async () => (await waitingStatements()).length > 0);
    await other.query("UPDATE sojourn_sessions SET payload = 'x' WHERE id = 'a'");
    await other.commit();
    other.release();
    expect(await collected).toBe(2);
    expect(await deadlocks()).toBeGreaterThan(before);
  });

  async function deadlocks(): Promise<number> {
    const [row] = (await server.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")) as { Value: string }[];
    return Number(row?.Value);
  }

  it("rejects if its connection is killed, and uses another for the next statement", async () => {
    const { create, update, read } = store();
    await create("a", session());
    const holder = await lockRow("a");
    const updated = update("a", session({ version: 2 }), 1);
    const failure = updated.catch((error: unknown) => error);
    const [victim] = (await until("the update waits", async () => {
      const found = await waitingStatements();
      return found.length > 0 && found;
    })) as { id: number }[];
    await server.sql(`KILL ${victim?.id}`);
    expect(await failure).toBeInstanceOf(Error);
    await holder.rollback();
    holder.release();
    expect((await read("a"))?.version).toBe(1);
    expect(await update("a", session({ version: 2 }), 1)).toBe(true);
  });

  it("rejects a payload that is too large for a packet, and does not change the session", async () => {
    const { create, update, read } = store();
    await create("a", session());
    const payload = new Uint8Array(20 << 20);
    await expect(update("a", session({ version: 2, payload }), 1)).rejects.toThrow();
    expect((await read("a"))?.payload.byteLength).toBe(250);
    expect(await update("a", session({ version: 2 }), 1)).toBe(true);
  });

  it("rejects while the server refuses connections, and works when it accepts them again", async () => {
    const { create } = store();
    await create("a", session());
    const other = connect({ connectionLimit: 20 });
    const taken = await Promise.allSettled(Array.from({ length: 12 }, () => other.getConnection()));
    const refused = store();
    await expect(refused.read("a")).rejects.toMatchObject({ errno: 1040 });
    for (const one of taken) if (one.status === "fulfilled") one.value.destroy();
    await until("a connection is accepted", () => refused.read("a").catch(() => undefined));
  });

  it("rejects at once if the password is wrong, without the password in the error", async () => {
    const failure = await store({}, connect({ password: "guessed" }))
      .read("a")
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ errno: 1045 });
    expect(String(failure)).not.toContain("guessed");
  });

  it("closes its connections to a paused server, and works when the server resumes", async () => {
    const pool = connect();
    const { config } = pool.pool as unknown as { config: { connectionConfig: { connectTimeout: number } } };
    const patient = store({}, pool);
    await Promise.all(Array.from({ length: 8 }, (_, n) => patient.create(`${n}`, session())));
    const before = sockets();
    server.program.pause();
    // Set only now: on a busy machine, a server that is not paused may take as long to accept a connection.
    const { connectTimeout } = config.connectionConfig;
    config.connectionConfig.connectTimeout = 300;
    const { read } = store({ timeout: "400ms" }, pool);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => read("1")));
    for (const outcome of outcomes) expect(String((outcome as PromiseRejectedResult).reason)).toMatch(/within 400 ms/);
    // The paused server closes no connection, so the store must have closed them.
    await until("no socket is left", () => sockets() <= before - 4);
    config.connectionConfig.connectTimeout = connectTimeout;
    server.program.resume();
    expect(await until("the server answers", () => patient.read("1").catch(() => undefined))).toBeDefined();
  });

  it("does not run an operation whose timeout has passed before it had a connection", async () => {
    const pool = connect({ connectionLimit: 1 });
    const { create, read } = store({}, pool);
    await create("a", session());
    const only = await pool.getConnection();
    await expect(store({ timeout: "100ms" }, pool).update("a", session({ version: 2 }), 1)).rejects.toThrow(
      /no connection was free/,
    );
    only.release();
    expect((await read("a"))?.version).toBe(1);
  });

  it("refuses to write on a connection without autocommit", async () => {
    const pool = connect();
    pool.pool.on("connection", (connection) => void connection.query("SET autocommit = 0"));
    await expect(mysqlStore(pool).create("a", session())).rejects.toThrow(/leave autocommit on/);
    expect(await store().read("a")).toBeUndefined();
  });

  it("refuses to read on a connection with an old snapshot, in which a revoked session still exists", async () => {
    const { create, delete: end, read: readElsewhere } = store();
    await create("a", session({ userId: "ada" }));
    const pool = connect({ connectionLimit: 1 });
    const { read, idsOfUser, all } = store({}, pool);
    const leaveTransactionOpen = async () => {
      const borrowed = await pool.getConnection();
      await borrowed.beginTransaction();
      await borrowed.query("SELECT COUNT(*) FROM sojourn_sessions");
      borrowed.release();
    };
    await leaveTransactionOpen();
    await end("a");
    await expect(read("a")).rejects.toThrow(/end a transaction before you release/);
    expect(await read("a")).toBeUndefined();
    await leaveTransactionOpen();
    await create("a", session({ userId: "ada" }));
    await expect(idsOfUser("ada")).rejects.toThrow(/end a transaction before you release/);
    expect(await idsOfUser("ada")).toEqual(["a"]);
    await leaveTransactionOpen();
    await expect(all()[Symbol.asyncIterator]().next()).rejects.toThrow(/end a transaction before you release/);
    expect(await readElsewhere("a")).toBeDefined();

    const withoutAutocommit = connect();
    withoutAutocommit.pool.on("connection", (connection) => void connection.query("SET autocommit = 0"));
    await expect(mysqlStore(withoutAutocommit).read("a")).rejects.toThrow(/leave autocommit on/);
  });

  it("refuses to write in a transaction that the application has left open, and writes in the next call", async () => {
    const pool = connect({ connectionLimit: 1 });
    const borrowed = await pool.getConnection();
    await borrowed.beginTransaction();
    borrowed.release();
    const { create, read } = store({}, pool);
    await expect(create("a", session())).rejects.toThrow(/end a transaction before you release/);
    expect(await create("a", session())).toBe(true);
    expect(await read("a")).toBeDefined();
  });
});

describe.skipIf(!MARIADB_PATH)("mysqlStore with a server whose disk is full", () => {
  it("rejects writes that need more space, and loses no acknowledged session", async () => {
    const server = await startMariadb({
      args: ["--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:20M"],
    });
    const pool = mysql.createPool(server.client);
    try {
      await migrateMysql(pool);
      const store = mysqlStore(pool);
      const payload = new Uint8Array(60_000);
      let kept = 0;
      const full = (async () => {
        for (; kept < 1000; kept += 1) await store.create(`${kept}`, session({ payload }));
      })();
      await expect(full).rejects.toMatchObject({ errno: 1114 });
      expect(kept).toBeGreaterThan(10);
      await server.program.kill();
      await server.program.restart();
      for (let n = 0; n < kept; n += 1) {
        expect((await store.read(`${n}`).catch(() => store.read(`${n}`)))?.payload.byteLength).toBe(60_000);
      }
      expect(await store.delete("0")).toBe(true);
      expect(await store.read(`${kept}`)).toBeUndefined();
    } finally {
      await pool.end();
      await server.stop();
    }
  });
});
