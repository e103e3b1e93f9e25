import { createHash } from "node:crypto";
import { type PostgresClient, postgresDriver } from "./client.ts";
import { checkOptions } from "../../checks.ts";

/** Options of {@link postgresSchema} and {@link migratePostgres}. */
export interface PostgresSchemaOptions {
  /**
   * The table's name, or `schema.table`: ASCII letters, digits, `_` and `$`. Upper and lower case differ.
   * Default `"sojourn_sessions"`, in the first schema of the connection's `search_path`.
   */
  table?: string | undefined;
}

// A name can have 63 bytes. The names of the indexes are the table's with an ending.
const MAX_NAME_LENGTH = 63;
const TABLE_NAME = /^(?:([A-Za-z_][A-Za-z0-9_$]{0,62})\.)?([A-Za-z_][A-Za-z0-9_$]{0,49})$/;

/** The table's name, checked, in the forms that statements need. */
export interface TableNames {
  /** With its schema, quoted for a statement. */
  readonly quoted: string;
  readonly table: string;
  /** The channel of notifications about this table's sessions, the same in all processes. */
  readonly channel: string;
}

export function parseTableName(caller: string, name: string | undefined = "sojourn_sessions"): TableNames {
  const [, schema, table] = (typeof name === "string" && TABLE_NAME.exec(name)) || [];
  if (table === undefined) {
    throw new TypeError(
      `${caller}: table must be a name such as "sessions" or "app.sessions" (ASCII letters, digits, _ and $, ` +
        `50 at most), not ${JSON.stringify(name)}`,
    );
  }
  return {
    quoted: schema === undefined ? `"${table}"` : `"${schema}"."${table}"`,
    table,
    channel: name.length <= MAX_NAME_LENGTH ? name : `sojourn_${createHash("md5").update(name).digest("hex")}`,
  };
}

/**
 * Returns the SQL that creates the table and indexes of {@link postgresStore} if they are missing, for your own migrations.
 *
 * @throws TypeError for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * await writeFile("migrations/001-sessions.sql", postgresSchema({ table: "app.sessions" }));
 * ```
 */
export function postgresSchema(options: PostgresSchemaOptions = {}): string {
  checkOptions("postgresSchema", options, { table: true });
  return createStatements(parseTableName("postgresSchema", options.table));
}

// The index on user ids contains only their first 255 characters: an entry of an index has a limited length.
function createStatements({ quoted, table }: TableNames): string {
  return `CREATE TABLE IF NOT EXISTS ${quoted} (
  id text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  expires_at bigint NOT NULL,
  user_id text COLLATE "C",
  long_id text COLLATE "C",
  payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS "${table}_expires_at" ON ${quoted} (expires_at);
CREATE INDEX IF NOT EXISTS "${table}_user" ON ${quoted} (left(user_id, 255)) WHERE user_id IS NOT NULL;
`;
}

/**
 * Creates the table and indexes of {@link postgresStore} if they are missing. It may run at every start, and in several
 * processes at the same time.
 *
 * @throws TypeError for an option that it does not know or can't use.
 * @throws Error if a table of that name exists and has other columns. The database's own errors are passed on.
 *
 * @example
 * ```ts
 * await migratePostgres(pool);
 * ```
 */
export async function migratePostgres(client: PostgresClient, options: PostgresSchemaOptions = {}): Promise<void> {
  checkOptions("migratePostgres", options, { table: true });
  const names = parseTableName("migratePostgres", options.table);
  const driver = postgresDriver("migratePostgres", client);
  // One script is one transaction, and so holds the lock: without it, "IF NOT EXISTS" fails in one of two processes that
  // create the table at the same time.
  await driver.runScript(`SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(${LOCK_NUMBER}, hashtext('${names.quoted}'));
${createStatements(names)}`);
  try {
    await driver.runScript(
      `SELECT id, version, expires_at, user_id, long_id, payload FROM ${names.quoted} WHERE id = '' LIMIT 0`,
    );
  } catch (cause) {
    const advice = "give postgresStore and migratePostgres another name as their table option";
    throw new Error(`the table ${names.quoted} is not one of postgresStore's: ${advice}`, { cause });
  }
}

// An arbitrary number that distinguishes this lock from the application's own.
const LOCK_NUMBER = 1_397_705_295;
