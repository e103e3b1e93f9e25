import { createHash } from "node:crypto";
import { type PostgresClient, postgresConnection } from "./client.ts";
import { checkOptions } from "../../checks.ts";

/** Which table. */
export interface PostgresSchemaOptions {
  /**
   * The table's name, or `schema.table`: ASCII letters, digits, `_` and `$`. Taken as it is, upper and lower case.
   * Default `"sojourn_sessions"`, in the first schema of the connection's `search_path`.
   */
  table?: string | undefined;
}

// A name has 63 bytes at most, and those of the indexes are the table's and a little more.
const LONGEST_NAME = 63;
const NAME = /^(?:([A-Za-z_][A-Za-z0-9_$]{0,62})\.)?([A-Za-z_][A-Za-z0-9_$]{0,49})$/;

/** The table's name, checked, in the forms that statements need. */
export interface TableNames {
  /** As it goes into a statement. */
  readonly quoted: string;
  readonly table: string;
  /** Of what is announced about this table's sessions: all processes name it alike. */
  readonly channel: string;
}

export function tableNames(maker: string, name: string | undefined = "sojourn_sessions"): TableNames {
  const [, schema, table] = (typeof name === "string" && NAME.exec(name)) || [];
  if (table === undefined) {
    throw new TypeError(
      `${maker}: table must be a name such as "sessions" or "app.sessions" (ASCII letters, digits, _ and $, ` +
        `50 at most), not ${JSON.stringify(name)}`,
    );
  }
  return {
    quoted: schema === undefined ? `"${table}"` : `"${schema}"."${table}"`,
    table,
    channel: name.length <= LONGEST_NAME ? name : `sojourn_${createHash("md5").update(name).digest("hex")}`,
  };
}

/**
 * The SQL that makes {@link postgresStore}'s table and indexes where they are missing, for those who keep migrations of
 * their own.
 *
 * @throws {TypeError} at an option it doesn't know or can't use.
 */
export function postgresSchema(options: PostgresSchemaOptions = {}): string {
  checkOptions("postgresSchema", options, { table: true });
  return schemaOf(tableNames("postgresSchema", options.table));
}

// The index on users is on their beginning: a user may be longer than an entry of an index.
function schemaOf({ quoted, table }: TableNames): string {
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
 * Makes {@link postgresStore}'s table and indexes where they are missing. It may run at every start, and in several
 * processes at once.
 *
 * @throws {TypeError} at an option it doesn't know or can't use.
 * @throws {Error} where another table has that name.
 */
export async function migratePostgres(client: PostgresClient, options: PostgresSchemaOptions = {}): Promise<void> {
  checkOptions("migratePostgres", options, { table: true });
  const names = tableNames("migratePostgres", options.table);
  const connection = postgresConnection("migratePostgres", client);
  // One message, and so one transaction: "if not exists" alone fails where two processes find nothing at once.
  await connection.script(`SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(${LOCK}, hashtext('${names.quoted}'));
${schemaOf(names)}`);
  try {
    await connection.script(
      `SELECT id, version, expires_at, user_id, long_id, payload FROM ${names.quoted} WHERE id = '' LIMIT 0`,
    );
  } catch (cause) {
    const advice = "give postgresStore and migratePostgres another name as their table option";
    throw new Error(`the table ${names.quoted} is not one of postgresStore's: ${advice}`, { cause });
  }
}

// Any number, to tell this lock from the application's own.
const LOCK = 1_397_705_295;
