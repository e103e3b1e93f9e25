/** A value that goes into a statement. */
export type SqliteValue = string | number | null | Uint8Array;

/** The calls of a prepared statement that the store makes. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { changes: number | bigint };
  get(...values: SqliteValue[]): unknown;
  all(...values: SqliteValue[]): unknown[];
}

/** The calls that the store makes: `Database` of better-sqlite3 and of bun:sqlite and `DatabaseSync` of node:sqlite fit. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement;
  exec(sql: string): unknown;
  /** better-sqlite3 and Bun: whether a transaction is open on this connection. */
  readonly inTransaction?: boolean;
  /** The same of node:sqlite; Node before 22.16 does not tell. */
  readonly isTransaction?: boolean;
}

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;

export const isBusy = (error: unknown): boolean => hasCode(error, SQLITE_BUSY, "SQLITE_BUSY");
/** The disk is full, or the database as large as it may be. What the disk said may come through as a fault of it. */
export const isFull = (error: unknown): boolean =>
  hasCode(error, SQLITE_FULL, "SQLITE_FULL") || hasCode(error, SQLITE_IOERR, "SQLITE_IOERR");
export const isReadOnly = (error: unknown): boolean => hasCode(error, SQLITE_READONLY, "SQLITE_READONLY");

// SQLite's primary code is the last byte of an extended one; names are extended likewise (SQLITE_BUSY_SNAPSHOT).
function hasCode(error: unknown, primary: number, name: string): boolean {
  if (!(error instanceof Error)) return false;
  if ("errcode" in error) return (Number(error.errcode) & 0xff) === primary;
  return "code" in error && typeof error.code === "string" && error.code.startsWith(name);
}

/** Whether the application has a transaction open on the connection: what is written now could be rolled back. */
export function inTransaction(db: SqliteDatabase): boolean {
  return db.inTransaction ?? db.isTransaction ?? false;
}

/** A statement whose rows are objects with plain numbers, whatever the connection's own defaults are. */
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

/** The first column of the first row of what a statement gives. */
export function firstValue(statement: SqliteStatement, ...values: SqliteValue[]): unknown {
  const row = statement.get(...values) ?? undefined;
  return typeof row === "object" ? Object.values(row)[0] : undefined;
}

/**
 * Runs statements without waiting inside SQLite for another process's lock: its waiting holds up the event loop. The
 * timeout is the connection's and so the application's as well: what it was is put back at once.
 */
export function withoutWaiting(db: SqliteDatabase): <T>(act: () => T) => T {
  const timeout = Number(firstValue(prepare(db, "PRAGMA busy_timeout")));
  if (timeout === 0) return (act) => act();
  return (act) => {
    db.exec("PRAGMA busy_timeout = 0");
    try {
      return act();
    } finally {
      db.exec(`PRAGMA busy_timeout = ${timeout}`);
    }
  };
}

const NOT_PLAIN = /[\0\p{Surrogate}]/u;

/**
 * A string as it is kept: text, or its UTF-16 where that would not come back exactly, which is half a surrogate pair and
 * what follows a NUL. SQLite never takes a text for a blob.
 */
export function textValue(text: string): string | Uint8Array {
  return NOT_PLAIN.test(text) ? Buffer.from(text, "utf16le") : text;
}

/** What {@link textValue} was made from. */
export function textOf(value: string | Uint8Array): string {
  if (typeof value === "string") return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf16le");
}
