import { statementRunner, callbackPool, type MysqlPool, type MysqlPromisePool } from "./pool.ts";
import { statementsFor } from "./statements.ts";
import { MAX_KEY_LENGTH } from "./text.ts";
import { checkOptions } from "../../checks.ts";

/** Options of {@link mysqlSchema} and {@link migrateMysql}. */
export interface MysqlSchemaOptions {
  /**
   * The table's name, or `database.table`: ASCII letters, digits, `_` and `$`. Default `"sojourn_sessions"`, in the
   * database that the pool connects to.
   */
  table?: string | undefined;
}

const TABLE_NAME = /^[A-Za-z_][A-Za-z0-9_$]{0,63}(\.[A-Za-z_][A-Za-z0-9_$]{0,63})?$/;
const MIGRATION_TIMEOUT_MS = 60_000;

/** Checks the table's name and quotes it for a statement. */
export function quoteTableName(caller: string, table: string | undefined = "sojourn_sessions"): string {
  if (typeof table !== "string" || !TABLE_NAME.test(table)) {
    throw new TypeError(
      `${caller}: table must be a name such as "sessions" or "app.sessions" (ASCII letters, digits, _ and $), ` +
        `not ${JSON.stringify(table)}`,
    );
  }
  return table
    .split(".")
    .map((name) => `\`${name}\``)
    .join(".");
}

/**
 * Returns the SQL that creates the table and indexes of {@link mysqlStore} if they are missing, for your own migrations.
 *
 * @throws TypeError for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * await writeFile("migrations/001-sessions.sql", mysqlSchema({ table: "app.sessions" }));
 * ```
 */
export function mysqlSchema(options: MysqlSchemaOptions = {}): string {
  checkOptions("mysqlSchema", options, { table: true });
  // The types can hold anything that fits into one packet. Without strict mode, the server silently cuts longer values.
  return `CREATE TABLE IF NOT EXISTS ${quoteTableName("mysqlSchema", options.table)} (
  id VARBINARY(${MAX_KEY_LENGTH}) NOT NULL,
  long_id LONGBLOB NULL,
  payload LONGBLOB NOT NULL,
  version BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  user_id LONGBLOB NULL,
  PRIMARY KEY (id),
  KEY expires_at (expires_at),
  KEY user_id (user_id(255))
) ENGINE = InnoDB`;
}

/**
 * Creates the table and indexes of {@link mysqlStore} if they are missing. It may run at every start, and in several
 * processes at the same time. It gives up after 60 seconds.
 *
 * @throws TypeError for an option that it does not know or can't use.
 * @throws Error if a table of that name exists and has other columns. The database's own errors are passed on.
 *
 * @example
 * ```ts
 * await migrateMysql(pool);
 * ```
 */
export async function migrateMysql(
  pool: MysqlPool | MysqlPromisePool,
  options: MysqlSchemaOptions = {},
): Promise<void> {
  checkOptions("migrateMysql", options, { table: true });
  const table = quoteTableName("migrateMysql", options.table);
  const runner = statementRunner(callbackPool("migrateMysql", pool), MIGRATION_TIMEOUT_MS, table);
  await runner.write(mysqlSchema(options), []);
  try {
    await runner.rows(statementsFor(table, false, MIGRATION_TIMEOUT_MS).columns, []);
  } catch (cause) {
    const advice = "give mysqlStore and migrateMysql another name as their table option";
    throw new Error(`the table ${table} is not one of mysqlStore's: ${advice}`, { cause });
  }
}
