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

describe.skipIf(!MARIADB_PATH)("mysqlStore, when something is wrong with the server", () => {
  let server: Mariadb;
  const pools = new Set<mysql.Pool>();

  beforeAll(async () => {
    server = await startMariadb({ args: ["--max-connections=10"] });
    const pool = connect();
    await migrateMysql(pool);
  });
  beforeEach(async () => void (await server.sql("DELETE FROM app.sojourn_sessions")));
  // Whatever a test has done to its connections or the server is over with it, even where it fails.
  afterEach(async () => {
    server.program.resume();
    await Promise.allSettled(Array.from(pools, (pool) => pool.end()));
    pools.clear();
    await server.sql("SET GLOBAL read_only = OFF, GLOBAL innodb_lock_wait_timeout = 50");
    await until("its connections are closed", async () => {
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

  /** A transaction that has the row of a session, until its promise is fulfilled. */
  async function lock(id: string): Promise<mysql.PoolConnection> {
    const connection = await connect().getConnection();
    await connection.beginTransaction();
    await connection.query("SELECT 1 FROM sojourn_sessions WHERE id = ? FOR UPDATE", [id]);
    return connection;
  }

  const waiting = () => server.sql("SELECT id FROM information_schema.processlist WHERE state LIKE 'Updating'");

  it("reads on where nothing can be written, and looks for another primary by a new connection", async () => {
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

  it("rejects what waits for a lock in vain, and leaves the session as it was", async () => {
    await server.sql("SET GLOBAL innodb_lock_wait_timeout = 1");
    const { create, read, update, touch } = store();
    await create("a", session());
    const holder = await lock("a");
    await expect(update("a", session({ version: 2 }), 1)).rejects.toMatchObject({ errno: 1205 });
    expect((await read("a"))?.version).toBe(1);
    await holder.rollback();
    holder.release();
    expect(await touch("a", Date.now() + 2 * HOUR)).toBe(true);
  });

  it.each(["rollback", "commit"] as const)(
    "brings no session back that expired while waiting for a row that a %s sets free",
    async (end) => {
      const { create, read, update, touch, delete: remove } = store();
      await create("a", session({ expiresAt: Date.now() + 700 }));
      const holder = await lock("a");
      if (end === "commit") await holder.query("UPDATE sojourn_sessions SET user_id = 'ada' WHERE id = 'a'");
      const late = [update("a", session({ version: 2 }), 1), touch("a", Date.now() + HOUR)];
      await until("it has expired", async () => (await read("a")) === undefined);
      await holder[end]();
      holder.release();
      expect(await Promise.all(late)).toEqual([false, false]);
      expect(await read("a")).toBeUndefined();
      expect(await remove("a")).toBe(false);
    },
  );

  it("updates and extends a session near its end, whatever moved its end meanwhile", async () => {
    const { create, read, update, touch } = store();
    const soon = Date.now() + 30_000;
    await create("a", session({ expiresAt: soon }));
    const holder = await lock("a");
    const late = [touch("a", soon + 10), update("a", session({ version: 2, expiresAt: soon + 20 }), 1)];
    await until("both wait", async () => (await waiting()).length === 2);
    await holder.query("UPDATE sojourn_sessions SET expires_at = expires_at + 1 WHERE id = 'a'");
    await holder.commit();
    holder.release();
    expect(await Promise.all(late)).toEqual([true, true]);
    expect((await read("a"))?.version).toBe(2);
    expect(await update("a", session({ version: 2, expiresAt: soon }), 1)).toBe(false);
    expect(await touch("a", Date.now() + HOUR)).toBe(true);
    expect((await read("a"))?.expiresAt).toBeGreaterThan(soon + 20);
  });

  it("does again what a deadlock has undone", async () => {
    const { create, deleteExpired } = store();
    for (const id of ["a", "b"]) await create(id, session({ expiresAt: 5 }));
    for (let n = 0; n < 50; n += 1) await create(`other-${n}`, session());
    const other = await lock("b");
    // Whoever has done the most is not the one to be undone.
    await other.query("UPDATE sojourn_sessions SET payload = 'x' WHERE id LIKE 'other-%'");
    const before = await deadlocks();
    const collected = deleteExpired(10);
    await until("the collector waits for b, and has a", async () => (await waiting()).length > 0);
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

  it("rejects the statement whose connection is killed, and goes on with another", async () => {
    const { create, update, read } = store();
    await create("a", session());
    const holder = await lock("a");
    const updated = update("a", session({ version: 2 }), 1);
    const failure = updated.catch((error: unknown) => error);
    const [victim] = (await until("it waits", async () => {
      const found = await waiting();
      return found.length > 0 && found;
    })) as { id: number }[];
    await server.sql(`KILL ${victim?.id}`);
    expect(await failure).toBeInstanceOf(Error);
    await holder.rollback();
    holder.release();
    expect((await read("a"))?.version).toBe(1);
    expect(await update("a", session({ version: 2 }), 1)).toBe(true);
  });

  it("refuses a payload that is too large for a packet, and keeps the session it had", async () => {
    const { create, update, read } = store();
    await create("a", session());
    const payload = new Uint8Array(20 << 20);
    await expect(update("a", session({ version: 2, payload }), 1)).rejects.toThrow();
    expect((await read("a"))?.payload.byteLength).toBe(250);
    expect(await update("a", session({ version: 2 }), 1)).toBe(true);
  });

  it("rejects while the server has no connection left, and goes on when it has", async () => {
    const { create } = store();
    await create("a", session());
    const greedy = connect({ connectionLimit: 20 });
    const taken = await Promise.allSettled(Array.from({ length: 12 }, () => greedy.getConnection()));
    const latecomer = store();
    await expect(latecomer.read("a")).rejects.toMatchObject({ errno: 1040 });
    for (const one of taken) if (one.status === "fulfilled") one.value.destroy();
    await until("there is one", () => latecomer.read("a").catch(() => undefined));
  });

  it("rejects at once where the password is wrong, and does not tell it", async () => {
    const failure = await store({}, connect({ password: "guessed" }))
      .read("a")
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ errno: 1045 });
    expect(String(failure)).not.toContain("guessed");
  });

  it("closes connections that a paused server leaves unanswered, and is served as soon as it goes on", async () => {
    const pool = connect();
    const { config } = pool.pool as unknown as { config: { connectionConfig: { connectTimeout: number } } };
    const patient = store({}, pool);
    await Promise.all(Array.from({ length: 8 }, (_, n) => patient.create(`${n}`, session())));
    const before = sockets();
    server.program.pause();
    // Only now: a server that others keep from the processor may take as long to welcome somebody.
    const { connectTimeout } = config.connectionConfig;
    config.connectionConfig.connectTimeout = 300;
    const { read } = store({ timeout: "400ms" }, pool);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => read("1")));
    for (const outcome of outcomes) expect(String((outcome as PromiseRejectedResult).reason)).toMatch(/within 400 ms/);
    // No answer, no goodbye, and yet none is left.
    await until("no socket is left", () => sockets() <= before - 4);
    config.connectionConfig.connectTimeout = connectTimeout;
    server.program.resume();
    expect(await until("it answers", () => patient.read("1").catch(() => undefined))).toBeDefined();
  });

  it("never carries out what it has given up before it had a connection", async () => {
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

  it("refuses to write where it would not be committed", async () => {
    const pool = connect();
    pool.pool.on("connection", (connection) => void connection.query("SET autocommit = 0"));
    await expect(mysqlStore(pool).create("a", session())).rejects.toThrow(/leave autocommit on/);
    expect(await store().read("a")).toBeUndefined();
  });

  it("refuses to read where it would see an old state, in which a session that has been revoked lives on", async () => {
    const { create, delete: end, read: readElsewhere } = store();
    await create("a", session({ userId: "ada" }));
    const pool = connect({ connectionLimit: 1 });
    const { read, idsOfUser, all } = store({}, pool);
    const forget = async () => {
      const forgetful = await pool.getConnection();
      await forgetful.beginTransaction();
      await forgetful.query("SELECT COUNT(*) FROM sojourn_sessions");
      forgetful.release();
    };
    await forget();
    await end("a");
    await expect(read("a")).rejects.toThrow(/end a transaction before you release/);
    expect(await read("a")).toBeUndefined();
    await forget();
    await create("a", session({ userId: "ada" }));
    await expect(idsOfUser("ada")).rejects.toThrow(/end a transaction before you release/);
    expect(await idsOfUser("ada")).toEqual(["a"]);
    await forget();
    await expect(all()[Symbol.asyncIterator]().next()).rejects.toThrow(/end a transaction before you release/);
    expect(await readElsewhere("a")).toBeDefined();

    const without = connect();
    without.pool.on("connection", (connection) => void connection.query("SET autocommit = 0"));
    await expect(mysqlStore(without).read("a")).rejects.toThrow(/leave autocommit on/);
  });

  it("refuses to write in a transaction that somebody left open, and does in the next", async () => {
    const pool = connect({ connectionLimit: 1 });
    const forgetful = await pool.getConnection();
    await forgetful.beginTransaction();
    forgetful.release();
    const { create, read } = store({}, pool);
    await expect(create("a", session())).rejects.toThrow(/end a transaction before you release/);
    expect(await create("a", session())).toBe(true);
    expect(await read("a")).toBeDefined();
  });
});

describe.skipIf(!MARIADB_PATH)("mysqlStore, when the server's disk is full", () => {
  it("rejects what finds no room, and loses nothing it has acknowledged", async () => {
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
