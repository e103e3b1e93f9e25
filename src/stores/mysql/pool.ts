import { checkVersion, tooOld } from "../shared/oldest-clients.ts";
import { NEAR_EXPIRY, OUTSIDE_TRANSACTION } from "./statements.ts";

/** The methods of a pool of "mysql2" that {@link mysqlStore} calls. */
export interface MysqlPool {
  getConnection(callback: (error: Error | null, connection: MysqlConnection) => void): void;
}

/** A pool of "mysql2/promise", which contains a pool of "mysql2". */
export interface MysqlPromisePool {
  readonly pool: MysqlPool;
}

/** The methods of a pool's connection that {@link mysqlStore} calls. */
export interface MysqlConnection {
  execute(sql: string, values: MysqlValues, callback: QueryCallback): unknown;
  query(sql: string, callback: QueryCallback): unknown;
  release(): void;
  destroy(): void;
}

type QueryCallback = (error: Error | null, result: unknown) => void;

/** The parameters of a prepared statement. */
export type MysqlValues = (Uint8Array | number | null)[];

interface MysqlStatement {
  readonly sql: string;
  readonly values: MysqlValues;
}

/** A write in a transaction, after a statement that locks the row. `values` is called when the row is locked. */
interface LockedWrite {
  readonly lock: MysqlStatement;
  readonly sql: string;
  values(): MysqlValues;
}

/** Runs single statements on connections of the pool, each with a timeout. */
export interface StatementRunner {
  /**
   * Returns the values of each row. The first value of a row must be bytes. The statement adds a last row with the state of
   * the connection, which is checked and removed.
   */
  rows(sql: string, values: MysqlValues): Promise<unknown[][]>;
  /** Runs a statement that commits by itself. If it reports {@link NEAR_EXPIRY}, `lockedWrite` runs instead. */
  write(sql: string, values: MysqlValues, lockedWrite?: LockedWrite): Promise<WriteResult>;
}

interface WriteResult {
  readonly affectedRows: number;
  /** The value that the statement has passed to LAST_INSERT_ID(); 0 if none. */
  readonly insertId: number;
}

// After a deadlock, a conflict on a cluster (1213) or a row newer than the snapshot (1020), the server has rolled back.
const ROLLED_BACK_ERRORS = new Set([1213, 1020]);
const MAX_ATTEMPTS = 10;
const MAX_PAUSE_MS = 20;

const NO_SUCH_TABLE = 1146;
// The connection can be used again also after a lock timeout (1205), a full table (1114) and a missing right (1142). It is
// closed after all other errors. The server may be about to close it (1153, too large), or may no longer be the primary
// (1290), and a new connection may reach the new primary.
const REUSABLE_AFTER_ERRORS = new Set([...ROLLED_BACK_ERRORS, NO_SUCH_TABLE, 1205, 1114, 1142]);
const SERVER_STATUS_IN_TRANS = 1;

/**
 * Creates a {@link StatementRunner}. Each operation has a deadline. After it, the connection of the operation is closed.
 * An operation that still waits for a connection is not run. mysql2 has no such timeout: a connection to a server that
 * stopped answering would stay borrowed for a quarter of an hour, and ten of them would use up a pool.
 */
export function statementRunner(pool: MysqlPool, timeout: number, table: string): StatementRunner {
  async function runWithRetries(sql: string, values: MysqlValues, lockedWrite?: LockedWrite): Promise<unknown> {
    const deadline = performance.now() + timeout;
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await runOnce(pool, { sql, values }, lockedWrite, deadline, timeout);
      } catch (error) {
        if (errorNumberOf(error) === NO_SUCH_TABLE) throw missingTable(table, error);
        if (!ROLLED_BACK_ERRORS.has(errorNumberOf(error)) || attempts === MAX_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS));
        if (performance.now() > deadline) throw error;
      }
    }
  }

  return {
    async rows(sql, values) {
      const rows = (await runWithRetries(sql, values)) as object[];
      return rows.slice(0, -1).map(columnValues);
    },
    async write(sql, values, lockedWrite) {
      const { affectedRows, insertId } = (await runWithRetries(sql, values, lockedWrite)) as Record<string, unknown>;
      // Some options of the pool turn numbers into strings.
      return { affectedRows: Number(affectedRows), insertId: Number(insertId) };
    },
  };
}

// Uses callbacks and plain strings, because mysql2's promises and statement objects would double the time.
function runOnce(
  pool: MysqlPool,
  { sql, values }: MysqlStatement,
  lockedWrite: LockedWrite | undefined,
  deadline: number,
  timeout: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let borrowed: MysqlConnection | undefined;
    let isFinished = false;
    let isInTransaction = false;

    // `withTimeout` would not do: the connection must be closed, and a later one given back to the pool.
    const timer = setTimeout(
      () => {
        const what = borrowed === undefined ? "no connection was free" : "the server did not answer";
        finish(new Error(`mysqlStore: ${what} within ${timeout} ms`));
      },
      Math.max(0, deadline - performance.now()),
    );

    function finish(error: unknown, result?: unknown): void {
      // A second answer must not release the connection again, because another operation may have it by then.
      if (isFinished) return;
      isFinished = true;
      clearTimeout(timer);
      const failure = error ?? openTransactionError(result);
      if (borrowed !== undefined) {
        if (failure === undefined || (!isInTransaction && REUSABLE_AFTER_ERRORS.has(errorNumberOf(failure))))
          borrowed.release();
        else destroyConnection(borrowed);
      }
      if (failure === undefined) resolve(result);
      else reject(failure);
    }

    pool.getConnection((error, connection) => {
      if (error) return finish(error);
      if (isFinished) return connection.release();
      borrowed = connection;
      try {
        connection.execute(sql, values, (failure, result) => {
          if (failure || lockedWrite === undefined || !isNearExpiry(result) || isInTransaction || isFinished)
            return finish(failure, result);
          isInTransaction = true;
          runTransaction(connection, lockedWrite, finish);
        });
      } catch (thrown) {
        finish(thrown);
      }
    });
  });
}

function isNearExpiry(result: unknown): boolean {
  return Number((result as { insertId?: unknown }).insertId) === NEAR_EXPIRY && isOutsideTransaction(result);
}

/** Runs a locked write. After a failure, the connection must be closed, because its transaction may still be open. */
function runTransaction(connection: MysqlConnection, { lock, sql, values }: LockedWrite, finish: QueryCallback): void {
  const promiseOf = (run: (callback: QueryCallback) => unknown) =>
    new Promise<object>((resolve, reject) =>
      run((error, result) => (error ? reject(error) : resolve(result as object))),
    );
  const query = (text: string) => promiseOf((callback) => connection.query(text, callback));
  const execute = (text: string, parameters: MysqlValues) =>
    promiseOf((callback) => connection.execute(text, parameters, callback));

  async function transaction(): Promise<object> {
    await query("START TRANSACTION");
    await execute(lock.sql, lock.values);
    // The values are created now, because one of them is the time, and the lock may have taken long.
    const { affectedRows, insertId } = (await execute(sql, values())) as Record<string, unknown>;
    return { ...(await query("COMMIT")), affectedRows, insertId };
  }

  transaction().then(
    (done) => finish(null, done),
    (error: Error) => finish(error, undefined),
  );
}

/** The error for a connection inside a transaction: reads would show old data, and writes would be rolled back. */
function openTransactionError(result: unknown): Error | undefined {
  try {
    if (isOutsideTransaction(result)) return undefined;
  } catch (error) {
    return error as Error;
  }
  return new Error(
    "a connection of mysqlStore's pool was inside a transaction, which is now rolled back: " +
      "leave autocommit on, and end a transaction before you release its connection",
  );
}

function isOutsideTransaction(result: unknown): boolean {
  if (Array.isArray(result)) return String(columnValues(result.at(-1) as object)[0]) === OUTSIDE_TRANSACTION;
  return (Number((result as { serverStatus?: unknown }).serverStatus) & SERVER_STATUS_IN_TRANS) === 0;
}

// mysql2 waits for the server to end the connection, which an unreachable server never does. So the socket is closed too.
function destroyConnection(connection: MysqlConnection): void {
  connection.destroy();
  const { stream } = connection as { stream?: { destroy?: () => void } };
  stream?.destroy?.();
}

/** The server's number of an error, or 0 for an error that is not the server's. */
function errorNumberOf(error: unknown): number {
  if (typeof error !== "object" || error === null || !("errno" in error)) return 0;
  // The operating system's errors have negative numbers.
  return typeof error.errno === "number" && error.errno > 0 ? error.errno : 0;
}

/** The values of a row in order. Options of the pool (rowsAsArray, nestTables) decide whether it is an array or objects. */
function columnValues(row: object): unknown[] {
  const values: unknown[] = Object.values(row);
  if (values[0] instanceof Uint8Array) return values;
  const nested = values.flatMap((value) => Object.values(value ?? {}));
  if (nested[0] instanceof Uint8Array) return nested;
  throw new TypeError("the typeCast of mysqlStore's pool changes bytes: have it return next() for BLOB and VARBINARY");
}

/** Reads a number. Options of the pool decide whether it comes as a number, a string or a BigInt. */
export function parseNumber(value: unknown): number {
  const number = value instanceof Uint8Array ? Number.NaN : Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new TypeError("the typeCast of mysqlStore's pool changes numbers: have it return next() for LONGLONG");
}

function missingTable(table: string, cause: unknown): Error {
  return new Error(
    `the table ${table} is missing: call migrateMysql(pool), or openStore(url, { migrate: true }), once, with mysqlStore's table option, when you deploy`,
    { cause },
  );
}

/** Returns the pool with callbacks of the application's pool, after a check of the client's version. */
export function callbackPool(caller: string, pool: MysqlPool | MysqlPromisePool): MysqlPool {
  const given: unknown = pool;
  if (typeof given === "object" && given !== null) {
    const inner = "pool" in pool ? pool.pool : pool;
    if (typeof inner?.getConnection === "function") {
      checkClientVersion(caller, inner);
      return inner;
    }
  }
  throw new TypeError(
    `${caller} takes a pool of mysql2: createPool({ host, user, password, database }), not a connection`,
  );
}

/** Checks the version of mysql2, which is in the attributes that it sends to the server. Before 3.9 it has no attributes. */
function checkClientVersion(caller: string, pool: object): void {
  const { connectionConfig } = (pool as { config?: { connectionConfig?: object } }).config ?? {};
  if (connectionConfig === undefined) return;
  if (!("execute" in pool)) throw new TypeError(`${caller} takes a pool of mysql2, not of mysql: npm install mysql2@3`);
  if (!("connectAttributes" in connectionConfig)) return;
  const { _client_version: version } = (connectionConfig.connectAttributes ?? {}) as { _client_version?: unknown };
  if (typeof version !== "string") throw tooOld(caller, "mysql2");
  checkVersion(caller, "mysql2", version);
}
