import wasm from "node-sqlite3-wasm";
import type { SqliteDatabase } from "../../src/stores/sqlite/store.ts";

/** Opens an SQLite database in WebAssembly. It runs on every Node.js, in memory, for one process. */
export function wasmSqlite(): SqliteDatabase & { close(): void } {
  const database = new wasm.Database();
  return {
    get inTransaction() {
      return database.inTransaction;
    },
    exec: (sql) => database.exec(sql),
    prepare(sql) {
      const statement = database.prepare(sql);
      return {
        run: (...values) => statement.run(values),
        get: (...values) => statement.get(values) ?? undefined,
        all: (...values) => statement.all(values),
      };
    },
    close: () => database.close(),
  };
}
