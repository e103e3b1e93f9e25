import { askThrough, callbackPool, type MysqlPool, type MysqlPromisePool } from "./pool.ts";
import { statementsFor } from "./statements.ts";
import { LONGEST_KEY } from "./text.ts";
import { checkOptions } from "../../checks.ts";

/** Which table. */
export interface MysqlSchemaOptions {
  /**
   * The table's name, or `database.table`: ASCII letters, digits, `_` and `$`. Default `"sojourn_sessions"`, in the
   * database that the pool connects to.
   */
  table?: string | undefined;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_$]{0,63}(\.[A-Za-z_][A-Za-z0-9_$]{0,63})?$/;
const MIGRATION_TIMEOUT = 60_000;

/** The table's name as it goes into a statement. */
export function quotedTable(maker: string, table: string | undefined = "sojourn_sessions"): string {
  if (typeof table !== "string" || !NAME.test(table)) {
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
 * The statement that makes {@link mysqlStore}'s table where it is missing, for those who keep migrations of their own.
 *
 * @throws {TypeError} at an option it doesn't know or can't use.
 */
export function mysqlSchema(options: MysqlSchemaOptions = {}): string {
  checkOptions("mysqlSchema", options, { table: true });
  // Types that hold whatever one packet can carry: without its strict mode, the server silently cuts what is too long.
  return `CREATE TABLE IF NOT EXISTS ${quotedTable("mysqlSchema", options.table)} (
  id VARBINARY(${LONGEST_KEY}) NOT NULL,
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
 * Makes {@link mysqlStore}'s table where it is missing. It may run at every start, and in several processes at once.
 *
 * @throws {TypeError} at an option it doesn't know or can't use.
 * @throws {Error} where another table has that name.
 */
export async function migrateMysql(
  pool: MysqlPool | MysqlPromisePool,
  options: MysqlSchemaOptions = {},
): Promise<void> {
  checkOptions("migrateMysql", options, { table: true });
  const table = quotedTable("migrateMysql", options.table);
  const asking = askThrough(callbackPool("migrateMysql", pool), MIGRATION_TIMEOUT, table);
  await asking.write(mysqlSchema(options), []);
  try {
    await asking.rows(statementsFor(table, false, MIGRATION_TIMEOUT).columns, []);
  } catch (cause) {
    const advice = "give mysqlStore and migrateMysql another name as their table option";
    throw new Error(`the table ${table} is not one of mysqlStore's: ${advice}`, { cause });
  }
}
