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

/** The prepared statements of the store. */
export interface Statements {
  readonly read: SqliteStatement;
  readonly create: SqliteStatement;
  readonly update: SqliteStatement;
  readonly touch: SqliteStatement;
  readonly end: SqliteStatement;
  readonly deleteSession: SqliteStatement;
  readonly notifyEnded: SqliteStatement;
  readonly listOfUser: SqliteStatement;
  readonly listAll: SqliteStatement;
  readonly deleteExpired: SqliteStatement;
  readonly deleteNotifications: SqliteStatement;
  readonly lastNotification: SqliteStatement;
  readonly notifications: SqliteStatement;
}

/** A database with the store's tables. */
export interface PreparedDatabase {
  readonly statements: Statements;
  /** The path of the database. Empty for a database in memory. */
  readonly file: string;
  readonly runWithoutWaiting: ReturnType<typeof withoutWaiting>;
}

const PAUSE_MS = 10;
/** How long notifications are kept. Listeners poll ten times a second. */
const NOTIFICATION_SECONDS = 10;

/**
 * Makes missing tables and prepares the statements. Several processes may do so at the same time. Each waits up to
 * `timeoutMs` for the others. The wait blocks the event loop, which is acceptable while the program starts.
 */
export function prepareDatabase(
  db: SqliteDatabase,
  table: string,
  announceChanges: boolean,
  timeoutMs: number,
): PreparedDatabase {
  try {
    const runWithoutWaiting = withoutWaiting(db);
    const until = performance.now() + timeoutMs;
    if (inTransaction(db)) throw new Error("a transaction is open on the connection; make the store outside of it");
    retryWhileBusy(until, () => runWithoutWaiting(() => useWal(db)));
    retryWhileBusy(until, () => runWithoutWaiting(() => makeTables(db, table)));
    makeTriggers(db, table, announceChanges);
    runWithoutWaiting(() => assertWritable(db, table));
    return { runWithoutWaiting, file: fileOf(db), statements: statements(db, table) };
  } catch (error) {
    const why = isReadOnly(error)
      ? "it is read-only; open it for writing, in a folder that can be written"
      : (error as Error).message;
    throw new Error(`sqliteStore can't use the database: ${why}`, { cause: error });
  }
}

/** In WAL mode readers and a writer do not wait for each other. The file stores the mode, so it applies to every process. */
function useWal(db: SqliteDatabase): void {
  // A database in memory has no log, and no other process uses it.
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

// With the integer key `n`, a new row is appended, and not inserted at the place of its random id. A session takes 378 bytes
// (424 WITHOUT ROWID), and sessions that expire together are stored together. The payload is the last column, because it is
// the longest.
function makeTables(db: SqliteDatabase, table: string): void {
  const countExisting = prepare(db, "SELECT count(*) FROM main.sqlite_master WHERE name IN (?, ?, ?, ?)");
  // Checks first, because CREATE takes the lock even if the tables exist.
  if (firstValue(countExisting, table, `${table}_expiry`, `${table}_user`, `${table}_notifications`) === 4) return;
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
      CREATE TABLE IF NOT EXISTS main."${table}_notifications" (
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
      // After some errors SQLite has rolled back already.
    }
    throw error;
  }
}

/** These triggers make two changes with one statement. They are temporary: they belong to this connection and are not in the file. */
function makeTriggers(db: SqliteDatabase, table: string, announceChanges: boolean): void {
  db.exec(`
    CREATE TEMP TRIGGER IF NOT EXISTS "${table}_end" AFTER INSERT ON main."${table}_notifications" WHEN new.ended
    BEGIN DELETE FROM "${table}" WHERE id = new.id; END`);
  if (!announceChanges) return;
  db.exec(`
    CREATE TEMP TRIGGER IF NOT EXISTS "${table}_change" AFTER UPDATE OF version ON main."${table}"
    WHEN new.version <> old.version
    BEGIN INSERT INTO "${table}_notifications" (id, ended) VALUES (new.id, 0); END`);
}

/** Throws for a read-only connection now. Otherwise only the first request would fail. */
function assertWritable(db: SqliteDatabase, table: string): void {
  try {
    db.exec(`DELETE FROM main."${table}" WHERE n = -1`);
  } catch (error) {
    // Another process is writing, so the database is writable.
    if (!isBusy(error)) throw error;
  }
}

function statements(db: SqliteDatabase, table: string): Statements {
  const sessions = `main."${table}"`;
  const notifications = `main."${table}_notifications"`;
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
    // The trigger deletes the session, so that it ends and its notification appears in one step.
    end: prepare(
      db,
      `INSERT INTO ${notifications} (id, ended) SELECT id, 1 FROM ${sessions} WHERE id = ? AND expires_at > ?`,
    ),
    // For a full disk: deleting the session makes space for the notification.
    deleteSession: prepare(db, `DELETE FROM ${sessions} WHERE id = ? AND expires_at > ?`),
    notifyEnded: prepare(db, `INSERT INTO ${notifications} (id, ended) VALUES (?, 1)`),
    listOfUser: prepare(db, `SELECT n, id, expires_at FROM ${sessions} WHERE user_id = ? AND n > ? ORDER BY n LIMIT ?`),
    listAll: prepare(db, `SELECT n, id, expires_at FROM ${sessions} WHERE n > ? ORDER BY n LIMIT ?`),
    deleteExpired: prepare(
      db,
      `DELETE FROM ${sessions} WHERE n IN
      (SELECT n FROM ${sessions} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
    ),
    // Also deletes notifications from the future. If the clock was set back, they would keep all later ones from deletion.
    deleteNotifications: prepare(
      db,
      `DELETE FROM ${notifications} WHERE n IN (SELECT n FROM ${notifications} ORDER BY n LIMIT ?)
      AND abs(at - CAST(strftime('%s', 'now') AS INTEGER)) > ${NOTIFICATION_SECONDS}`,
    ),
    lastNotification: prepare(
      db,
      `SELECT seq FROM main.sqlite_sequence WHERE name = '${table}_notifications' COLLATE NOCASE`,
    ),
    notifications: prepare(db, `SELECT n, id, ended FROM ${notifications} WHERE n > ? ORDER BY n LIMIT ?`),
  };
}

function retryWhileBusy(until: number, action: () => void): void {
  for (;;) {
    try {
      action();
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
