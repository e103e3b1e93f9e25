import wasm from "node-sqlite3-wasm";
import type { MysqlPool, MysqlValues } from "../../src/stores/mysql/store.ts";

// MySQL's dialect, as far as mysqlStore speaks it, on SQLite in this process: for where no server is. Real ones have the
// last word, in test/integration.

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

/** A pool of mysql2 that answers at the next turn of the event loop; `end` lets go of the database. */
export function fakeMysql(): MysqlPool & { end(): void } {
  const database = new wasm.Database();
  let insertId = 0;
  database.function("LAST_INSERT_ID", (value) => (insertId = Number(value)));

  function answer(sql: string, values: MysqlValues): unknown {
    // Each statement stands alone: there is nobody to wait for, and nothing to take back.
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

  type Answered = (error: Error | null, result: unknown) => void;
  function execute(sql: string, values: MysqlValues, answered: Answered): void {
    setImmediate(() => {
      let result: unknown;
      try {
        result = answer(sql, values);
      } catch (error) {
        return answered(error as Error, undefined);
      }
      answered(null, result);
    });
  }
  const connection = {
    execute,
    query: (sql: string, answered: Answered) => execute(sql, [], answered),
    release() {},
    destroy() {},
  };
  return {
    getConnection: (callback) => void setImmediate(() => callback(null, connection)),
    end: () => database.close(),
  };
}
