import { Buffer } from "node:buffer";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { type Duration, milliseconds } from "../../duration.ts";
import type { SessionStore, StoredSession, StoreListener } from "../../store.ts";
import { inTransaction, isFull, type SqliteDatabase, textOf, textValue } from "./database.ts";
import { sqliteSubscription } from "./subscription.ts";
import { NO_RESERVE, reserveBeside } from "./reserve.ts";
import { setUp } from "./schema.ts";
import { turns } from "./turns.ts";
import { quietly } from "../shared/quietly.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { SqliteDatabase, SqliteStatement, SqliteValue } from "./database.ts";

/** Where {@link sqliteStore} keeps sessions, and how long it waits. */
export interface SqliteStoreOptions {
  /** The table that holds the sessions; a second one has `_news` after that name. Default `sojourn_sessions`. */
  table?: string | undefined;
  /**
   * How long a write waits while another process, or a transaction of the application's own, has the database. It does
   * not hold up the event loop. Default `"5s"`; then the operation rejects with SQLite's own error.
   */
  busyTimeout?: Duration | undefined;
  /** `true` where subscribers shall hear of every update as well, which makes it half as dear again. Default `false`. */
  announceChanges?: boolean | undefined;
  /** Epoch milliseconds. Default `Date.now`; tests pass their own. */
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

const PAGE = 256;
const FEWEST_ROWS = 8;
const MOST_ROWS = 512;
// Between these, in milliseconds, a slice of collecting is of the right size.
const SHORT_SLICE = 1;
const LONG_SLICE = 3;

/**
 * Keeps sessions in an SQLite database, which several processes of one machine may share.
 *
 * Each operation is one statement, complete or without effect. The database is in WAL mode, which the store sets; how
 * far a commit waits for the disk (`PRAGMA synchronous`) is the connection's, as the application sets it.
 *
 * @param db an open `Database` of better-sqlite3 or bun:sqlite, or `DatabaseSync` of node:sqlite. It stays the
 *   application's: closing the store does not close it.
 * @throws {TypeError} at an option it doesn't know or can't use.
 * @throws {Error} where the database is read-only, no database, or locked for longer than `busyTimeout`.
 */
export function sqliteStore(db: SqliteDatabase, options: SqliteStoreOptions = {}): SqliteStore {
  if (typeof db?.prepare !== "function" || typeof db.exec !== "function") {
    throw new TypeError("sqliteStore takes an open database: new Database(path) or new DatabaseSync(path)");
  }
  checkOptions("sqliteStore", options, { table: true, busyTimeout: true, announceChanges: true, clock: true });
  checkClock("sqliteStore: clock", options.clock);
  const { table = "sojourn_sessions", busyTimeout = "5s", announceChanges = false, clock = () => Date.now() } = options;
  if (typeof table !== "string" || !/^(?!sqlite_)[a-z_][a-z0-9_]{0,99}$/i.test(table)) {
    throw new TypeError("sqliteStore: table must be a name of letters, digits and _, such as sojourn_sessions");
  }
  if (typeof announceChanges !== "boolean") throw new TypeError("sqliteStore: announceChanges must be true or false");
  const deadline = milliseconds(busyTimeout, "busyTimeout");

  const { statements, unblocked, file } = setUp(db, table, announceChanges, deadline);
  // Who reads need not wait for who writes.
  const readers = turns(db, deadline);
  const writers = turns(db, deadline);
  const feed = sqliteSubscription(statements, () => inTransaction(db));
  const reserve = file === "" ? NO_RESERVE : reserveBeside(file);
  let closed = false;

  function open(): void {
    if (closed) throw closing();
  }

  /** How many rows the statement has changed. */
  function write(run: () => { changes: number | bigint }): Promise<number> {
    return writers.take(() => Number(unblocked(run).changes));
  }

  /** The same of one that may need room. */
  function writeMore(run: () => { changes: number | bigint }): Promise<number> {
    return write(() => {
      reserve.keep();
      return run();
    });
  }

  /** Ends a session, on a full disk too. */
  function end(id: string | Uint8Array): { changes: number | bigint } {
    try {
      return statements.end.run(id, clock());
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    reserve.release();
    try {
      // With all of it in the database, the log begins anew where it lies, and needs no more room.
      db.exec("PRAGMA wal_checkpoint(RESTART)");
    } catch {
      // Somebody is reading, or has taken the room: there may be enough for this one.
    }
    try {
      return statements.end.run(id, clock());
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    const ended = statements.endUntold.run(id, clock());
    if (Number(ended.changes) > 0) quietly(() => statements.tellEnded.run(id));
    return ended;
  }

  /** Page by page: the database is free in between, and so is the event loop. */
  async function* pages(next: (after: number) => unknown[]): AsyncGenerator<string[]> {
    for (let after = 0; ; await nextTurn()) {
      open();
      const rows = (await readers.take(() => next(after))) as ListedRow[];
      const now = clock();
      yield rows.filter((row) => row.expires_at > now).map((row) => textOf(row.id));
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      after = last.n;
    }
  }

  /** Forgets in slices of a few milliseconds. After each, other processes have the database for as long again. */
  function slices(slice: (rows: number) => { changes: number | bigint }): (limit: number) => Promise<number> {
    let size = FEWEST_ROWS;
    return async (limit) => {
      let forgotten = 0;
      while (forgotten < limit) {
        open();
        const rows = Math.min(size, limit - forgotten);
        let took = 0;
        const gone = await write(() => {
          const began = performance.now();
          const result = slice(rows);
          took = performance.now() - began;
          return result;
        });
        forgotten += gone;
        if (gone < rows) break;
        if (took > LONG_SLICE) size = Math.max(FEWEST_ROWS, size >> 1);
        else if (took < SHORT_SLICE && rows === size) size = Math.min(MOST_ROWS, size << 1);
        await delay(took);
      }
      return forgotten;
    };
  }
  const forgetNews = slices((rows) => statements.forgetNews.run(rows));
  const forgetExpired = slices((rows) => statements.forgetExpired.run(clock(), rows));

  return {
    announcesChanges: announceChanges,

    async read(id) {
      open();
      const row = await readers.take(
        () => statements.read.get(textValue(id), clock()) as SessionRow | null | undefined,
      );
      if (!row) return undefined;
      const { payload, version, expires_at: expiresAt, user_id: userId } = row;
      return { payload, version, expiresAt, userId: userId === null ? undefined : textOf(userId) };
    },

    async create(id, stored) {
      open();
      checkStored(stored);
      const values = columns(stored);
      return (await writeMore(() => statements.create.run(textValue(id), ...values, clock()))) > 0;
    },

    async update(id, stored, expectedVersion) {
      open();
      checkStored(stored);
      const [version, expiresAt, ...others] = columns(stored);
      const values = [version, expiresAt, Number(stored.extendOnly === true), ...others] as const;
      return (await writeMore(() => statements.update.run(...values, textValue(id), expectedVersion, clock()))) > 0;
    },

    async touch(id, expiresAt) {
      open();
      checkTime(expiresAt);
      return (await writeMore(() => statements.touch.run(expiresAt, textValue(id), clock()))) > 0;
    },

    async delete(id) {
      open();
      return (await write(() => end(textValue(id)))) > 0;
    },

    subscribe(listener) {
      open();
      return feed.subscribe(listener);
    },

    async idsOfUser(userId) {
      const ids: string[] = [];
      for await (const page of pages((after) => statements.owned.all(textValue(userId), after, PAGE))) {
        ids.push(...page);
      }
      return ids;
    },

    async *all() {
      for await (const page of pages((after) => statements.page.all(after, PAGE))) {
        for (const id of page) {
          yield id;
          open();
        }
      }
    },

    async deleteExpired(limit) {
      open();
      checkPositiveInteger("deleteExpired: limit", limit);
      await forgetNews(Infinity);
      return forgetExpired(limit);
    },

    async close() {
      closed = true;
      feed.close();
      for (const waiting of [readers, writers]) waiting.close(closing());
    },
  };
}

const closing = (): Error => new Error("the SQLite store is closed: make a new one with sqliteStore()");

/** The bytes are copied: they may have to wait, and are the caller's. */
function columns({ version, expiresAt, userId, payload }: StoredSession) {
  return [version, expiresAt, userId === undefined ? null : textValue(userId), Buffer.from(payload)] as const;
}
