import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { failureOf } from "../../../test/support/failures.ts";
import { encodeText, mysqlKeyOf, decodeText } from "./text.ts";
import { migrateMysql, type MysqlConnection, mysqlSchema, mysqlStore, type MysqlValues } from "./store.ts";

const WRITTEN = { affectedRows: 1, insertId: 1, serverStatus: 2 };
const NEAR_EXPIRY = { affectedRows: 0, insertId: 2, serverStatus: 2 };
/** What comes after the rows that were asked for: the connection shows what is committed. */
const OUTSIDE_TRANSACTION = [Buffer.from("1")];
const stored = { payload: new Uint8Array(3), version: 1, expiresAt: 5000 };

interface Statement {
  readonly sql: string;
  readonly values: MysqlValues;
}

/** A pool that lends one connection after the other, and what becomes of the statements. */
function fakePool(answer: (statement: Statement, count: number) => unknown, lend = async () => {}) {
  const seen = { statements: [] as Statement[], lent: 0, released: 0, destroyed: 0, cut: 0 };
  const connection = {
    execute(sql: string, values: MysqlValues, callback: (error: Error | null, result: unknown) => void) {
      const count = seen.statements.push({ sql, values });
      Promise.resolve()
        .then(() => answer({ sql, values }, count))
        .then(
          (result) => callback(null, result),
          (error: Error) => callback(error, undefined),
        );
    },
    query(sql: string, callback: (error: Error | null, result: unknown) => void) {
      connection.execute(sql, [], callback);
    },
    release: () => void (seen.released += 1),
    destroy: () => void (seen.destroyed += 1),
    stream: { destroy: () => void (seen.cut += 1) },
  };
  const pool = {
    async getConnection(callback: (error: Error | null, lent: MysqlConnection) => void) {
      await lend();
      seen.lent += 1;
      callback(null, connection);
    },
  };
  return { pool, seen };
}

const serverError = (errno: number) => Object.assign(new Error(`error ${errno}`), { errno });
/** What a promise is rejected with: taken now, looked at later. */
const failureIn = (promise: Promise<unknown>) =>
  promise.then(
    () => "nothing was rejected",
    (error: unknown) => error,
  );
const never = () => new Promise<never>(() => {});

describe("mysqlStore", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it.each([
    ["no pool", undefined, {}, /takes a pool of mysql2/],
    ["a connection", { execute() {} }, {}, /not a connection/],
    ["an unknown option", fakePool(never).pool, { tabel: "x" }, /has no option "tabel"/],
    ["a clock that can't be called", fakePool(never).pool, { clock: 5 }, /clock must be a function/],
    ["no duration", fakePool(never).pool, { timeout: "soon" }, /timeout: soon is not a duration/],
    ["a duration no timer can wait", fakePool(never).pool, { timeout: "30d" }, /longer than a timer/],
    ["a table's name in quotes", fakePool(never).pool, { table: "a`b" }, /table must be a name/],
    ["a table's name of three parts", fakePool(never).pool, { table: "a.b.c" }, /table must be a name/],
  ])("refuses %s", (_, pool, options, message) => {
    const failure = failureOf(() => mysqlStore(pool as never, options as never));
    expect(failure).toBeInstanceOf(TypeError);
    expect((failure as TypeError).message).toMatch(message);
  });

  it("takes the pool with callbacks out of a promise pool", async () => {
    const { pool, seen } = fakePool(() => [OUTSIDE_TRANSACTION]);
    await mysqlStore({ pool }).read("a");
    expect(seen).toMatchObject({ lent: 1, released: 1 });
  });

  it("asks one statement an operation, on a connection that it gives back", async () => {
    const { pool, seen } = fakePool(({ sql }) => (/^\(?SELECT/.test(sql) ? [OUTSIDE_TRANSACTION] : WRITTEN));
    const store = mysqlStore(pool, { table: "app.web" });
    await store.read("a");
    await store.create("a", stored);
    await store.update("a", stored, 1);
    await store.touch("a", 6000);
    await store.delete("a");
    await store.idsOfUser("ada");
    expect(seen).toMatchObject({ lent: 6, released: 6, destroyed: 0 });
    for (const { sql, values } of seen.statements) {
      expect(sql).toContain(" `app`.`web` ");
      expect(sql.split("?")).toHaveLength(values.length + 1);
    }
  });

  it("tells the time where it has a clock, wherever a statement compares with it", async () => {
    const { pool, seen } = fakePool(({ sql }) => (/^\(?SELECT/.test(sql) ? [OUTSIDE_TRANSACTION] : WRITTEN));
    const store = mysqlStore(pool, { clock: () => 777 });
    await store.read("a");
    await store.create("a", stored);
    await store.update("a", stored, 1);
    await store.touch("a", 6000);
    await store.delete("a");
    await store.idsOfUser("ada");
    await store.deleteExpired(5);
    for await (const id of store.all()) expect(id).toBe("none");
    for (const { sql, values } of seen.statements) {
      expect(sql).not.toContain("UTC_TIMESTAMP");
      expect(sql.split("?")).toHaveLength(values.length + 1);
      expect(values).toContain(777);
    }
  });

  it("writes to a session near its end once it has the row, by the time of that moment", async () => {
    let time = 777;
    const { pool, seen } = fakePool(({ sql }) => {
      if (!sql.includes("FOR UPDATE")) return sql.includes("@@innodb") ? NEAR_EXPIRY : { ...WRITTEN, insertId: 2 };
      time = 888;
      return [];
    });
    const store = mysqlStore(pool, { clock: () => time });
    expect(await store.touch("a", 6000)).toBe(true);
    expect(await store.update("a", stored, 1)).toBe(true);
    const asked = seen.statements.map(({ sql }) => sql.split(" ", 1)[0]);
    const each = ["UPDATE", "START", "SELECT", "UPDATE", "COMMIT"];
    expect(asked).toEqual([...each, ...each]);
    for (const index of [3, 8]) {
      const { sql, values } = seen.statements[index]!;
      expect(sql.split("?")).toHaveLength(values.length + 1);
      expect(values).toContain(888);
      expect(values).not.toContain(777);
    }
    expect(seen).toMatchObject({ lent: 2, released: 2, destroyed: 0 });
  });

  it.each(["START", "SELECT", "UPDATE", "COMMIT"])(
    "never gives a connection back whose transaction failed at %s",
    async (failing) => {
      const { pool, seen } = fakePool(({ sql }, count) => {
        if (count === 1) return NEAR_EXPIRY;
        return sql.startsWith(failing) ? Promise.reject(serverError(1205)) : WRITTEN;
      });
      await expect(mysqlStore(pool).touch("a", 6000)).rejects.toMatchObject({ errno: 1205 });
      expect(seen).toMatchObject({ lent: 1, released: 0, destroyed: 1 });
    },
  );

  it("gives up a transaction that waits for its row too long, and closes its connection", async () => {
    const { pool, seen } = fakePool(({ sql }, count) =>
      count === 1 ? NEAR_EXPIRY : sql.includes("START") ? WRITTEN : never(),
    );
    const failure = failureIn(mysqlStore(pool, { timeout: "2s" }).touch("a", 6000));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(seen).toMatchObject({ lent: 1, released: 0, destroyed: 1 });
  });

  it("begins no transaction inside of one that somebody left open", async () => {
    const { pool, seen } = fakePool(() => ({ ...NEAR_EXPIRY, serverStatus: 1 }));
    await expect(mysqlStore(pool).touch("a", 6000)).rejects.toThrow(/leave autocommit on/);
    expect(seen).toMatchObject({ destroyed: 1, statements: { length: 1 } });
  });

  it("asks again what the server has taken back for a deadlock", async () => {
    const { pool, seen } = fakePool((_, count) => (count < 4 ? Promise.reject(serverError(1213)) : WRITTEN));
    const done = mysqlStore(pool).update("a", stored, 1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await done).toBe(true);
    expect(seen).toMatchObject({ lent: 4, released: 4, destroyed: 0 });
  });

  it("asks ten times at most", async () => {
    const { pool, seen } = fakePool(() => Promise.reject(serverError(1213)));
    const failure = failureIn(mysqlStore(pool).update("a", stored, 1));
    await vi.advanceTimersByTimeAsync(1000);
    expect(await failure).toMatchObject({ errno: 1213 });
    expect(seen.lent).toBe(10);
  });

  it.each([
    ["whose outcome is not known", Object.assign(new Error("read ECONNRESET"), { errno: -104, code: "ECONNRESET" })],
    ["that waited for a lock in vain", serverError(1205)],
  ])("asks no more than once for a write %s", async (_, error) => {
    const { pool, seen } = fakePool(() => Promise.reject(error));
    await expect(mysqlStore(pool).update("a", stored, 1)).rejects.toBe(error);
    expect(seen.lent).toBe(1);
  });

  it("closes a connection that is lost, or leads to a server that can't be written to, and keeps others", async () => {
    for (const [error, destroyed] of [
      [new Error("Connection lost"), 1],
      [serverError(1290), 1],
      [serverError(1836), 1],
      [serverError(1114), 0],
    ] as const) {
      const { pool, seen } = fakePool(() => Promise.reject(error));
      await expect(mysqlStore(pool).touch("a", 5)).rejects.toBe(error);
      expect(seen).toMatchObject({ destroyed, released: 1 - destroyed });
    }
  });

  it("closes a connection that does not answer in time, its socket too", async () => {
    const { pool, seen } = fakePool(never);
    const failure = failureIn(mysqlStore(pool, { timeout: "2s" }).read("a"));
    await vi.advanceTimersByTimeAsync(1999);
    expect(seen.destroyed).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(seen).toMatchObject({ destroyed: 1, cut: 1, released: 0 });
  });

  it("never carries out what waited too long for a connection", async () => {
    let lend!: () => void;
    const free = new Promise<void>((resolve) => (lend = resolve));
    const { pool, seen } = fakePool(
      () => WRITTEN,
      () => free,
    );
    const failure = failureIn(mysqlStore(pool, { timeout: "2s" }).delete("a"));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: no connection was free within 2000 ms" });
    lend();
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toMatchObject({ lent: 1, released: 1, statements: [] });
  });

  it("has one deadline for all its tries", async () => {
    const { pool, seen } = fakePool((_, count) => (count === 1 ? Promise.reject(serverError(1213)) : never()));
    const failure = failureIn(mysqlStore(pool, { timeout: "2s" }).delete("a"));
    await vi.advanceTimersByTimeAsync(2000);
    expect(await failure).toMatchObject({ message: "mysqlStore: the server did not answer within 2000 ms" });
    expect(seen).toMatchObject({ lent: 2, destroyed: 1 });
  });

  it("reports what a pool can't lend", async () => {
    const error = new Error("Queue limit reached.");
    const pool = {
      getConnection: (callback: (error: Error, none: never) => void) => callback(error, undefined as never),
    };
    await expect(mysqlStore(pool).read("a")).rejects.toBe(error);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("gives a connection back once, should it answer twice", async () => {
    const { pool, seen } = fakePool(() => [OUTSIDE_TRANSACTION]);
    const twice = {
      getConnection: (callback: (error: null, lent: MysqlConnection) => void) =>
        pool.getConnection((_, lent) =>
          callback(null, {
            ...lent,
            execute(sql, values, answered) {
              lent.execute(sql, values, answered);
              lent.execute(sql, values, answered);
            },
          }),
        ),
    };
    await mysqlStore(twice).read("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toMatchObject({ released: 1, statements: { length: 2 } });
  });

  it.each([
    ["objects", { payload: Buffer.of(1), version: 1, expires_at: 5000, userId: null }],
    ["arrays", [Buffer.of(1), 1, 5000, null]],
    ["nested", { sojourn_sessions: { payload: Buffer.of(1), version: 1, expires_at: 5000, userId: null } }],
    [
      "with tables in their names, and long numbers as strings",
      { s_a: Buffer.of(1), s_b: "1", s_c: "5000", s_d: null },
    ],
  ])("reads rows that the pool makes %s", async (_, row) => {
    const { pool } = fakePool(() => [row, OUTSIDE_TRANSACTION]);
    expect(await mysqlStore(pool).read("a")).toEqual({ payload: Buffer.of(1), version: 1, expiresAt: 5000 });
  });

  it("says what to do about a pool that turns bytes into text", async () => {
    const { pool } = fakePool(() => [{ payload: "x", version: 1, expires_at: 5000, userId: null }, { payload: "1" }]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/have it return next\(\) for BLOB and VARBINARY/);
  });

  it("says what to do about a pool that leaves numbers as bytes", async () => {
    const { pool } = fakePool(() => [[Buffer.of(1), Buffer.from("1"), Buffer.from("5000"), null], OUTSIDE_TRANSACTION]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/have it return next\(\) for LONGLONG/);
  });

  it("believes nothing that a connection with an old snapshot shows, not even that there is nothing", async () => {
    const { pool, seen } = fakePool(() => [[Buffer.from("0")]]);
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(/leave autocommit on/);
    expect(seen).toMatchObject({ destroyed: 1, released: 0 });
  });

  it("leaves no timer behind", async () => {
    const { pool } = fakePool(() => [OUTSIDE_TRANSACTION]);
    await mysqlStore(pool).read("a");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("keeps a connection no longer that was in a transaction, and says what to do", async () => {
    const { pool, seen } = fakePool(() => ({ ...WRITTEN, serverStatus: 1 }));
    await expect(mysqlStore(pool).delete("a")).rejects.toThrow(/leave autocommit on/);
    expect(seen).toMatchObject({ destroyed: 1, released: 0 });
  });

  it("names the remedy where its table is missing", async () => {
    const cause = serverError(1146);
    const { pool } = fakePool(() => Promise.reject(cause));
    await expect(mysqlStore(pool).read("a")).rejects.toThrow(
      expect.objectContaining({ message: expect.stringMatching(/`sojourn_sessions`.*migrateMysql\(pool\)/), cause }),
    );
  });

  it("copies a payload before it waits for a connection", async () => {
    const { pool, seen } = fakePool(() => WRITTEN);
    const payload = Uint8Array.of(1, 2, 3);
    const creating = mysqlStore(pool).create("a", { ...stored, payload });
    payload.fill(9);
    await creating;
    expect(seen.statements[0]?.values).toContainEqual(Buffer.of(1, 2, 3));
  });

  it("stops collecting when it can delete none of what it finds", async () => {
    const found = Array.from({ length: 100 }, (_, n) => [Buffer.from(`${n}`)]);
    const { pool, seen } = fakePool(({ sql }) =>
      sql.startsWith("(SELECT")
        ? [...found, OUTSIDE_TRANSACTION]
        : { ...WRITTEN, affectedRows: seen.statements.length > 2 ? 0 : 40 },
    );
    expect(await mysqlStore(pool).deleteExpired(500)).toBe(40);
  });
});

describe("mysqlSchema", () => {
  it("names the table, quoted", () => {
    expect(mysqlSchema()).toMatch(/^CREATE TABLE IF NOT EXISTS `sojourn_sessions` \(/);
    expect(mysqlSchema({ table: "app.web_$1" })).toMatch(/^CREATE TABLE IF NOT EXISTS `app`\.`web_\$1` \(/);
  });

  it("refuses what it does not know", async () => {
    expect(() => mysqlSchema({ table: "x; DROP TABLE y" })).toThrow(/table must be a name/);
    expect(() => mysqlSchema({ tables: "x" } as never)).toThrow(/has no option "tables"/);
    await expect(migrateMysql(fakePool(never).pool, { clock: 1 } as never)).rejects.toThrow(/has no option "clock"/);
  });
});

describe("keyOf", () => {
  const long = "x".repeat(5000);
  const texts = ["", " ", "a", "a ", "A", "é", "e\u0301", "🦁", "\ud83e", "\udd81", "\ufffd", "\0", "\ufeffa", long];

  it("keeps every string, as it is", () => {
    for (const text of texts) expect(decodeText(encodeText(text))).toBe(text);
  });

  it("keeps strings apart, in keys that an index can hold", () => {
    const digest = mysqlKeyOf(long).key;
    // Strings made to look like what others become.
    const all = [...texts, `${long}y`, digest.toString("latin1"), digest.toString("utf16le"), "\u00ff\ud83e"];
    const keys = all.map((id) => mysqlKeyOf(id).key);
    expect(new Set(keys.map((key) => key.toString("hex"))).size).toBe(all.length);
    for (const key of keys) expect(key.byteLength).toBeLessThanOrEqual(255);
    // No text begins with this byte: none can be made whose own key is another's digest.
    expect(digest[0]).toBe(0xfe);
  });

  it("keeps an id itself where its key is a digest", () => {
    expect(mysqlKeyOf("x".repeat(255)).longId).toBeNull();
    expect(decodeText(mysqlKeyOf("x".repeat(256)).longId!)).toBe("x".repeat(256));
    expect(mysqlKeyOf("\ud83e".repeat(200)).longId).not.toBeNull();
  });
});
