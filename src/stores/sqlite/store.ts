import { Buffer } from "node:buffer";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { type Duration, milliseconds } from "../../duration.ts";
import type { SessionStore, StoredSession, StoreListener } from "../../store.ts";
import { inTransaction, isFull, type SqliteDatabase, decodeText, encodeText } from "./database.ts";
import { sqliteSubscription } from "./subscription.ts";
import { NO_RESERVE, reserveBeside } from "./reserve.ts";
import { prepareDatabase } from "./schema.ts";
import { createGroupCommit } from "./group-commit.ts";
import { createTransactionQueue } from "./transaction-queue.ts";
import { quietly } from "../shared/quietly.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { SqliteDatabase, SqliteStatement, SqliteValue } from "./database.ts";

/** Options of {@link sqliteStore}. */
export interface SqliteStoreOptions {
  /**
   * The name of the sessions' table: letters, digits and `_`. The store makes it, and a second one with `_notifications` after
   * that name. Default `"sojourn_sessions"`.
   */
  table?: string | undefined;
  /**
   * How long an operation waits while another process or a transaction of the application has locked the database, such as
   * `"500ms"`. Then it rejects. Waiting does not block the event loop. Default `"2s"`, as `storeTimeout`.
   */
  busyTimeout?: Duration | undefined;
  /**
   * Whether subscribers are also notified of every update, as a near cache needs it. An update then takes about 1.5 times as
   * long. Default `false`.
   */
  announceChanges?: boolean | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} with all its capabilities, in an SQLite database. */
export interface SqliteStore extends SessionStore {
  readonly announcesChanges: boolean;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

interface SessionRow {
  readonly payload: Uint8Array;
  readonly version: number;
  readonly expires_at: number;
  readonly user_id: string | Uint8Array | null;
}

interface ListedRow {
  readonly n: number;
  readonly id: string | Uint8Array;
  readonly expires_at: number;
}

const PAGE_SIZE = 256;
const MIN_ROWS = 8;
const MAX_ROWS = 512;
// The size of a batch grows if the last one took less time than this, and is halved if it took more.
const SHORT_BATCH_MS = 1;
const LONG_BATCH_MS = 3;

/**
 * Keeps sessions in an SQLite database. Several processes of one machine can share it.
 *
 * Each operation takes effect completely or not at all, and is answered after its commit. The store switches the database to WAL mode
 * and makes its tables. The application sets how long a commit waits for the disk (`PRAGMA synchronous`).
 *
 * @param db - an open `Database` of better-sqlite3 or bun:sqlite, or an open `DatabaseSync` of node:sqlite. Closing the
 *   store does not close it.
 * @throws TypeError for anything else, and for an option that it does not know or can't use.
 * @throws Error if the database is read-only, is not a database, or is locked for longer than `busyTimeout`.
 *
 * @example
 * ```ts
 * const db = new DatabaseSync("sessions.db");
 * db.exec("PRAGMA synchronous = NORMAL");
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: sqliteStore(db) });
 * ```
 */
export function sqliteStore(db: SqliteDatabase, options: SqliteStoreOptions = {}): SqliteStore {
  if (typeof db?.prepare !== "function" || typeof db.exec !== "function") {
    throw new TypeError("sqliteStore takes an open database: new Database(path) or new DatabaseSync(path)");
  }
  checkOptions("sqliteStore", options, { table: true, busyTimeout: true, announceChanges: true, clock: true });
  checkClock("sqliteStore: clock", options.clock);
  const { table = "sojourn_sessions", busyTimeout = "2s", announceChanges = false, clock = () => Date.now() } = options;
  if (typeof table !== "string" || !/^(?!sqlite_)[a-z_][a-z0-9_]{0,99}$/i.test(table)) {
    throw new TypeError("sqliteStore: table must be a name of letters, digits and _, such as sojourn_sessions");
  }
  if (typeof announceChanges !== "boolean") throw new TypeError("sqliteStore: announceChanges must be true or false");
  const timeoutMs = milliseconds(busyTimeout, "busyTimeout");

  const { statements, runWithoutWaiting, file } = prepareDatabase(db, table, announceChanges, timeoutMs);
  // Two queues, because in WAL mode reads need not wait for writes.
  const reads = createTransactionQueue(db, timeoutMs);
  const writes = createTransactionQueue(db, timeoutMs);
  const subscription = sqliteSubscription(statements, () => inTransaction(db));
  const reserve = file === "" ? NO_RESERVE : reserveBeside(file);
  const groups = createGroupCommit(db, { queue: writes, runWithoutWaiting, ensureSpace: reserve.ensure });
  let closed = false;

  function assertOpen(): void {
    if (closed) throw createClosedError();
  }

  /** Runs a statement that may use more disk space. Returns the number of changed rows. */
  function write(run: () => { changes: number | bigint }): Promise<number> {
    return groups.write({ run: () => Number(run().changes), needsSpace: true });
  }

  /** Ends a session, even on a full disk. Must not run in a transaction. */
  function endOnFullDisk(id: string | Uint8Array): { changes: number | bigint } {
    try {
      return statements.end.run(id, clock());
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    reserve.release();
    try {
      // Moves all pages of the log into the database. Then the log starts again in its file and needs no more space.
      db.exec("PRAGMA wal_checkpoint(RESTART)");
    } catch {
      // Another process is reading or has used the space. There may still be enough space for this statement.
    }
    try {
      return statements.end.run(id, clock());
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    const ended = statements.deleteSession.run(id, clock());
    if (Number(ended.changes) > 0) quietly(() => statements.notifyEnded.run(id));
    return ended;
  }

  /** Lists ids in pages. Between two pages, other processes can use the database and the event loop runs. */
  async function* listIds(next: (after: number) => unknown[]): AsyncGenerator<string[]> {
    for (let after = 0; ; await nextTurn()) {
      assertOpen();
      const rows = (await reads.run(() => next(after))) as ListedRow[];
      const now = clock();
      yield rows.filter((row) => row.expires_at > now).map((row) => decodeText(row.id));
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_SIZE) return;
      after = last.n;
    }
  }

  /**
   * Returns a function that deletes in batches of a few milliseconds. After each batch it pauses for as long as the batch
   * took, so that other processes can use the database.
   */
  function inBatches(deleteBatch: (rows: number) => { changes: number | bigint }): (limit: number) => Promise<number> {
    let size = MIN_ROWS;
    return async (limit) => {
      let deleted = 0;
      while (deleted < limit) {
        assertOpen();
        const rows = Math.min(size, limit - deleted);
        let elapsed = 0;
        const changes = await writes.run(() => {
          const began = performance.now();
          const result = runWithoutWaiting(() => deleteBatch(rows));
          elapsed = performance.now() - began;
          return Number(result.changes);
        });
        deleted += changes;
        if (changes < rows) break;
        if (elapsed > LONG_BATCH_MS) size = Math.max(MIN_ROWS, size >> 1);
        else if (elapsed < SHORT_BATCH_MS && rows === size) size = Math.min(MAX_ROWS, size << 1);
        await delay(elapsed);
      }
      return deleted;
    };
  }
  const deleteNotifications = inBatches((rows) => statements.deleteNotifications.run(rows));
  const deleteExpired = inBatches((rows) => statements.deleteExpired.run(clock(), rows));

  return {
    announcesChanges: announceChanges,

    async read(id) {
      assertOpen();
      const row = await reads.run(() => statements.read.get(encodeText(id), clock()) as SessionRow | null | undefined);
      if (!row) return undefined;
      const { payload, version, expires_at: expiresAt, user_id: userId } = row;
      return { payload, version, expiresAt, userId: userId === null ? undefined : decodeText(userId) };
    },

    async create(id, stored) {
      assertOpen();
      checkStored(stored);
      const values = columns(stored);
      return (await write(() => statements.create.run(encodeText(id), ...values, clock()))) > 0;
    },

    async update(id, stored, expectedVersion) {
      assertOpen();
      checkStored(stored);
      const [version, expiresAt, ...others] = columns(stored);
      const values = [version, expiresAt, Number(stored.extendOnly === true), ...others] as const;
      return (await write(() => statements.update.run(...values, encodeText(id), expectedVersion, clock()))) > 0;
    },

    async touch(id, expiresAt) {
      assertOpen();
      checkTime(expiresAt);
      return (await write(() => statements.touch.run(expiresAt, encodeText(id), clock()))) > 0;
    },

    async delete(id) {
      assertOpen();
      const encodedId = encodeText(id);
      const ended = await groups.write({
        run: () => Number(statements.end.run(encodedId, clock()).changes),
        runAlone: () => Number(endOnFullDisk(encodedId).changes),
      });
      return ended > 0;
    },

    subscribe(listener) {
      assertOpen();
      return subscription.subscribe(listener);
    },

    async idsOfUser(userId) {
      const ids: string[] = [];
      for await (const page of listIds((after) => statements.listOfUser.all(encodeText(userId), after, PAGE_SIZE))) {
        ids.push(...page);
      }
      return ids;
    },

    async *all() {
      for await (const page of listIds((after) => statements.listAll.all(after, PAGE_SIZE))) {
        for (const id of page) {
          yield id;
          assertOpen();
        }
      }
    },

    async deleteExpired(limit) {
      assertOpen();
      checkPositiveInteger("deleteExpired: limit", limit);
      await deleteNotifications(Infinity);
      return deleteExpired(limit);
    },

    async close() {
      closed = true;
      subscription.close();
      groups.flush();
      for (const queue of [reads, writes]) queue.close(createClosedError());
    },
  };
}

const createClosedError = (): Error => new Error("the SQLite store is closed: make a new one with sqliteStore()");

/** Copies the payload: the write may have to wait, and the caller may change its bytes in the meantime. */
function columns({ version, expiresAt, userId, payload }: StoredSession) {
  return [version, expiresAt, userId === undefined ? null : encodeText(userId), Buffer.from(payload)] as const;
}
