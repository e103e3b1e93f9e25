import {
  firstValue,
  inTransaction,
  isBusy,
  isReadOnly,
  prepare,
  type SqliteDatabase,
  type SqliteStatement,
  withoutWaiting,
} from "./database.ts";

/** What the store does to its tables, compiled once. */
export interface Statements {
  readonly read: SqliteStatement;
  readonly create: SqliteStatement;
  readonly update: SqliteStatement;
  readonly touch: SqliteStatement;
  readonly end: SqliteStatement;
  readonly endUntold: SqliteStatement;
  readonly tellEnded: SqliteStatement;
  readonly owned: SqliteStatement;
  readonly page: SqliteStatement;
  readonly forgetExpired: SqliteStatement;
  readonly forgetNews: SqliteStatement;
  readonly lastNews: SqliteStatement;
  readonly news: SqliteStatement;
}

/** A database that is set up. */
export interface Ready {
  readonly statements: Statements;
  /** Where it is kept; empty where that is in memory. */
  readonly file: string;
  readonly unblocked: ReturnType<typeof withoutWaiting>;
}

const PAUSE_MS = 10;
/** How long news are kept for listeners, who look ten times a second. */
const NEWS_SECONDS = 10;

/**
 * Makes the tables where they are missing, and compiles the statements. Several processes may do so at once: each waits,
 * as the program is only starting, up to `deadline` milliseconds for the others.
 */
export function setUp(db: SqliteDatabase, table: string, announceChanges: boolean, deadline: number): Ready {
  try {
    const unblocked = withoutWaiting(db);
    const until = performance.now() + deadline;
    if (inTransaction(db)) throw new Error("a transaction is open on the connection; make the store outside of it");
    untilFree(until, () => unblocked(() => useWal(db)));
    untilFree(until, () => unblocked(() => makeTables(db, table)));
    makeTriggers(db, table, announceChanges);
    unblocked(() => refuseReadOnly(db, table));
    return { unblocked, file: fileOf(db), statements: statements(db, table) };
  } catch (error) {
    const why = isReadOnly(error)
      ? "it is read-only; open it for writing, in a folder that can be written"
      : (error as Error).message;
    throw new Error(`sqliteStore can't use the database: ${why}`, { cause: error });
  }
}

/** Readers and a writer that do not wait for each other: the mode is kept in the file, for every process. */
function useWal(db: SqliteDatabase): void {
  // A database in memory has no log and no other process.
  if (fileOf(db) === "" || firstValue(prepare(db, "PRAGMA journal_mode")) === "wal") return;
  const mode = firstValue(prepare(db, "PRAGMA journal_mode = WAL"));
  if (mode !== "wal") throw new Error(`its journal mode stays "${String(mode)}", and the store needs WAL`);
}

function fileOf(db: SqliteDatabase): string {
  const main = prepare(db, "PRAGMA database_list")
    .all()
    .find((row) => (row as { name: string }).name === "main") as { file: string | null };
  return main.file ?? "";
}

// With a key of its own, a row is appended and not put among others by its random id: 378 bytes a session against 424
// WITHOUT ROWID, and expired sessions lie side by side. What is read most stands before what is longest.
function makeTables(db: SqliteDatabase, table: string): void {
  const made = prepare(db, "SELECT count(*) FROM main.sqlite_master WHERE name IN (?, ?, ?, ?)");
  // Asked first, because making takes the lock even where there is nothing to make.
  if (firstValue(made, table, `${table}_expiry`, `${table}_user`, `${table}_news`) === 4) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(`
      CREATE TABLE IF NOT EXISTS main."${table}" (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        user_id TEXT,
        payload BLOB NOT NULL
      );
      CREATE INDEX IF NOT EXISTS main."${table}_expiry" ON "${table}" (expires_at);
      CREATE INDEX IF NOT EXISTS main."${table}_user" ON "${table}" (user_id) WHERE user_id IS NOT NULL;
      CREATE TABLE IF NOT EXISTS main."${table}_news" (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        ended INTEGER NOT NULL,
        at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
      );
      COMMIT`);
  } catch (error) {
    try {
      db.exec("ROLLBACK");
    } catch {
      // After some faults SQLite has done so already.
    }
    throw error;
  }
}

/** What makes two effects one statement. They belong to this connection, and leave no trace in the file. */
function makeTriggers(db: SqliteDatabase, table: string, announceChanges: boolean): void {
  db.exec(`
    CREATE TEMP TRIGGER IF NOT EXISTS "${table}_end" AFTER INSERT ON main."${table}_news" WHEN new.ended
    BEGIN DELETE FROM "${table}" WHERE id = new.id; END`);
  if (!announceChanges) return;
  db.exec(`
    CREATE TEMP TRIGGER IF NOT EXISTS "${table}_change" AFTER UPDATE OF version ON main."${table}"
    WHEN new.version <> old.version
    BEGIN INSERT INTO "${table}_news" (id, ended) VALUES (new.id, 0); END`);
}

/** A connection that can only read would fail at the first visitor: rather at once. */
function refuseReadOnly(db: SqliteDatabase, table: string): void {
  try {
    db.exec(`DELETE FROM main."${table}" WHERE n = -1`);
  } catch (error) {
    // Somebody else is writing, so it can be written.
    if (!isBusy(error)) throw error;
  }
}

function statements(db: SqliteDatabase, table: string): Statements {
  const sessions = `main."${table}"`;
  const news = `main."${table}_news"`;
  return {
    read: prepare(db, `SELECT payload, version, expires_at, user_id FROM ${sessions} WHERE id = ? AND expires_at > ?`),
    create: prepare(
      db,
      `INSERT INTO ${sessions} (id, version, expires_at, user_id, payload) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, expires_at = excluded.expires_at, user_id = excluded.user_id, payload = excluded.payload
      WHERE expires_at <= ?`,
    ),
    update: prepare(
      db,
      `UPDATE ${sessions} SET version = ?, expires_at = max(?, CASE WHEN ? THEN expires_at ELSE 0 END), user_id = ?, payload = ?
      WHERE id = ? AND version = ? AND expires_at > ?`,
    ),
    touch: prepare(db, `UPDATE ${sessions} SET expires_at = max(expires_at, ?) WHERE id = ? AND expires_at > ?`),
    // The trigger deletes it: that it has ended and that it is told are one.
    end: prepare(db, `INSERT INTO ${news} (id, ended) SELECT id, 1 FROM ${sessions} WHERE id = ? AND expires_at > ?`),
    // Where there is no room for the news: the one makes room for the other.
    endUntold: prepare(db, `DELETE FROM ${sessions} WHERE id = ? AND expires_at > ?`),
    tellEnded: prepare(db, `INSERT INTO ${news} (id, ended) VALUES (?, 1)`),
    owned: prepare(db, `SELECT n, id, expires_at FROM ${sessions} WHERE user_id = ? AND n > ? ORDER BY n LIMIT ?`),
    page: prepare(db, `SELECT n, id, expires_at FROM ${sessions} WHERE n > ? ORDER BY n LIMIT ?`),
    forgetExpired: prepare(
      db,
      `DELETE FROM ${sessions} WHERE n IN
      (SELECT n FROM ${sessions} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
    ),
    // Those from the future, too: after the clock was set back they would keep all that came later.
    forgetNews: prepare(
      db,
      `DELETE FROM ${news} WHERE n IN (SELECT n FROM ${news} ORDER BY n LIMIT ?)
      AND abs(at - CAST(strftime('%s', 'now') AS INTEGER)) > ${NEWS_SECONDS}`,
    ),
    lastNews: prepare(db, `SELECT seq FROM main.sqlite_sequence WHERE name = '${table}_news' COLLATE NOCASE`),
    news: prepare(db, `SELECT n, id, ended FROM ${news} WHERE n > ? ORDER BY n LIMIT ?`),
  };
}

function untilFree(until: number, act: () => void): void {
  for (;;) {
    try {
      act();
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
