import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore, SessionUpdate, StoreListener } from "../../store.ts";
import { type PostgresClient, postgresConnection, type Row } from "./client.ts";
import { type Feed, postgresSubscription } from "./subscription.ts";
import { tableNames } from "./schema.ts";
import { CHANGED, ENDED, LONGEST_ANNOUNCED, type Statement, statementsFor } from "./statements.ts";
import { decodeText, encodeText, keyOf } from "./text.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";
import { checkStored, checkTime } from "../shared/stored.ts";

export type { PgClient, PgPool, PGliteClient, PostgresClient, PostgresJs } from "./client.ts";
export { migratePostgres, postgresSchema, type PostgresSchemaOptions } from "./schema.ts";

/** How {@link postgresStore} uses its database. */
export interface PostgresStoreOptions {
  /**
   * The table's name, or `schema.table`: ASCII letters, digits, `_` and `$`, taken as they are, upper and lower case.
   * Default `"sojourn_sessions"`. Make it with `migratePostgres` or `postgresSchema`.
   */
  table?: string | undefined;
  /**
   * Whether connections keep the store's statements prepared, which halves the server's work. Default: where they can;
   * a pooler that gives each statement to another connection is found out. Behind one that knows of prepared statements
   * `true` is worth while with postgres.js.
   */
  prepare?: boolean | undefined;
  /**
   * Through whom `subscribe` listens. Default: the store's own client. A pool of pg lends a connection to each store that
   * listens, so it needs one for each of them and one more: `subscribe` throws a TypeError where its `max` is smaller.
   * Where the client goes through a pooler such as pgbouncer, pass another that goes to the server directly.
   */
  listen?: PostgresClient | undefined;
  /**
   * Whether each update is announced, as a near cache needs it. Default `false`: PostgreSQL commits announcements one
   * after the other, so that all updates of the database's sessions would queue up.
   */
  announceChanges?: boolean | undefined;
  /**
   * Epoch milliseconds. Default: the server's clock, the same for every application server, so that none of them finds
   * a session alive that another has found expired. Tests pass their own.
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
/** Not known on this connection, there already, or made when a table was another: nothing has been done. */
const STATEMENT_TROUBLE: ReadonlySet<unknown> = new Set(["26000", "42P05", "0A000"]);
const NO_SUCH_TABLE = "42P01";

const MIXED_UP =
  "the connection gave the reply to another statement: with postgres.js, give the store a client of its own (see docs/stores.md)";

const TRIES = 16;
const LONGEST_PAUSE = 50;
const LISTED_AT_ONCE = 1000;
const DELETED_AT_ONCE = 500;
// No key has it.
const LOWEST = "\u0001";

/**
 * Keeps sessions in a table of PostgreSQL. Each operation is one statement, and a transaction of its own.
 *
 * The client is the application's: the store never ends it. Give it time limits, or an outage lasts longer for it than
 * for the server.
 *
 * @param client a `Pool` of pg (or one `Client`), the `sql` function of postgres.js, or a `PGlite`.
 * @throws {TypeError} at an option it doesn't know or can't use, or a client that is none of these.
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
  const names = tableNames("postgresStore", options.table);
  const connection = postgresConnection("postgresStore", client);
  const hearing =
    options.listen === undefined
      ? connection
      : postgresConnection("postgresStore: listen", options.listen, "listening");
  const statements = statementsFor(names, announceChanges);
  let { prepare } = options;
  let closed = false;
  let feed: Feed | undefined;

  function open(): void {
    if (closed) throw new Error("the PostgreSQL store is closed: make a new one with postgresStore()");
  }

  /** Each try is a transaction of its own, and is repeated only where the server says that it has taken it back. */
  async function run(statement: Statement, values: readonly (string | null)[]): Promise<readonly Row[]> {
    for (let tries = 1; ; tries += 1) {
      open();
      const prepared = (prepare ??= await connection.mayPrepare());
      try {
        return await connection.run(statement, values, prepared);
      } catch (error) {
        const code = codeOf(error);
        if (code === NO_SUCH_TABLE) throw missing(names.quoted, error);
        if (prepared && STATEMENT_TROUBLE.has(code)) {
          prepare = false;
          continue;
        }
        if ((code !== SERIALIZATION_FAILURE && code !== DEADLOCK) || tries >= TRIES) throw error;
        await delay(Math.random() * Math.min(LONGEST_PAUSE, 2 ** tries));
      }
    }
  }

  const time = (): string | null => (clock === undefined ? null : String(clock()));

  const ask = (statement: Statement, ...values: (string | null)[]): Promise<readonly Row[]> =>
    run(statement, [time(), ...values]);

  /** Asks about the rows of one session or one user, which the first value names. */
  async function askOf(statement: Statement, whose: string, ...values: (string | null)[]): Promise<readonly Row[]> {
    const rows = await ask(statement, whose, ...values);
    for (const row of rows) if (row.at(-1) !== whose) throw new Error(MIXED_UP);
    return rows;
  }

  /** In batches, each of which begins behind the last: no transaction lasts, and no result fills the memory. */
  async function* listed(): AsyncGenerator<string, void, undefined> {
    for (let from = ""; ;) {
      const rows = await ask(statements.all, from, String(LISTED_AT_ONCE));
      for (const [, id] of rows) yield decodeText(id ?? "");
      if (rows.length < LISTED_AT_ONCE) return;
      from = `${rows.at(-1)?.[0]}${LOWEST}`;
    }
  }

  return {
    announcesChanges: announceChanges,

    async read(id) {
      const [row] = await askOf(statements.read, keyOf(id).key);
      if (row === undefined) return undefined;
      const [version, expiresAt, userId, payload] = row;
      return {
        payload: Buffer.from(payload ?? "", "base64"),
        version: Number(version),
        expiresAt: Number(expiresAt),
        userId: typeof userId === "string" ? decodeText(userId) : undefined,
      };
    },

    async create(id, stored) {
      checkStored(stored);
      const { key, longId } = keyOf(id);
      return (await askOf(statements.create, key, ...columnsOf(stored), longId)).length > 0;
    },

    async update(id, stored, expectedVersion) {
      open();
      checkStored(stored);
      // No session's version: the server would refuse to read it.
      if (!Number.isSafeInteger(expectedVersion)) return false;
      const values = [...columnsOf(stored), String(expectedVersion)];
      if (announceChanges) values.push(announcement(CHANGED, id));
      return (await askOf(statements.update, keyOf(id).key, ...values)).length > 0;
    },

    async touch(id, expiresAt) {
      checkTime(expiresAt);
      return (await askOf(statements.touch, keyOf(id).key, String(expiresAt))).length > 0;
    },

    async delete(id) {
      const [row] = await askOf(statements.delete, keyOf(id).key, announcement(ENDED, id));
      return row?.[0] === "live";
    },

    subscribe(listener) {
      open();
      feed ??= postgresSubscription({
        channel: names.channel,
        connection: hearing,
        announce: (text) => run(statements.echo, [text]),
      });
      return feed.subscribe(listener);
    },

    async idsOfUser(userId) {
      const rows = await askOf(statements.idsOfUser, encodeText(userId));
      return rows.map(([id]) => decodeText(id ?? ""));
    },

    all: () => listed(),

    async deleteExpired(limit) {
      checkPositiveInteger("deleteExpired: limit", limit);
      let deleted = 0;
      for (;;) {
        const wanted = Math.min(limit - deleted, DELETED_AT_ONCE);
        const [row] = await ask(statements.deleteExpired, String(wanted));
        const count = Number(row?.[0]);
        deleted += count;
        if (count < wanted || deleted === limit) return deleted;
      }
    },

    async close() {
      closed = true;
      await feed?.close();
    },
  };
}

function columnsOf({ version, expiresAt, extendOnly, userId, payload }: SessionUpdate): (string | null)[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const ending = (extendOnly ? "+" : "") + String(expiresAt);
  return [String(version), ending, userId === undefined ? null : encodeText(userId), bytes.toString("base64")];
}

function announcement(kind: string, id: string): string | null {
  const encoded = encodeText(id);
  return encoded.length > LONGEST_ANNOUNCED ? null : kind + encoded;
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function missing(table: string, cause: unknown): Error {
  return new Error(
    `the table ${table} is missing: call migratePostgres(client), or openStore(url, { migrate: true }), once, with postgresStore's table option, ` +
      "when you deploy",
    { cause },
  );
}
