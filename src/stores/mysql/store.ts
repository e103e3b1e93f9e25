import { Buffer } from "node:buffer";
import { type Duration, milliseconds } from "../../duration.ts";
import type { SessionStore, StoredSession } from "../../store.ts";
import {
  createStatementRunner,
  type MysqlPool,
  type MysqlPromisePool,
  toNumber,
  unwrapPool,
} from "./statement-runner.ts";
import { type MysqlSchemaOptions, quoteTable } from "./schema.ts";
import { BATCH_SIZE, LIVE_KEPT, PAGE_SIZE, statementsFor } from "./statements.ts";
import { decodeBinary, encodeBinary, rowKeyOf } from "./encoding.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { MysqlConnection, MysqlPool, MysqlPromisePool, MysqlValues } from "./statement-runner.ts";
export { migrateMysql, mysqlSchema, type MysqlSchemaOptions } from "./schema.ts";

/** Options of {@link mysqlStore}. */
export interface MysqlStoreOptions extends MysqlSchemaOptions {
  /**
   * The maximum time of an operation, including the wait for a free connection, such as `"2s"`. Then it rejects, and its
   * connection is closed, so that the pool can open another one. Requests fail earlier, after `storeTimeout` of
   * `createSessions`. Default `"10s"`.
   */
  timeout?: Duration | undefined;
  /**
   * The current time in epoch milliseconds, for tests. Default: the database server's clock, so that all hosts agree on the
   * sessions that have expired.
   */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} in MySQL or MariaDB. It has every capability but `subscribe`. */
export interface MysqlStore extends SessionStore {
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps sessions in a table of MySQL (8 or later) or MariaDB (10.5 or later). {@link migrateMysql} makes the table.
 *
 * Each operation is one statement, or a short transaction if the session expires soon. It is committed when its promise is
 * fulfilled. The server's clock decides whether a session has expired. These servers can't notify clients, so a process
 * detects that another one has ended a session only when it reads the session.
 *
 * @param pool - a pool of mysql2. Closing the store does not end it.
 * @throws {TypeError} for anything else, and for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * const pool = mysql.createPool(process.env.MYSQL_URL!);
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
  const table = quoteTable("mysqlStore", options.table);
  const runner = createStatementRunner(unwrapPool("mysqlStore", pool), timeout, table);
  const statements = statementsFor(table, clock !== undefined, timeout);
  let closed = false;

  function assertOpen(): void {
    if (closed) throw new Error("the MySQL store is closed: make a new one with mysqlStore()");
  }

  /** The values for comparisons with the time. Empty if the server's clock is used. */
  const now = (comparisons = 1): number[] => (clock === undefined ? [] : Array<number>(comparisons).fill(clock()));

  return {
    async read(id) {
      assertOpen();
      const [row] = await runner.select(statements.read, [rowKeyOf(id).key, ...now()]);
      if (row === undefined) return undefined;
      const [payload, version, expiresAt, userId] = row as [Buffer, unknown, unknown, Buffer | null];
      const found = { payload, version: toNumber(version), expiresAt: toNumber(expiresAt) };
      return userId === null ? found : { ...found, userId: decodeBinary(userId) };
    },

    async create(id, stored) {
      assertOpen();
      checkStored(stored);
      const { key, longId } = rowKeyOf(id);
      const { payload, userId } = encodeBlobs(stored);
      const values = [key, longId, payload, stored.version, userId, stored.expiresAt];
      const { insertId } = await runner.write(statements.create, [...values, ...now(statements.createComparisons)]);
      return insertId !== LIVE_KEPT;
    },

    async update(id, stored, expectedVersion) {
      assertOpen();
      checkStored(stored);
      const { payload, userId } = encodeBlobs(stored);
      const { version } = stored;
      const expiry = [stored.expiresAt, Number(stored.extendOnly === true)];
      const { key } = rowKeyOf(id);
      const at = now();
      const target = [key, expectedVersion];
      const values = [...at, payload, ...at, userId, ...at, version, ...at, ...expiry, ...target, ...at];
      const { insertId } = await runner.write(statements.update, values, {
        lock: { sql: statements.locked.lock, values: [key] },
        sql: statements.locked.update,
        values: () => [payload, userId, ...expiry, version, ...target, ...now()],
      });
      return insertId > 0;
    },

    async touch(id, expiresAt) {
      assertOpen();
      checkTime(expiresAt);
      const { key } = rowKeyOf(id);
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
      const { affectedRows } = await runner.write(statements.delete, [rowKeyOf(id).key, ...now()]);
      return affectedRows > 0;
    },

    async idsOfUser(userId) {
      assertOpen();
      const rows = await runner.select(statements.idsOfUser, [encodeBinary(userId), ...now()]);
      return rows.map(decodeId);
    },

    // A page is a number of rows, not of live sessions. So no page takes long, even if most sessions have expired.
    async *all() {
      assertOpen();
      let page = await runner.select(statements.firstPage, now());
      for (;;) {
        for (const row of page) {
          if (Number(row[2]) !== 1) continue;
          yield decodeId(row);
          assertOpen();
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE_SIZE) return;
        page = await runner.select(statements.nextPage, [...now(), last[0] as Buffer]);
        assertOpen();
      }
    },

    // Finds the rows without a lock and deletes them by key. A DELETE by expiry would lock a part of that index, and writers
    // would wait.
    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      let deleted = 0;
      while (deleted < limit) {
        const found = await runner.select(statements.findExpired, now());
        assertOpen();
        const keys = found.slice(0, limit - deleted).map(([key]) => key as Buffer);
        const last = keys.at(-1);
        if (last === undefined) break;
        const padding = Array<Buffer>(BATCH_SIZE - keys.length).fill(last);
        const { affectedRows } = await runner.write(statements.deleteExpired, [...keys, ...padding, ...now()]);
        deleted += affectedRows;
        // Another process deletes too if no row was left. All rows are deleted if the batch was not full.
        if (affectedRows === 0 || (found.length < BATCH_SIZE && affectedRows === keys.length)) break;
        assertOpen();
      }
      return deleted;
    },

    async close() {
      closed = true;
    },
  };
}

/** Copies the payload: the pool may have no free connection yet, and the caller may change its bytes in the meantime. */
function encodeBlobs({ payload, userId }: StoredSession): { payload: Buffer; userId: Buffer | null } {
  return { payload: Buffer.from(payload), userId: userId === undefined ? null : encodeBinary(userId) };
}

function decodeId([key, longId]: unknown[]): string {
  return decodeBinary((longId ?? key) as Buffer);
}
