/** A parameter of a statement. */
export type SqliteValue = string | number | null | Uint8Array;

/** The methods of a prepared statement that the store calls. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { changes: number | bigint };
  get(...values: SqliteValue[]): unknown;
  all(...values: SqliteValue[]): unknown[];
}

/**
 * The methods of a database that the store calls. `Database` of better-sqlite3, `Database` of bun:sqlite and `DatabaseSync` of
 * node:sqlite have them.
 */
export interface SqliteDatabase {
  /** Compiles a statement. */
  prepare(sql: string): SqliteStatement;
  /** Runs statements that give no rows. */
  exec(sql: string): unknown;
  /** Whether a transaction is open on this connection. better-sqlite3 and Bun have this property. */
  readonly inTransaction?: boolean;
  /** The same for node:sqlite. Node.js before 22.16 does not have it. */
  readonly isTransaction?: boolean;
}

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;

export const isBusy = (error: unknown): boolean => hasCode(error, SQLITE_BUSY, "SQLITE_BUSY");
/** The disk is full, or the database has its maximum size. SQLite may report a full disk as an I/O error. */
export const isFull = (error: unknown): boolean =>
  hasCode(error, SQLITE_FULL, "SQLITE_FULL") || hasCode(error, SQLITE_IOERR, "SQLITE_IOERR");
export const isReadOnly = (error: unknown): boolean => hasCode(error, SQLITE_READONLY, "SQLITE_READONLY");

// An extended code has the primary code in its last byte. An extended name begins with the primary name, as
// SQLITE_BUSY_SNAPSHOT does.
function hasCode(error: unknown, primary: number, name: string): boolean {
  if (!(error instanceof Error)) return false;
  if ("errcode" in error) return (Number(error.errcode) & 0xff) === primary;
  return "code" in error && typeof error.code === "string" && error.code.startsWith(name);
}

/** Whether the application has an open transaction on the connection, and so could roll back a write. */
export function inTransaction(db: SqliteDatabase): boolean {
  return db.inTransaction ?? db.isTransaction ?? false;
}

/** Prepares a statement that returns objects with plain numbers, independent of the connection's defaults. */
export function prepare(db: SqliteDatabase, sql: string): SqliteStatement {
  const statement: SqliteStatement & {
    safeIntegers?(enabled: boolean): unknown;
    setReadBigInts?(enabled: boolean): unknown;
    setReturnArrays?(enabled: boolean): unknown;
  } = db.prepare(sql);
  statement.safeIntegers?.(false);
  statement.setReadBigInts?.(false);
  statement.setReturnArrays?.(false);
  return statement;
}

/** Returns the first column of the statement's first row. */
export function firstValue(statement: SqliteStatement, ...values: SqliteValue[]): unknown {
  const row = statement.get(...values) ?? undefined;
  return typeof row === "object" ? Object.values(row)[0] : undefined;
}

/**
 * Returns a function that runs statements and does not let SQLite wait for another process's lock, because that wait
 * blocks the event loop. The application uses the same connection, so its timeout is restored at once.
 */
export function withoutWaiting(db: SqliteDatabase): <T>(action: () => T) => T {
  const timeout = Number(firstValue(prepare(db, "PRAGMA busy_timeout")));
  if (timeout === 0) return (action) => action();
  return (action) => {
    db.exec("PRAGMA busy_timeout = 0");
    try {
      return action();
    } finally {
      db.exec(`PRAGMA busy_timeout = ${timeout}`);
    }
  };
}

const NEEDS_UTF16 = /[\0\p{Surrogate}]/u;

/**
 * Encodes a string for a column. A string with a lone surrogate or a NUL is stored as a blob of UTF-16, because SQLite
 * would not return it unchanged as text. SQLite never treats a text and a blob as equal.
 */
export function encodeText(text: string): string | Uint8Array {
  return NEEDS_UTF16.test(text) ? Buffer.from(text, "utf16le") : text;
}

/** Decodes a string that {@link encodeText} has encoded. */
export function decodeText(value: string | Uint8Array): string {
  if (typeof value === "string") return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf16le");
}
