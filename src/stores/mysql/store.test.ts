import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { failureOf } from "../../../test/support/failures.ts";
import { decodeText, encodeText, mysqlKeyOf } from "./text.ts";
import { migrateMysql, type MysqlConnection, mysqlSchema, mysqlStore, type MysqlValues } from "./store.ts";

const WRITTEN = { affectedRows: 1, insertId: 1, serverStatus: 2 };
const NEAR_EXPIRY = { affectedRows: 0, insertId: 2, serverStatus: 2 };
/** The last row of a result, from a connection that is outside a transaction. */
const OUTSIDE_TRANSACTION = [Buffer.from("1")];
const stored = { payload: new Uint8Array(3), version: 1, expiresAt: 5000 };

interface Statement {
  readonly sql: string;
  readonly values: MysqlValues;
}

/** A pool that lends the same connection again and again, and counts what the store does with it. */
function fakePool(respond: (statement: Statement, count: number) => unknown, lend = async () => {}) {
  const calls = { statements: [] as Statement[], lent: 0, released: 0, destroyed: 0, cut: 0 };
  const connection = {
    execute(sql: string, values: MysqlValues, callback: (error: Error | null, result: unknown) => void) {
      const count = calls.statements.push({ sql, values });
      Promise.resolve()
        .then(() => respond({ sql, values }, count))
        .then(
          (result) => callback(null, result),
          (error: Error) => callback(error, undefined),
        );
    },
    query(sql: string, callback: (error: Error | null, result: unknown) => void) {
      connection.execute(sql, [], callback);
    },
    release: () => void (calls.released += 1),
    destroy: () => void (calls.destroyed += 1),
    stream: { destroy: () => void (calls.cut += 1) },
  };
  const pool = {
    async getConnection(callback: (error: Error | null, lent: MysqlConnection) => void) {
      await lend();
      calls.lent += 1;
      callback(null, connection);
    },
  };
  return { pool, calls };
}

const serverError = (errno: number) => Object.assign(new Error(`error ${errno}`), { errno });
/** Returns the error of a promise. Handles the rejection at once, so that it may be checked later. */
const rejectionOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "nothing was rejected",
    (error: unknown) => error,
  );
const never = () => new Promise<never>(() => {});

describe("mysqlStore", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it.each([
    ["a missing pool", undefined, {}, /takes a pool of mysql2/],
    ["a connection", { execute() {} }, {}, /not a connection/],
    ["an unknown option", fakePool(never).pool, { tabel: "x" }, /has no option "tabel"/],
    ["a clock that can't be called", fakePool(never).pool, { clock: 5 }, /clock must be a function/],
    ["a timeout that is not a duration", fakePool(never).pool, { timeout: "soon" }, /timeout: soon is not a duration/],
    ["a timeout that is longer than a timer can wait", fakePool(never).pool, { timeout: "30d" }, /longer than a timer/],
    ["a table's name with a quote", fakePool(never).pool, { table: "a`b" }, /table must be a name/],
    ["a table's name of three parts", fakePool(never).pool, { table: "a.b.c" }, /table must be a name/],
  ])("refuses %s", (_, pool, options, message) => {
    const failure = failureOf(() => mysqlStore(pool as never, options as never));
    expect(failure).toBeInstanceOf(TypeError);
    expect((failure as TypeError).message).toMatch(message);
  });

  it("uses the callback pool of a promise pool", async () => {
    const { pool, calls } = fakePool(() => [OUTSIDE_TRANSACTION]);
    await mysqlStore({ pool }).read("a");
    expect(calls).toMatchObject({ lent: 1, released: 1 });
  });

  it("runs one statement for each operation, and releases the connection", async () => {
    const { pool, calls } = fakePool(({ sql }) => (/^\(?SELECT/.test(sql) ? [OUTSIDE_TRANSACTION] : WRITTEN));
    const store = mysqlStore(pool, { table: "app.web" });
    await store.read("a");
    await store.create("a", stored);
    await store.update("a", stored, 1);
    await store.touch("a", 6000);
    await store.delete("a");
    await store.idsOfUser("ada");
    expect(calls).toMatchObject({ lent: 6, released: 6, destroyed: 0 });
    for (const { sql, values } of calls.statements) {
      expect(sql).toContain(" `app`.`web` ");
      expect(sql.split("?")).toHaveLength(values.length + 1);
    }
  });

  it("passes the time of its clock to each comparison of a statement", async () => {
    const { pool, calls } = fakePool(({ sql }) => (/^\(?SELECT/.test(sql) ? [OUTSIDE_TRANSACTION] : WRITTEN));
    const store = mysqlStore(pool, { clock: () => 777 });
    await store.read("a");
    await store.create("a", stored);
    await store.update("a", stored, 1);
    await store.touch("a", 6000);
    await store.delete("a");
    await store.idsOfUser("ada");
    await store.deleteExpired(5);
    for await (const id of store.all()) expect(id).toBe("none");
    for (const { sql, values } of calls.statements) {
      expect(sql).not.toContain("UTC_TIMESTAMP");
      expect(sql.split("?")).toHaveLength(values.length + 1);
      expect(values).toContain(777);
    }
  });

  it("writes to a session that expires soon in a transaction, with the time after the row is locked", async () => {
    let time = 777;
    const { pool, calls } = fakePool(({ sql }) => {
      if (!sql.includes("FOR UPDATE")) return sql.includes("@@innodb") ? NEAR_EXPIRY : { ...WRITTEN, insertId: 2 };
      time = 888;
      return [];
    });
    const store = mysqlStore(pool, { clock: () => time });
    expect(await store.touch("a", 6000)).toBe(true);
    expect(await store.update("a", stored, 1)).toBe(true);
    const verbs = calls.statements.map(({ sql }) => sql.split(" ", 1)[0]);
    const steps = ["UPDATE", "START", "SELECT", "UPDATE", "COMMIT"];
    expect(verbs).toEqual([...steps, ...steps]);
    for (const index of [3, 8]) {
      const { sql, values } = calls.statements[index]!;
      expect(sql.split("?")).toHaveLength(values.length + 1);
      expect(values).toContain(888);
      expect(values).not.toContain(777);
    }
    expect(calls).toMatchObject({ lent: 2, released: 2, destroyed: 0 });
  });

  it.each(["START", "SELECT", "UPDATE", "COMMIT"])(
    "closes the connection of a transaction that fails at %s",
    async (failing) => {
      const { pool, calls } = fakePool(({ sql }, count) => {
        if (count === 1) return NEAR_EXPIRY;
        return sql.startsWith(failing) ? Promise.reject(serverError(1205)) : WRITTEN;
      });
      await expect(mysqlStore(pool).touch("a", 6000)).rejects.toMatchObject({ errno: 1205 });
      expect(calls).toMatchObject({ lent: 1, released: 0, destroyed: 1 });
    },
  );

  it("rejects if a transaction waits for its row longer than the timeout, and closes the connection", async () => {
    const { pool, calls } = fakePool(({ sql }, count) =>
      count === 1 ? NEAR_EXPIRY : sql.includes("START") ? WRITTEN : never(),
    );
    const failure = rejectionOf(mysqlStore(pool, { timeout: "2s" }).touch("a", 6000));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(calls).toMatchObject({ lent: 1, released: 0, destroyed: 1 });
  });

  it("begins no transaction on a connection that the application has left in one", async () => {
    const { pool, calls } = fakePool(() => ({ ...NEAR_EXPIRY, serverStatus: 1 }));
    await expect(mysqlStore(pool).touch("a", 6000)).rejects.toThrow(/leave autocommit on/);
    expect(calls).toMatchObject({ destroyed: 1, statements: { length: 1 } });
  });

  it("repeats a statement that the server has rolled back because of a deadlock", async () => {
    const { pool, calls } = fakePool((_, count) => (count < 4 ? Promise.reject(serverError(1213)) : WRITTEN));
    const done = mysqlStore(pool).update("a", stored, 1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await done).toBe(true);
    expect(calls).toMatchObject({ lent: 4, released: 4, destroyed: 0 });
  });

  it("repeats a statement at most ten times", async () => {
    const { pool, calls } = fakePool(() => Promise.reject(serverError(1213)));
    const failure = rejectionOf(mysqlStore(pool).update("a", stored, 1));
    await vi.advanceTimersByTimeAsync(1000);
    expect(await failure).toMatchObject({ errno: 1213 });
    expect(calls.lent).toBe(10);
  });

  it.each([
    ["with an unknown outcome", Object.assign(new Error("read ECONNRESET"), { errno: -104, code: "ECONNRESET" })],
    ["that has exceeded the lock timeout", serverError(1205)],
  ])("does not repeat a write %s", async (_, error) => {
    const { pool, calls } = fakePool(() => Promise.reject(error));
    await expect(mysqlStore(pool).update("a", stored, 1)).rejects.toBe(error);
    expect(calls.lent).toBe(1);
  });

  it("closes a connection that is lost or whose server is read-only, and releases it after other errors", async () => {
    for (const [error, destroyed] of [
      [new Error("Connection lost"), 1],
      [serverError(1290), 1],
      [serverError(1836), 1],
      [serverError(1114), 0],
    ] as const) {
      const { pool, calls } = fakePool(() => Promise.reject(error));
      await expect(mysqlStore(pool).touch("a", 5)).rejects.toBe(error);
      expect(calls).toMatchObject({ destroyed, released: 1 - destroyed });
    }
  });

  it("closes a connection and its socket if the server does not answer in time", async () => {
    const { pool, calls } = fakePool(never);
    const failure = rejectionOf(mysqlStore(pool, { timeout: "2s" }).read("a"));
    await vi.advanceTimersByTimeAsync(1999);
    expect(calls.destroyed).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(calls).toMatchObject({ destroyed: 1, cut: 1, released: 0 });
  });

  it("does not run an operation that has waited too long for a connection", async () => {
    let lend!: () => void;
    const free = new Promise<void>((resolve) => (lend = resolve));
    const { pool, calls } = fakePool(
      () => WRITTEN,
      () => free,
    );
    const failure = rejectionOf(mysqlStore(pool, { timeout: "2s" }).delete("a"));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: no connection was free within 2000 ms" });
    lend();
    await vi.advanceTimersByTimeAsync(0);
    expect(calls).toMatchObject({ lent: 1, released: 1, statements: [] });
  });

  it("has one deadline for all attempts of an operation", async () => {
    const { pool, calls } = fakePool((_, count) => (count === 1 ? Promise.reject(serverError(1213)) : never()));
    const failure = rejectionOf(mysqlStore(pool, { timeout: "2s" }).delete("a"));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(calls).toMatchObject({ lent: 2, destroyed: 1 });
  });

  it("rejects with the pool's error if that has no connection", async () => {
    const error = new Error("Queue limit reached.");
    const pool = {
      getConnection: (callback: (error: Error, none: never) => void) => callback(error, undefined as never),
    };
    await expect(mysqlStore(pool).read("a")).rejects.toBe(error);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("releases a connection once if it calls back twice", async () => {
    const { pool, calls } = fakePool(() => [OUTSIDE_TRANSACTION]);
    const twice = {
      getConnection: (callback: (error: null, lent: MysqlConnection) => void) =>
        pool.getConnection((_, lent) =>
          callback(null, {
            ...lent,
            execute(sql, values, callBack) {
              lent.execute(sql, values, callBack);
              lent.execute(sql, values, callBack);
            },
          }),
        ),
    };
    await mysqlStore(twice).read("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toMatchObject({ released: 1, statements: { length: 2 } });
  });

  it.each([
    ["objects", { payload: Buffer.of(1), version: 1, expires_at: 5000, userId: null }],
    ["arrays", [Buffer.of(1), 1, 5000, null]],
    ["nested objects", { sojourn_sessions: { payload: Buffer.of(1), version: 1, expires_at: 5000, userId: null } }],
    [
      "an object with prefixed names, and with numbers as strings",
      { s_a: Buffer.of(1), s_b: "1", s_c: "5000", s_d: null },
    ],
  ])("reads a row that the pool returns as %s", async (_, row) => {
    const { pool } = fakePool(() => [row, OUTSIDE_TRANSACTION]);
    expect(await mysqlStore(pool).read("a")).toEqual({ payload: Buffer.of(1), version: 1, expiresAt: 5000 });
  });

  it("names the remedy for a pool that converts bytes to text", async () => {
    const { pool } = fakePool(() => [{ payload: "x", version: 1, expires_at: 5000, userId: null }, { payload: "1" }]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/have it return next\(\) for BLOB and VARBINARY/);
  });

  it("names the remedy for a pool that returns numbers as bytes", async () => {
    const { pool } = fakePool(() => [[Buffer.of(1), Buffer.from("1"), Buffer.from("5000"), null], OUTSIDE_TRANSACTION]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/have it return next\(\) for LONGLONG/);
  });

  it("rejects the result of a connection with an old snapshot, an empty result too", async () => {
    const { pool, calls } = fakePool(() => [[Buffer.from("0")]]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/leave autocommit on/);
    expect(calls).toMatchObject({ destroyed: 1, released: 0 });
  });

  it("clears its timer", async () => {
    const { pool } = fakePool(() => [OUTSIDE_TRANSACTION]);
    await mysqlStore(pool).read("a");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("closes a connection that was in a transaction, and names the remedy", async () => {
    const { pool, calls } = fakePool(() => ({ ...WRITTEN, serverStatus: 1 }));
    await expect(mysqlStore(pool).delete("a")).rejects.toThrow(/leave autocommit on/);
    expect(calls).toMatchObject({ destroyed: 1, released: 0 });
  });

  it("names the remedy if its table is missing", async () => {
    const cause = serverError(1146);
    const { pool } = fakePool(() => Promise.reject(cause));
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(
      expect.objectContaining({ message: expect.stringMatching(/`sojourn_sessions`.*migrateMysql\(pool\)/), cause }),
    );
  });

  it("copies a payload before it waits for a connection", async () => {
    const { pool, calls } = fakePool(() => WRITTEN);
    const payload = Uint8Array.of(1, 2, 3);
    const creating = mysqlStore(pool).create("a", { ...stored, payload });
    payload.fill(9);
    await creating;
    expect(calls.statements[0]?.values).toContainEqual(Buffer.of(1, 2, 3));
  });

  it("stops deleting expired sessions when it can delete none of the rows that it finds", async () => {
    const found = Array.from({ length: 100 }, (_, n) => [Buffer.from(`${n}`)]);
    const { pool, calls } = fakePool(({ sql }) =>
      sql.startsWith("(SELECT")
        ? [...found, OUTSIDE_TRANSACTION]
        : { ...WRITTEN, affectedRows: calls.statements.length > 2 ? 0 : 40 },
    );
    expect(await mysqlStore(pool).deleteExpired(500)).toBe(40);
  });
});

describe("mysqlSchema", () => {
  it("quotes the name of the table", () => {
    expect(mysqlSchema()).toMatch(/^CREATE TABLE IF NOT EXISTS `sojourn_sessions` \(/);
    expect(mysqlSchema({ table: "app.web_$1" })).toMatch(/^CREATE TABLE IF NOT EXISTS `app`\.`web_\$1` \(/);
  });

  it("refuses options that it does not know", async () => {
    expect(() => mysqlSchema({ table: "x; DROP TABLE y" })).toThrow(/table must be a name/);
    expect(() => mysqlSchema({ tables: "x" } as never)).toThrow(/has no option "tables"/);
    await expect(migrateMysql(fakePool(never).pool, { clock: 1 } as never)).rejects.toThrow(/has no option "clock"/);
  });
});

describe("mysqlKeyOf", () => {
  const long = "x".repeat(5000);
  const texts = ["", " ", "a", "a ", "A", "é", "e\u0301", "🦁", "\ud83e", "\udd81", "\ufffd", "\0", "\ufeffa", long];

  it("preserves every string", () => {
    for (const text of texts) expect(decodeText(encodeText(text))).toBe(text);
  });

  it("has a different key for each string, short enough for an index", () => {
    const digest = mysqlKeyOf(long).key;
    // These strings look like the encoded form of others.
    const all = [...texts, `${long}y`, digest.toString("latin1"), digest.toString("utf16le"), "\u00ff\ud83e"];
    const keys = all.map((id) => mysqlKeyOf(id).key);
    expect(new Set(keys.map((key) => key.toString("hex"))).size).toBe(all.length);
    for (const key of keys) expect(key.byteLength).toBeLessThanOrEqual(255);
    // No encoded text begins with this byte. So no id has a key that equals the digest of another.
    expect(digest[0]).toBe(0xfe);
  });

  it("stores the id beside the key if the key is a digest", () => {
    expect(mysqlKeyOf("x".repeat(255)).longId).toBeNull();
    expect(decodeText(mysqlKeyOf("x".repeat(256)).longId!)).toBe("x".repeat(256));
    expect(mysqlKeyOf("\ud83e".repeat(200)).longId).not.toBeNull();
  });
});
