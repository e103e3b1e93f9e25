import { createStatementRunner, type MysqlPool, type MysqlPromisePool, unwrapPool } from "./statement-runner.ts";
import { statementsFor } from "./statements.ts";
import { MAX_KEY_BYTES } from "./encoding.ts";
import { checkOptions } from "../../checks.ts";

/** Options of {@link mysqlSchema} and {@link migrateMysql}. */
export interface MysqlSchemaOptions {
  /**
   * The name of the sessions' table, or `database.table`: ASCII letters, digits, `_` and `$`. Default `"sojourn_sessions"`,
   * in the database that the pool connects to.
   */
  table?: string | undefined;
}

const TABLE_NAME = /^[A-Za-z_][A-Za-z0-9_$]{0,63}(\.[A-Za-z_][A-Za-z0-9_$]{0,63})?$/;
const MIGRATION_TIMEOUT_MS = 60_000;

/** Returns the quoted name of the table. */
export function quoteTable(maker: string, table: string | undefined = "sojourn_sessions"): string {
  if (typeof table !== "string" || !TABLE_NAME.test(table)) {
    throw new TypeError(
      `${maker}: table must be a name such as "sessions" or "app.sessions" (ASCII letters, digits, _ and $), ` +
        `not ${JSON.stringify(table)}`,
    );
  }
  return table
    .split(".")
    .map((name) => `\`${name}\``)
    .join(".");
}

/**
 * Returns the SQL statement that makes the table of {@link mysqlStore} if it is missing. Use it in your own migrations.
 *
 * @throws {TypeError} for an option that it does not know or can't use.
 *
 * @example
 * ```ts
 * await pool.query(mysqlSchema({ table: "app_sessions" }));
 * ```
 */
export function mysqlSchema(options: MysqlSchemaOptions = {}): string {
  checkOptions("mysqlSchema", options, { table: true });
  // LONGBLOB can store as many bytes as one packet. Without its strict mode, the server truncates a longer value silently.
  return `CREATE TABLE IF NOT EXISTS ${quoteTable("mysqlSchema", options.table)} (
  id VARBINARY(${MAX_KEY_BYTES}) NOT NULL,
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
 * Makes the table of {@link mysqlStore} if it is missing. It may run at every start, and in several processes at once.
 *
 * @param pool - a pool of mysql2, whose user may create tables.
 * @throws {TypeError} for anything else, and for an option that it does not know or can't use.
 * @throws {Error} if another table has that name, and the server's error if it refuses the statement.
 *
 * @example
 * ```ts
 * await migrateMysql(mysql.createPool(process.env.MYSQL_URL!));
 * ```
 */
export async function migrateMysql(
  pool: MysqlPool | MysqlPromisePool,
  options: MysqlSchemaOptions = {},
): Promise<void> {
  checkOptions("migrateMysql", options, { table: true });
  const table = quoteTable("migrateMysql", options.table);
  const runner = createStatementRunner(unwrapPool("migrateMysql", pool), MIGRATION_TIMEOUT_MS, table);
  await runner.write(mysqlSchema(options), []);
  try {
    await runner.select(statementsFor(table, false, MIGRATION_TIMEOUT_MS).checkColumns, []);
  } catch (cause) {
    const advice = "give mysqlStore and migrateMysql another name as their table option";
    throw new Error(`the table ${table} is not one of mysqlStore's: ${advice}`, { cause });
  }
}
