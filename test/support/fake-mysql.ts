import wasm from "node-sqlite3-wasm";
import type { MysqlPool, MysqlValues } from "../../src/stores/mysql.ts";

// MySQL's dialect, as far as mysqlStore speaks it, on SQLite in this process: for where no server is. Real ones have the
// last word, in test/servers.

const TRANSLATIONS: readonly (readonly [RegExp, string])[] = [
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
    const translated = TRANSLATIONS.reduce((text, [from, to]) => text.replace(from, to), sql);
    if (translated.startsWith("SELECT")) {
      const bytes = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value) : value);
      return database.all(translated, values).map((row) => Object.values(row).map(bytes));
    }
    insertId = 0;
    const { changes } = database.run(translated, values);
    return { affectedRows: changes, insertId, serverStatus: 2 };
  }

  const connection = {
    execute(sql: string, values: MysqlValues, callback: (error: Error | null, result: unknown) => void) {
      setImmediate(() => {
        let result: unknown;
        try {
          result = answer(sql, values);
        } catch (error) {
          return callback(error as Error, undefined);
        }
        callback(null, result);
      });
    },
    release() {},
    destroy() {},
  };
  return {
    getConnection: (callback) => void setImmediate(() => callback(null, connection)),
    end: () => database.close(),
  };
}
