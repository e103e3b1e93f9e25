import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore, SessionUpdate, StoreListener } from "../../store.ts";
import { type PostgresClient, postgresDriver } from "./client.ts";
import type { PostgresRow } from "./driver.ts";
import { groupOfTurn } from "./groups.ts";
import { escapeText, postgresKeyOf, unescapeText } from "./escaping.ts";
import { type PostgresSubscription, postgresSubscription } from "./subscription.ts";
import { parseTableName } from "./schema.ts";
import { CHANGED, ENDED, MAX_NOTIFIED_ID_LENGTH, type PostgresStatement, postgresStatements } from "./statements.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { PostgresClient } from "./client.ts";
export type { PgClient, PgPool } from "./pg.ts";
export type { PGliteClient } from "./pglite.ts";
export type { PostgresJs } from "./postgres-js.ts";
export { migratePostgres, postgresSchema, type PostgresSchemaOptions } from "./schema.ts";

/** Options of {@link postgresStore}. */
export interface PostgresStoreOptions {
  /**
   * The table's name, or `schema.table`: ASCII letters, digits, `_` and `$`. Upper and lower case differ. Create it with
   * `migratePostgres` or `postgresSchema`. Default `"sojourn_sessions"`.
   */
  table?: string | undefined;
  /**
   * Whether connections keep the store's statements prepared, which halves the server's work. Default: `true` unless a pooler
   * is detected that gives each statement to another connection. With postgres.js, set it to `true` behind a pooler that
   * supports prepared statements.
   */
  prepare?: boolean | undefined;
  /**
   * Another client for the connection that `subscribe` listens on. Default: the store's client. Behind a pooler such as
   * pgbouncer, pass a client that connects to the server directly. A pool of pg needs one connection for each store that
   * listens, and one more for queries: `subscribe` throws a TypeError if its `max` is smaller.
   */
  listen?: PostgresClient | undefined;
  /**
   * Whether subscribers are also notified of every update, as a near cache needs it. Default `false`: PostgreSQL commits
   * transactions with notifications one after the other, so that all updates in the database would queue up.
   */
  announceChanges?: boolean | undefined;
  /**
   * The current time in epoch milliseconds, for tests. Default: the database server's clock. All application servers then
   * agree on what has expired.
   */
  clock?: (() => number) | undefined;
}

/** A {@link SessionStore} with all its capabilities, in a table of PostgreSQL. */
export interface PostgresStore extends SessionStore {
  readonly announcesChanges: boolean;
  subscribe(listener: StoreListener): () => void;
  idsOfUser(userId: string): Promise<string[]>;
  all(): AsyncIterable<string>;
  deleteExpired(limit: number): Promise<number>;
  close(): Promise<void>;
}

const SERIALIZATION_FAILURE = "40001";
const DEADLOCK = "40P01";
/** The prepared statement is unknown on this connection, or exists already, or the table has changed. Nothing is done yet. */
const PREPARED_STATEMENT_ERRORS: ReadonlySet<unknown> = new Set(["26000", "42P05", "0A000"]);
const NO_SUCH_TABLE = "42P01";
/** The server gives it for one damaged row. A pooler gives it for a lost connection, after a commit too. */
const INTERNAL_ERROR = "XX000";

const WRONG_REPLY =
  "the connection gave the reply to another statement: with postgres.js, give the store a client of its own (see docs/stores/postgres.md)";

const MAX_ATTEMPTS = 16;
const MAX_PAUSE_MS = 50;
const LIST_BATCH_SIZE = 1000;
const DELETE_BATCH_SIZE = 500;
/** A larger payload takes longer to encode than to send, and would delay the others of a group. */
const MAX_GROUPED_BYTES = 16_384;
/** A character that is lower than all characters of keys. */
const LOWEST = "\u0001";

/**
 * Keeps sessions in a table of PostgreSQL. Each operation is one statement in a transaction of its own.
 *
 * The client stays the application's: the store never ends it. Set timeouts for it, so that it recovers from an outage as
 * soon as the server does.
 *
 * @param client - a `Pool` or one `Client` of pg, the `sql` function of postgres.js, or a `PGlite`.
 * @throws TypeError for anything else, and for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * const pool = new Pool({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 3000, query_timeout: 5000 });
 * await migratePostgres(pool);
 * const sessions = createSessions({ secretKey: process.env.SECRET_KEY, store: postgresStore(pool) });
 * ```
 */
export function postgresStore(client: PostgresClient, options: PostgresStoreOptions = {}): PostgresStore {
  checkOptions("postgresStore", options, {
    table: true,
    prepare: true,
    listen: true,
    announceChanges: true,
    clock: true,
  });
  checkClock("postgresStore: clock", options.clock);
  for (const name of ["prepare", "announceChanges"] as const) {
    if (options[name] !== undefined && typeof options[name] !== "boolean") {
      throw new TypeError(`postgresStore: ${name} must be true or false`);
    }
  }
  const { clock, announceChanges = false } = options;
  const names = parseTableName("postgresStore", options.table);
  const driver = postgresDriver("postgresStore", client);
  const listenDriver =
    options.listen === undefined ? driver : postgresDriver("postgresStore: listen", options.listen, "notifications");
  const statements = postgresStatements(names, announceChanges);
  let { prepare } = options;
  let isClosed = false;
  let subscription: PostgresSubscription | undefined;

  function assertOpen(): void {
    if (isClosed) throw new Error("the PostgreSQL store is closed: make a new one with postgresStore()");
  }

  /** Runs a statement, and repeats it only if the server says that it has rolled the transaction back. */
  async function runStatement(
    statement: PostgresStatement,
    parameters: readonly (string | null)[],
  ): Promise<readonly PostgresRow[]> {
    for (let attempts = 1; ; attempts += 1) {
      assertOpen();
      const isPrepared = (prepare ??= await driver.canPrepare());
      try {
        return await driver.query(statement, parameters, isPrepared);
      } catch (error) {
        const code = sqlStateOf(error);
        if (code === NO_SUCH_TABLE) throw missingTable(names.quoted, error);
        if (isPrepared && PREPARED_STATEMENT_ERRORS.has(code)) {
          prepare = false;
          continue;
        }
        if ((code !== SERIALIZATION_FAILURE && code !== DEADLOCK) || attempts >= MAX_ATTEMPTS) throw error;
        await delay(Math.random() * Math.min(MAX_PAUSE_MS, 2 ** attempts));
      }
    }
  }

  const timeParameter = (): string | null => (clock === undefined ? null : String(clock()));

  const query = (statement: PostgresStatement, ...parameters: (string | null)[]): Promise<readonly PostgresRow[]> =>
    runStatement(statement, [timeParameter(), ...parameters]);

  /** Runs a statement on the rows of one session or one user. Its key is the first parameter, and the last column. */
  async function queryRowsOf(
    key: string,
    statement: PostgresStatement,
    ...parameters: (string | null)[]
  ): Promise<readonly PostgresRow[]> {
    const rows = await query(statement, key, ...parameters);
    for (const row of rows) if (row.at(-1) !== key) throw new Error(WRONG_REPLY);
    return rows;
  }

  /** Runs a statement on the rows of several sessions, and returns those that it has found or changed by their keys. */
  async function queryGroup(
    keys: readonly string[],
    statement: PostgresStatement,
    ...parameters: string[]
  ): Promise<Map<string, PostgresRow>> {
    const rows = await query(statement, toArray(keys), ...parameters);
    const found = new Map(rows.map((row) => [row.at(-1) ?? "", row]));
    const wanted = new Set(keys);
    for (const key of found.keys()) if (!wanted.has(key)) throw new Error(WRONG_REPLY);
    return found;
  }

  const readRow = groupOfTurn<{ key: string }, { row: PostgresRow | undefined }>({
    alone: async ({ key }) => ({ row: (await queryRowsOf(key, statements.read))[0] }),
    async together(calls) {
      const keys = calls.map(({ key }) => key);
      const found = await queryGroup(keys, statements.readGroup);
      return new Map(keys.map((key) => [key, { row: found.get(key) }]));
    },
    mayRepeat: (error) => isRefused(error) || sqlStateOf(error) === INTERNAL_ERROR,
  });

  const updateRow = groupOfTurn<{ key: string; parameters: (string | null)[] }, boolean>({
    alone: async ({ key, parameters }) => (await queryRowsOf(key, statements.update, ...parameters)).length > 0,
    async together(calls) {
      const keys = calls.map(({ key }) => key);
      const columns = calls[0]!.parameters.map((_, column) => toArray(calls.map((call) => call.parameters[column]!)));
      const updated = await queryGroup(keys, statements.updateGroup, ...columns);
      return new Map([...updated.keys()].map((key) => [key, true]));
    },
    mayRepeat: isRefused,
  });

  /** Lists ids in batches, so that no transaction lasts long and no result fills the memory. */
  async function* listIds(): AsyncGenerator<string, void, undefined> {
    for (let from = ""; ;) {
      const rows = await query(statements.all, from, String(LIST_BATCH_SIZE));
      for (const [, id] of rows) yield unescapeText(id ?? "");
      if (rows.length < LIST_BATCH_SIZE) return;
      from = `${rows.at(-1)?.[0]}${LOWEST}`;
    }
  }

  return {
    announcesChanges: announceChanges,

    async read(id) {
      const { row } = await readRow({ key: postgresKeyOf(id).key });
      if (row === undefined) return undefined;
      const [version, expiresAt, userId, payload] = row;
      return {
        payload: Buffer.from(payload ?? "", "base64"),
        version: Number(version),
        expiresAt: Number(expiresAt),
        userId: typeof userId === "string" ? unescapeText(userId) : undefined,
      };
    },

    async create(id, stored) {
      checkStored(stored);
      const { key, longId } = postgresKeyOf(id);
      return (await queryRowsOf(key, statements.create, ...toParameters(stored), longId)).length > 0;
    },

    async update(id, stored, expectedVersion) {
      assertOpen();
      checkStored(stored);
      // No session has such a version, and the server could not parse it.
      if (!Number.isSafeInteger(expectedVersion)) return false;
      const parameters = [...toParameters(stored), String(expectedVersion)];
      const { key } = postgresKeyOf(id);
      if (!announceChanges && stored.payload.length <= MAX_GROUPED_BYTES) return updateRow({ key, parameters });
      if (announceChanges) parameters.push(notificationOf(CHANGED, id));
      return (await queryRowsOf(key, statements.update, ...parameters)).length > 0;
    },

    async touch(id, expiresAt) {
      checkTime(expiresAt);
      return (await queryRowsOf(postgresKeyOf(id).key, statements.touch, String(expiresAt))).length > 0;
    },

    async delete(id) {
      const [row] = await queryRowsOf(postgresKeyOf(id).key, statements.delete, notificationOf(ENDED, id));
      return row?.[0] === "live";
    },

    subscribe(listener) {
      assertOpen();
      subscription ??= postgresSubscription({
        channel: names.channel,
        driver: listenDriver,
        notify: (payload) => runStatement(statements.notify, [payload]),
      });
      return subscription.subscribe(listener);
    },

    async idsOfUser(userId) {
      const rows = await queryRowsOf(escapeText(userId), statements.idsOfUser);
      return rows.map(([id]) => unescapeText(id ?? ""));
    },

    all: () => listIds(),

    async deleteExpired(limit) {
      checkPositiveInteger("deleteExpired: limit", limit);
      let deleted = 0;
      for (;;) {
        const wanted = Math.min(limit - deleted, DELETE_BATCH_SIZE);
        const [row] = await query(statements.deleteExpired, String(wanted));
        const count = Number(row?.[0]);
        deleted += count;
        if (count < wanted || deleted === limit) return deleted;
      }
    },

    async close() {
      isClosed = true;
      await subscription?.close();
    },
  };
}

function toParameters({ version, expiresAt, extendOnly, userId, payload }: SessionUpdate): (string | null)[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const expiry = (extendOnly ? "+" : "") + String(expiresAt);
  return [String(version), expiry, userId === undefined ? null : escapeText(userId), bytes.toString("base64")];
}

/** An array as PostgreSQL writes one. */
function toArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : `"${value.replace(/["\\]/g, "\\$&")}"`)).join(",")}}`;
}

/** A notification about a session; `null` if the id is too long for one. */
function notificationOf(prefix: string, id: string): string | null {
  const escaped = escapeText(id);
  return escaped.length > MAX_NOTIFIED_ID_LENGTH ? null : prefix + escaped;
}

/** Whether the server has rolled a statement back because of one of its rows, or for lack of space. */
function isRefused(error: unknown): boolean {
  return /^(?:22|23|54|P0|XX00[12]|53100)/.test(String(sqlStateOf(error)));
}

function sqlStateOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function missingTable(table: string, cause: unknown): Error {
  return new Error(
    `the table ${table} is missing: call migratePostgres(client), or openStore(url, { migrate: true }), once, with postgresStore's table option, ` +
      "when you deploy",
    { cause },
  );
}
