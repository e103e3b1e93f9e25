import { Buffer } from "node:buffer";
import { type Duration, milliseconds } from "../../duration.ts";
import type { SessionStore, StoredSession } from "../../store.ts";
import { askThrough, callbackPool, numberIn, type MysqlPool, type MysqlPromisePool } from "./pool.ts";
import { type MysqlSchemaOptions, quotedTable } from "./schema.ts";
import { BATCH, LIVE_KEPT, PAGE, statementsFor } from "./statements.ts";
import { bytesOf, keyOf, textOf } from "./text.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { MysqlConnection, MysqlPool, MysqlPromisePool, MysqlValues } from "./pool.ts";
export { migrateMysql, mysqlSchema, type MysqlSchemaOptions } from "./schema.ts";

/** How {@link mysqlStore} behaves. */
export interface MysqlStoreOptions extends MysqlSchemaOptions {
  /**
   * After how long an operation gives up, the wait for a free connection included. A connection that has not answered
   * by then is closed, so that the pool can open another. Default `"10s"`; Sojourn itself gives up after `storeTimeout`.
   */
  timeout?: Duration | undefined;
  /**
   * Epoch milliseconds. Default: the database server's clock, so that all hosts agree on what has expired. Tests pass
   * their own.
   */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} in MySQL or MariaDB. */
export interface MysqlStore extends SessionStore {
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Keeps sessions in a table of MySQL (8 or later) or MariaDB (10.5 or later), which {@link migrateMysql} makes.
 *
 * Each operation is one statement, or a short transaction where the session is near its end, and committed when its
 * promise is fulfilled. The server's clock decides what has expired. There is nothing in these servers to listen to:
 * sessions that end elsewhere are noticed by asking.
 *
 * @param pool a pool of mysql2. It stays the application's: `close` does not end it.
 * @throws {TypeError} at an option it doesn't know or can't use.
 */
export function mysqlStore(pool: MysqlPool | MysqlPromisePool, options: MysqlStoreOptions = {}): MysqlStore {
  checkOptions("mysqlStore", options, { table: true, timeout: true, clock: true });
  checkClock("mysqlStore: clock", options.clock);
  const { clock } = options;
  const timeout = milliseconds(options.timeout ?? "10s", "mysqlStore: timeout");
  if (timeout > LONGEST_TIMER) throw new TypeError("mysqlStore: timeout is longer than a timer can wait (24 days)");
  const table = quotedTable("mysqlStore", options.table);
  const asking = askThrough(callbackPool("mysqlStore", pool), timeout, table);
  const statements = statementsFor(table, clock !== undefined, timeout);
  let closed = false;

  function open(): void {
    if (closed) throw new Error("the MySQL store is closed: make a new one with mysqlStore()");
  }

  /** The values that `times` comparisons with the time want. */
  const now = (times = 1): number[] => (clock === undefined ? [] : Array<number>(times).fill(clock()));

  return {
    async read(id) {
      open();
      const [row] = await asking.rows(statements.read, [keyOf(id).key, ...now()]);
      if (row === undefined) return undefined;
      const [payload, version, expiresAt, userId] = row as [Buffer, unknown, unknown, Buffer | null];
      const found = { payload, version: numberIn(version), expiresAt: numberIn(expiresAt) };
      return userId === null ? found : { ...found, userId: textOf(userId) };
    },

    async create(id, stored) {
      open();
      checkStored(stored);
      const { key, longId } = keyOf(id);
      const { payload, userId } = blobsOf(stored);
      const values = [key, longId, payload, stored.version, userId, stored.expiresAt];
      const { insertId } = await asking.write(statements.create, [...values, ...now(statements.createTimes)]);
      return insertId !== LIVE_KEPT;
    },

    async update(id, stored, expectedVersion) {
      open();
      checkStored(stored);
      const { payload, userId } = blobsOf(stored);
      const { version } = stored;
      const ending = [stored.expiresAt, Number(stored.extendOnly === true)];
      const { key } = keyOf(id);
      const at = now();
      const whose = [key, expectedVersion];
      const values = [...at, payload, ...at, userId, ...at, version, ...at, ...ending, ...whose, ...at];
      const { insertId } = await asking.write(statements.update, values, {
        lock: { sql: statements.held.lock, values: [key] },
        sql: statements.held.update,
        values: () => [payload, userId, ...ending, version, ...whose, ...now()],
      });
      return insertId > 0;
    },

    async touch(id, expiresAt) {
      open();
      checkTime(expiresAt);
      const { key } = keyOf(id);
      const at = now();
      const { insertId } = await asking.write(statements.touch, [...at, ...at, expiresAt, key, ...at], {
        lock: { sql: statements.held.lock, values: [key] },
        sql: statements.held.touch,
        values: () => [expiresAt, key, ...now()],
      });
      return insertId > 0;
    },

    async delete(id) {
      open();
      const { affectedRows } = await asking.write(statements.delete, [keyOf(id).key, ...now()]);
      return affectedRows > 0;
    },

    async idsOfUser(userId) {
      open();
      const rows = await asking.rows(statements.idsOfUser, [bytesOf(userId), ...now()]);
      return rows.map(idIn);
    },

    // Pages of rows, not of live sessions: none takes long, however many have expired.
    async *all() {
      open();
      let page = await asking.rows(statements.firstPage, now());
      for (;;) {
        for (const row of page) {
          if (Number(row[2]) !== 1) continue;
          yield idIn(row);
          open();
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) return;
        page = await asking.rows(statements.nextPage, [...now(), last[0] as Buffer]);
        open();
      }
    },

    // Looked for without a lock, deleted by key: a DELETE along the index of expiries would lock that against writers.
    async deleteExpired(limit) {
      open();
      checkPositiveInteger("deleteExpired: limit", limit);
      let forgotten = 0;
      while (forgotten < limit) {
        const found = await asking.rows(statements.expired, now());
        open();
        const keys = found.slice(0, limit - forgotten).map(([key]) => key as Buffer);
        const last = keys.at(-1);
        if (last === undefined) break;
        const padding = Array<Buffer>(BATCH - keys.length).fill(last);
        const { affectedRows } = await asking.write(statements.forget, [...keys, ...padding, ...now()]);
        forgotten += affectedRows;
        // None of them left: another process collects. Few of them found: these were all.
        if (affectedRows === 0 || (found.length < BATCH && affectedRows === keys.length)) break;
        open();
      }
      return forgotten;
    },

    async close() {
      closed = true;
    },
  };
}

// A copy: it may be a while before a connection is free.
function blobsOf({ payload, userId }: StoredSession): { payload: Buffer; userId: Buffer | null } {
  return { payload: Buffer.from(payload), userId: userId === undefined ? null : bytesOf(userId) };
}

function idIn([key, longId]: unknown[]): string {
  return textOf((longId ?? key) as Buffer);
}
