import wasm from "node-sqlite3-wasm";
import type { MysqlPool, MysqlValues } from "../../src/stores/mysql/store.ts";

// Runs the statements of mysqlStore on SQLite in this process, translated, for tests without a server. The tests in
// test/integration use real servers.

const TRANSLATIONS: readonly (readonly [RegExp, string])[] = [
  [/@@innodb_lock_wait_timeout/g, "50"],
  [/ FOR UPDATE$/, ""],
  [/^\((SELECT .*)\) UNION/s, "SELECT * FROM ($1) UNION"],
  [/ON DUPLICATE KEY UPDATE/, "ON CONFLICT (id) DO UPDATE SET"],
  [/VALUES\((\w+)\)/g, "excluded.$1"],
  [/@@autocommit \/\*.*?\*\//g, "1"],
  [/_binary'(\d)'/g, "CAST('$1' AS BLOB)"],
  [/AS SIGNED/g, "AS INTEGER"],
  [/\bIF\(/g, "iif("],
  [/GREATEST\(/g, "max("],
  [/,\s*KEY \w+ \(\w+(\(\d+\))?\)/g, ""],
  [/\) ENGINE = InnoDB$/, ")"],
];

/** A mysql2 pool that calls back in the next iteration of the event loop. `end` closes the database. */
export function fakeMysql(): MysqlPool & { end(): void } {
  const database = new wasm.Database();
  let insertId = 0;
  database.function("LAST_INSERT_ID", (value) => (insertId = Number(value)));

  function runStatement(sql: string, values: MysqlValues): unknown {
    // There is one connection, so no statement waits for another and no transaction is rolled back.
    if (sql === "START TRANSACTION" || sql === "COMMIT") return { serverStatus: 2 };
    const translated = TRANSLATIONS.reduce((text, [from, to]) => text.replace(from, to), sql);
    if (translated.startsWith("SELECT")) {
      const bytes = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value) : value);
      return database.all(translated, values).map((row) => Object.values(row).map(bytes));
    }
    insertId = 0;
    const { changes } = database.run(translated, values);
    return { affectedRows: changes, insertId, serverStatus: 2 };
  }

  type ResultCallback = (error: Error | null, result: unknown) => void;
  function execute(sql: string, values: MysqlValues, callback: ResultCallback): void {
    setImmediate(() => {
      let result: unknown;
      try {
        result = runStatement(sql, values);
      } catch (error) {
        return callback(error as Error, undefined);
      }
      callback(null, result);
    });
  }
  const connection = {
    execute,
    query: (sql: string, callback: ResultCallback) => execute(sql, [], callback),
    release() {},
    destroy() {},
  };
  return {
    getConnection: (callback) => void setImmediate(() => callback(null, connection)),
    end: () => database.close(),
  };
}
