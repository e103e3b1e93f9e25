import { Buffer } from "node:buffer";
import { type Duration, milliseconds } from "../../duration.ts";
import type { SessionStore, StoredSession } from "../../store.ts";
import { statementRunner, callbackPool, parseNumber, type MysqlPool, type MysqlPromisePool } from "./pool.ts";
import { type MysqlSchemaOptions, quoteTableName } from "./schema.ts";
import { DELETE_BATCH_SIZE, LIVE_KEPT, PAGE_SIZE, statementsFor } from "./statements.ts";
import { encodeText, mysqlKeyOf, decodeText } from "./text.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { MysqlConnection, MysqlPool, MysqlPromisePool, MysqlValues } from "./pool.ts";
export { migrateMysql, mysqlSchema, type MysqlSchemaOptions } from "./schema.ts";

/** Options of {@link mysqlStore}. */
export interface MysqlStoreOptions extends MysqlSchemaOptions {
  /**
   * The time after which an operation fails, including the wait for a free connection. A connection that has not answered
   * by then is closed, so that the pool can open another. Default `"10s"`. A request fails earlier if `storeTimeout` of
   * `createSessions` is shorter.
   */
  timeout?: Duration | undefined;
  /**
   * The current time in epoch milliseconds, for tests. Default: the database server's clock. All application servers then
   * agree on what has expired.
   */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} in a table of MySQL or MariaDB. It can't notify subscribers of changes. */
export interface MysqlStore extends SessionStore {
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps sessions in a table of MySQL (8 or later) or MariaDB (10.5 or later), which {@link migrateMysql} creates.
 *
 * Each operation is one statement, or a short transaction if the session is about to expire. Its changes are committed
 * when the promise is fulfilled. These servers can't notify clients, so other processes notice the end of a session only
 * when they read it.
 *
 * The pool stays the application's: `close` does not end it.
 *
 * @param pool - a pool of mysql2 or mysql2/promise.
 * @throws TypeError for anything else, and for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * const pool = createPool({ uri: process.env.DATABASE_URL, connectTimeout: 3000, queueLimit: 1000 });
 * await migrateMysql(pool);
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: mysqlStore(pool) });
 * ```
 */
export function mysqlStore(pool: MysqlPool | MysqlPromisePool, options: MysqlStoreOptions = {}): MysqlStore {
  checkOptions("mysqlStore", options, { table: true, timeout: true, clock: true });
  checkClock("mysqlStore: clock", options.clock);
  const { clock } = options;
  const timeout = milliseconds(options.timeout ?? "10s", "mysqlStore: timeout");
  if (timeout > MAX_TIMER_MS) throw new TypeError("mysqlStore: timeout is longer than a timer can wait (24 days)");
  const table = quoteTableName("mysqlStore", options.table);
  const runner = statementRunner(callbackPool("mysqlStore", pool), timeout, table);
  const statements = statementsFor(table, clock !== undefined, timeout);
  let isClosed = false;

  function assertOpen(): void {
    if (isClosed) throw new Error("the MySQL store is closed: make a new one with mysqlStore()");
  }

  /** The parameters for `times` comparisons with the time; none if the server's clock is used. */
  const now = (times = 1): number[] => (clock === undefined ? [] : Array<number>(times).fill(clock()));

  return {
    async read(id) {
      assertOpen();
      const [row] = await runner.rows(statements.read, [mysqlKeyOf(id).key, ...now()]);
      if (row === undefined) return undefined;
      const [payload, version, expiresAt, userId] = row as [Buffer, unknown, unknown, Buffer | null];
      const found = { payload, version: parseNumber(version), expiresAt: parseNumber(expiresAt) };
      return userId === null ? found : { ...found, userId: decodeText(userId) };
    },

    async create(id, stored) {
      assertOpen();
      checkStored(stored);
      const { key, longId } = mysqlKeyOf(id);
      const { payload, userId } = encodeBlobs(stored);
      const values = [key, longId, payload, stored.version, userId, stored.expiresAt];
      const { insertId } = await runner.write(statements.create, [...values, ...now(statements.createTimeCount)]);
      return insertId !== LIVE_KEPT;
    },

    async update(id, stored, expectedVersion) {
      assertOpen();
      checkStored(stored);
      const { payload, userId } = encodeBlobs(stored);
      const { version } = stored;
      const ending = [stored.expiresAt, Number(stored.extendOnly === true)];
      const { key } = mysqlKeyOf(id);
      const at = now();
      const condition = [key, expectedVersion];
      const values = [...at, payload, ...at, userId, ...at, version, ...at, ...ending, ...condition, ...at];
      const { insertId } = await runner.write(statements.update, values, {
        lock: { sql: statements.locked.lock, values: [key] },
        sql: statements.locked.update,
        values: () => [payload, userId, ...ending, version, ...condition, ...now()],
      });
      return insertId > 0;
    },

    async touch(id, expiresAt) {
      assertOpen();
      checkTime(expiresAt);
      const { key } = mysqlKeyOf(id);
      const at = now();
      const { insertId } = await runner.write(statements.touch, [...at, ...at, expiresAt, key, ...at], {
        lock: { sql: statements.locked.lock, values: [key] },
        sql: statements.locked.touch,
        values: () => [expiresAt, key, ...now()],
      });
      return insertId > 0;
    },

    async delete(id) {
      assertOpen();
      const { affectedRows } = await runner.write(statements.delete, [mysqlKeyOf(id).key, ...now()]);
      return affectedRows > 0;
    },

    async idsOfUser(userId) {
      assertOpen();
      const rows = await runner.rows(statements.idsOfUser, [encodeText(userId), ...now()]);
      return rows.map(idOf);
    },

    // A page counts expired rows too, so that no query takes long even if most rows have expired.
    async *all() {
      assertOpen();
      let page = await runner.rows(statements.firstPage, now());
      for (;;) {
        for (const row of page) {
          if (Number(row[2]) !== 1) continue;
          yield idOf(row);
          assertOpen();
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE_SIZE) return;
        page = await runner.rows(statements.nextPage, [...now(), last[0] as Buffer]);
        assertOpen();
      }
    },

    // Finds ids without a lock and deletes by primary key. A DELETE by expiry would lock that index against writers.
    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      let deleted = 0;
      while (deleted < limit) {
        const found = await runner.rows(statements.findExpired, now());
        assertOpen();
        const keys = found.slice(0, limit - deleted).map(([key]) => key as Buffer);
        const last = keys.at(-1);
        if (last === undefined) break;
        const padding = Array<Buffer>(DELETE_BATCH_SIZE - keys.length).fill(last);
        const { affectedRows } = await runner.write(statements.deleteExpired, [...keys, ...padding, ...now()]);
        deleted += affectedRows;
        // If none was deleted, another process is deleting too. If the batch was not full, no more rows have expired.
        if (affectedRows === 0 || (found.length < DELETE_BATCH_SIZE && affectedRows === keys.length)) break;
        assertOpen();
      }
      return deleted;
    },

    async close() {
      isClosed = true;
    },
  };
}

// Copies the payload, because the caller may change it while the operation waits for a free connection.
function encodeBlobs({ payload, userId }: StoredSession): { payload: Buffer; userId: Buffer | null } {
  return { payload: Buffer.from(payload), userId: userId === undefined ? null : encodeText(userId) };
}

function idOf([key, longId]: unknown[]): string {
  return decodeText((longId ?? key) as Buffer);
}
