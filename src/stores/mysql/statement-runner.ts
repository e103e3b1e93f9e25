import { checkVersion, tooOld } from "../shared/oldest-clients.ts";
import { NEAR_EXPIRY, SEES_COMMITTED } from "./statements.ts";

/** The methods of a "mysql2" pool that {@link mysqlStore} calls. */
export interface MysqlPool {
  getConnection(callback: (error: Error | null, connection: MysqlConnection) => void): void;
}

/** A "mysql2/promise" pool, which contains a "mysql2" pool. */
export interface MysqlPromisePool {
  readonly pool: MysqlPool;
}

/** The methods of the pool's connections that {@link mysqlStore} calls. */
export interface MysqlConnection {
  execute(sql: string, values: MysqlValues, callback: ResultCallback): unknown;
  query(sql: string, callback: ResultCallback): unknown;
  release(): void;
  destroy(): void;
}

type ResultCallback = (error: Error | null, result: unknown) => void;

export type MysqlValues = (Uint8Array | number | null)[];

interface MysqlStatement {
  readonly sql: string;
  readonly values: MysqlValues;
}

/** A write in a transaction that locks the row first. `values` is called when the row is locked. */
interface LockedWrite {
  readonly lock: MysqlStatement;
  readonly sql: string;
  values(): MysqlValues;
}

/** Runs statements on connections of the pool, each operation with a deadline. */
export interface StatementRunner {
  /** Returns the values of each row. The first value must be bytes. The last row, the connection's state, is left out. */
  select(sql: string, values: MysqlValues): Promise<unknown[][]>;
  /** Runs a statement that commits by itself. If its outcome is {@link NEAR_EXPIRY}, runs `locked` instead. */
  write(sql: string, values: MysqlValues, locked?: LockedWrite): Promise<WriteResult>;
}

interface WriteResult {
  readonly affectedRows: number;
  /** The value that the statement has passed to LAST_INSERT_ID(), or 0. */
  readonly insertId: number;
}

// After these errors the server has rolled the statement back: a deadlock, also between nodes of a cluster (1213), and a row
// that is newer than the snapshot (1020).
const ROLLED_BACK = new Set([1213, 1020]);
const MAX_ATTEMPTS = 10;
const MAX_RETRY_PAUSE_MS = 20;

const NO_SUCH_TABLE = 1146;
// The connection can be used again after these errors and after a lock timeout (1205), a full disk (1114) or a missing
// privilege (1142). After any other error the connection is closed: the server may close it anyway (1153, packet too large)
// or no longer be the primary (1290), and a new connection may reach the new primary.
const REUSABLE_AFTER = new Set([...ROLLED_BACK, NO_SUCH_TABLE, 1205, 1114, 1142]);
const IN_TRANSACTION = 1;

/**
 * Creates a runner in which each operation has a deadline. At the deadline its connection is closed. An operation that still
 * waits for a connection then never runs.
 *
 * mysql2 has no timeout that frees a connection. If a server stops answering, the pool would count a connection to it as
 * borrowed for a quarter of an hour, and ten of them would use the pool up.
 */
export function createStatementRunner(pool: MysqlPool, timeout: number, table: string): StatementRunner {
  async function runWithRetries(sql: string, values: MysqlValues, locked?: LockedWrite): Promise<unknown> {
    const deadline = performance.now() + timeout;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runOnce(pool, { sql, values }, locked, deadline, timeout);
      } catch (error) {
        if (errorNumberOf(error) === NO_SUCH_TABLE) throw missingTableError(table, error);
        if (!ROLLED_BACK.has(errorNumberOf(error)) || attempt === MAX_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_RETRY_PAUSE_MS));
        if (performance.now() > deadline) throw error;
      }
    }
  }

  return {
    async select(sql, values) {
      const rows = (await runWithRetries(sql, values)) as object[];
      return rows.slice(0, -1).map(valuesOfRow);
    },
    async write(sql, values, locked) {
      const { affectedRows, insertId } = (await runWithRetries(sql, values, locked)) as Record<string, unknown>;
      // The pool may be configured to return numbers as strings.
      return { affectedRows: Number(affectedRows), insertId: Number(insertId) };
    },
  };
}

// Uses mysql2's callbacks and passes statements as strings: its promises and option objects would double the time of a call.
function runOnce(
  pool: MysqlPool,
  { sql, values }: MysqlStatement,
  locked: LockedWrite | undefined,
  deadline: number,
  timeout: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let borrowed: MysqlConnection | undefined;
    let isFinished = false;
    let hasTransaction = false;

    // Not withTimeout(): the connection must be closed too, or returned if the pool lends it after the deadline.
    const timer = setTimeout(
      () => {
        const reason = borrowed === undefined ? "no connection was free" : "the server did not answer";
        finish(new Error(`mysqlStore: ${reason} within ${timeout} ms`));
      },
      Math.max(0, deadline - performance.now()),
    );

    function finish(error: unknown, result?: unknown): void {
      // mysql2 may call back twice. By then the connection may have been lent to another operation.
      if (isFinished) return;
      isFinished = true;
      clearTimeout(timer);
      const failure = error ?? transactionError(result);
      if (borrowed !== undefined) {
        if (failure === undefined || (!hasTransaction && REUSABLE_AFTER.has(errorNumberOf(failure))))
          borrowed.release();
        else closeAtOnce(borrowed);
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
          if (failure || locked === undefined || !isNearExpiry(result) || hasTransaction || isFinished)
            return finish(failure, result);
          hasTransaction = true;
          runLocked(connection, locked, finish);
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

/** Runs the write in a transaction. If a step fails, the transaction may be open, so the connection must be closed. */
function runLocked(connection: MysqlConnection, { lock, sql, values }: LockedWrite, finish: ResultCallback): void {
  const promised = (call: (callback: ResultCallback) => unknown) =>
    new Promise<object>((resolve, reject) =>
      call((error, result) => (error ? reject(error) : resolve(result as object))),
    );
  const query = (text: string) => promised((callback) => connection.query(text, callback));
  const execute = (text: string, given: MysqlValues) =>
    promised((callback) => connection.execute(text, given, callback));

  async function transaction(): Promise<object> {
    await query("START TRANSACTION");
    await execute(lock.sql, lock.values);
    // The values include the time, and the lock may have taken a while. So they are computed now.
    const { affectedRows, insertId } = (await execute(sql, values())) as Record<string, unknown>;
    return { ...(await query("COMMIT")), affectedRows, insertId };
  }

  transaction().then(
    (done) => finish(null, done),
    (error: Error) => finish(error, undefined),
  );
}

// The next operation on such a connection would read an old snapshot, and its write would not be committed.
function transactionError(result: unknown): Error | undefined {
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
  if (Array.isArray(result)) return String(valuesOfRow(result.at(-1) as object)[0]) === SEES_COMMITTED;
  return (Number((result as { serverStatus?: unknown }).serverStatus) & IN_TRANSACTION) === 0;
}

// mysql2 closes its side and waits for the server to close the other. A server that is gone never does, so the socket is
// destroyed.
function closeAtOnce(connection: MysqlConnection): void {
  connection.destroy();
  const { stream } = connection as { stream?: { destroy?: () => void } };
  stream?.destroy?.();
}

/** Returns the server's number of an error, or 0 for any other error. */
function errorNumberOf(error: unknown): number {
  if (typeof error !== "object" || error === null || !("errno" in error)) return 0;
  // System errors have a negative `errno`.
  return typeof error.errno === "number" && error.errno > 0 ? error.errno : 0;
}

// The pool's options (rowsAsArray, nestTables) change the shape of a row, but not the order of its values.
function valuesOfRow(row: object): unknown[] {
  const values: unknown[] = Object.values(row);
  if (values[0] instanceof Uint8Array) return values;
  const nested = values.flatMap((value) => Object.values(value ?? {}));
  if (nested[0] instanceof Uint8Array) return nested;
  throw new TypeError("the typeCast of mysqlStore's pool changes bytes: have it return next() for BLOB and VARBINARY");
}

/** Converts a number, a string or a BigInt to a number. The pool's options decide which of these it returns. */
export function toNumber(value: unknown): number {
  const number = value instanceof Uint8Array ? Number.NaN : Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new TypeError("the typeCast of mysqlStore's pool changes numbers: have it return next() for LONGLONG");
}

function missingTableError(table: string, cause: unknown): Error {
  return new Error(
    `the table ${table} is missing: call migrateMysql(pool), or openStore(url, { migrate: true }), once, with mysqlStore's table option, when you deploy`,
    { cause },
  );
}

/** Returns the "mysql2" pool of a "mysql2/promise" pool, or the pool itself. */
export function unwrapPool(maker: string, pool: MysqlPool | MysqlPromisePool): MysqlPool {
  const given: unknown = pool;
  if (typeof given === "object" && given !== null) {
    const inner = "pool" in pool ? pool.pool : pool;
    if (typeof inner?.getConnection === "function") {
      checkClientVersion(maker, inner);
      return inner;
    }
  }
  throw new TypeError(
    `${maker} takes a pool of mysql2: createPool({ host, user, password, database }), not a connection`,
  );
}

/** mysql2 has its version among the attributes that it sends to the server. Releases before 3.9 have no attributes. */
function checkClientVersion(maker: string, pool: object): void {
  const { connectionConfig } = (pool as { config?: { connectionConfig?: object } }).config ?? {};
  if (connectionConfig === undefined) return;
  if (!("execute" in pool)) throw new TypeError(`${maker} takes a pool of mysql2, not of mysql: npm install mysql2@3`);
  if (!("connectAttributes" in connectionConfig)) return;
  const { _client_version: version } = (connectionConfig.connectAttributes ?? {}) as { _client_version?: unknown };
  if (typeof version !== "string") throw tooOld(maker, "mysql2");
  checkVersion(maker, "mysql2", version);
}
