import { checkVersion, tooOld } from "../shared/oldest-clients.ts";
import { NEAR_END, SETTLED } from "./statements.ts";

/** A pool of "mysql2", by what {@link mysqlStore} calls of it. */
export interface MysqlPool {
  getConnection(callback: (error: Error | null, connection: MysqlConnection) => void): void;
}

/** A pool of "mysql2/promise", which has a pool of "mysql2" inside. */
export interface MysqlPromisePool {
  readonly pool: MysqlPool;
}

/** A connection of the pool's, by what {@link mysqlStore} calls of it. */
export interface MysqlConnection {
  execute(sql: string, values: MysqlValues, callback: Answered): unknown;
  query(sql: string, callback: Answered): unknown;
  release(): void;
  destroy(): void;
}

type Answered = (error: Error | null, result: unknown) => void;

export type MysqlValues = (Uint8Array | number | null)[];

interface MysqlStatement {
  readonly sql: string;
  readonly values: MysqlValues;
}

/** A write in a transaction that has its row locked. Its values are asked for once it has. */
interface HeldWrite {
  readonly lock: MysqlStatement;
  readonly sql: string;
  values(): MysqlValues;
}

/** Asks the server one statement at a time, and is never left waiting. */
export interface Asking {
  /** The values of each row, the first of which must be bytes. One more row, the last, tells of the connection. */
  rows(sql: string, values: MysqlValues): Promise<unknown[][]>;
  /** What the statement has written is committed. Where it says {@link NEAR_END}, `held` is done in its place. */
  write(sql: string, values: MysqlValues, held?: HeldWrite): Promise<Written>;
}

interface Written {
  readonly affectedRows: number;
  /** What the statement has handed to LAST_INSERT_ID(), 0 for nothing. */
  readonly insertId: number;
}

// A deadlock, its like on a cluster, and a row newer than the snapshot: the server has taken the statement back.
const TAKEN_BACK = new Set([1213, 1020]);
const TRIES = 10;
const LONGEST_PAUSE = 20;

const NO_SUCH_TABLE = 1146;
// A lock waited for in vain, no room, no right. After any other error a new connection is the safer one: the server may
// be about to close this (1153, too large), or be a primary no longer (1290), and another may lead to the new primary.
const LEAVE_IT_GOOD = new Set([...TAKEN_BACK, NO_SUCH_TABLE, 1205, 1114, 1142]);
const IN_TRANSACTION = 1;

/**
 * mysql2 has no timeout that lets go of a connection: one to a server that answers no more would count as lent for a
 * quarter of an hour, and with ten of them the pool is used up. So each operation has a deadline, after which its
 * connection is closed; one that still waits for a connection then is never carried out.
 */
export function askThrough(pool: MysqlPool, timeout: number, table: string): Asking {
  async function ask(sql: string, values: MysqlValues, held?: HeldWrite): Promise<unknown> {
    const end = performance.now() + timeout;
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt(pool, { sql, values }, held, end, timeout);
      } catch (error) {
        if (numberOf(error) === NO_SUCH_TABLE) throw missing(table, error);
        if (!TAKEN_BACK.has(numberOf(error)) || tries === TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_PAUSE));
        if (performance.now() > end) throw error;
      }
    }
  }

  return {
    async rows(sql, values) {
      const rows = (await ask(sql, values)) as object[];
      return rows.slice(0, -1).map(valuesOf);
    },
    async write(sql, values, held) {
      const { affectedRows, insertId } = (await ask(sql, values, held)) as Record<string, unknown>;
      // Strings, where the pool wants it so.
      return { affectedRows: Number(affectedRows), insertId: Number(insertId) };
    },
  };
}

// Callbacks, and statements as strings: mysql2's promises and objects cost as much again as everything else.
function attempt(
  pool: MysqlPool,
  { sql, values }: MysqlStatement,
  held: HeldWrite | undefined,
  end: number,
  timeout: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let borrowed: MysqlConnection | undefined;
    let isOver = false;
    let isHolding = false;

    // Not a plain timeout: whoever is late gives back what is lent, and is not let in any more.
    const timer = setTimeout(
      () => {
        const what = borrowed === undefined ? "no connection was free" : "the server did not answer";
        finish(new Error(`mysqlStore: ${what} within ${timeout} ms`));
      },
      Math.max(0, end - performance.now()),
    );

    function finish(error: unknown, result?: unknown): void {
      // A second answer must not give back what is lent to another by then.
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      const failure = error ?? unsettled(result);
      if (borrowed !== undefined) {
        if (failure === undefined || (!isHolding && LEAVE_IT_GOOD.has(numberOf(failure)))) borrowed.release();
        else cutOff(borrowed);
      }
      if (failure === undefined) resolve(result);
      else reject(failure);
    }

    pool.getConnection((error, connection) => {
      if (error) return finish(error);
      if (isOver) return connection.release();
      borrowed = connection;
      try {
        connection.execute(sql, values, (failure, result) => {
          if (failure || held === undefined || !isNearEnd(result) || isHolding || isOver)
            return finish(failure, result);
          isHolding = true;
          carryOut(connection, held, finish);
        });
      } catch (thrown) {
        finish(thrown);
      }
    });
  });
}

function isNearEnd(result: unknown): boolean {
  return Number((result as { insertId?: unknown }).insertId) === NEAR_END && isSettled(result);
}

/** Whatever fails, the connection must not be lent again: it may be inside the transaction. */
function carryOut(connection: MysqlConnection, { lock, sql, values }: HeldWrite, finish: Answered): void {
  const answer = (ask: (answered: Answered) => unknown) =>
    new Promise<object>((resolve, reject) =>
      ask((error, result) => (error ? reject(error) : resolve(result as object))),
    );
  const query = (text: string) => answer((answered) => connection.query(text, answered));
  const execute = (text: string, given: MysqlValues) => answer((answered) => connection.execute(text, given, answered));

  async function transaction(): Promise<object> {
    await query("START TRANSACTION");
    await execute(lock.sql, lock.values);
    // The values are made now, with the time among them: the lock may have taken a while.
    const { affectedRows, insertId } = (await execute(sql, values())) as Record<string, unknown>;
    return { ...(await query("COMMIT")), affectedRows, insertId };
  }

  transaction().then(
    (done) => finish(null, done),
    (error: Error) => finish(error, undefined),
  );
}

// Whoever lent it again would get an old snapshot to read, and lose what is written.
function unsettled(result: unknown): Error | undefined {
  try {
    if (isSettled(result)) return undefined;
  } catch (error) {
    return error as Error;
  }
  return new Error(
    "a connection of mysqlStore's pool was inside a transaction, which is now rolled back: " +
      "leave autocommit on, and end a transaction before you release its connection",
  );
}

function isSettled(result: unknown): boolean {
  if (Array.isArray(result)) return String(valuesOf(result.at(-1) as object)[0]) === SETTLED;
  return (Number((result as { serverStatus?: unknown }).serverStatus) & IN_TRANSACTION) === 0;
}

// mysql2 says goodbye and waits for the server's, which a server that is gone never says.
function cutOff(connection: MysqlConnection): void {
  connection.destroy();
  const { stream } = connection as { stream?: { destroy?: () => void } };
  stream?.destroy?.();
}

/** The server's number of an error, 0 for any other. */
function numberOf(error: unknown): number {
  if (typeof error !== "object" || error === null || !("errno" in error)) return 0;
  // The system's errors have a negative one.
  return typeof error.errno === "number" && error.errno > 0 ? error.errno : 0;
}

// Whatever shape the pool's options give a row (rowsAsArray, nestTables), its values keep their order.
function valuesOf(row: object): unknown[] {
  const values: unknown[] = Object.values(row);
  if (values[0] instanceof Uint8Array) return values;
  const nested = values.flatMap((value) => Object.values(value ?? {}));
  if (nested[0] instanceof Uint8Array) return nested;
  throw new TypeError("the typeCast of mysqlStore's pool changes bytes: have it return next() for BLOB and VARBINARY");
}

/** A number as the pool's options give it: as one, as a text, as a BigInt. */
export function numberIn(value: unknown): number {
  const number = value instanceof Uint8Array ? Number.NaN : Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new TypeError("the typeCast of mysqlStore's pool changes numbers: have it return next() for LONGLONG");
}

function missing(table: string, cause: unknown): Error {
  return new Error(
    `the table ${table} is missing: call migrateMysql(pool), or openStore(url, { migrate: true }), once, with mysqlStore's table option, when you deploy`,
    { cause },
  );
}

/** The pool of callbacks in what the application has given. */
export function callbackPool(maker: string, pool: MysqlPool | MysqlPromisePool): MysqlPool {
  const given: unknown = pool;
  if (typeof given === "object" && given !== null) {
    const inner = "pool" in pool ? pool.pool : pool;
    if (typeof inner?.getConnection === "function") {
      checkAge(maker, inner);
      return inner;
    }
  }
  throw new TypeError(
    `${maker} takes a pool of mysql2: createPool({ host, user, password, database }), not a connection`,
  );
}

/** mysql2 names its version among the attributes that it sends to the server; releases before 3.9 have none of these. */
function checkAge(maker: string, pool: object): void {
  const { connectionConfig } = (pool as { config?: { connectionConfig?: object } }).config ?? {};
  if (connectionConfig === undefined) return;
  if (!("execute" in pool)) throw new TypeError(`${maker} takes a pool of mysql2, not of mysql: npm install mysql2@3`);
  if (!("connectAttributes" in connectionConfig)) return;
  const { _client_version: version } = (connectionConfig.connectAttributes ?? {}) as { _client_version?: unknown };
  if (typeof version !== "string") throw tooOld(maker, "mysql2");
  checkVersion(maker, "mysql2", version);
}
