import { afterAll, describe, expect, it } from "vitest";
import { sqliteStore, type SqliteStoreOptions } from "../../src/stores/sqlite/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { sqliteCases } from "../support/sqlite-cases.ts";
import { wasmSqlite } from "../support/sqlite-wasm.ts";

const kinds: Record<string, SqliteStoreOptions> = {
  "": {},
  ", announcing changes, in another table": { table: "Order", announceChanges: true },
};

for (const [kind, options] of Object.entries(kinds)) {
  describe(`sqliteStore on SQLite in WebAssembly${kind}`, () => {
    const databases: ReturnType<typeof wasmSqlite>[] = [];
    afterAll(() => databases.forEach((db) => db.close()));
    const cases = storeContract(
      ({ clock }) => {
        const db = wasmSqlite();
        databases.push(db);
        return [sqliteStore(db, { ...options, clock }), sqliteStore(db, { ...options, clock })];
      },
      { capabilities: ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] },
    );
    it.each(cases)("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });
}

describe("sqliteStore on SQLite in WebAssembly", () => {
  sqliteCases(wasmSqlite);
});
