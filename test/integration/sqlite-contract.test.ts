import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type BetterSqlite3 from "better-sqlite3";
import { type SqliteDatabase, sqliteStore, type SqliteStoreOptions } from "../../src/stores/sqlite/store.ts";
import { storeContract } from "../../src/testing/index.ts";
import { BETTER_SQLITE3, betterSqlite3 } from "../support/sqlite.ts";
import { sqliteCases } from "../support/sqlite-cases.ts";
import { removeFolder, throwawayFolder } from "../support/throwaway.ts";

const capabilities = ["idsOfUser", "all", "deleteExpired", "subscribe", "close"] as const;

const kinds: Record<string, SqliteStoreOptions> = {
  "": {},
  ", announcing changes, in another table": { table: "Order", announceChanges: true },
};

let folder: string;
beforeAll(() => (folder = throwawayFolder()));
afterAll(() => removeFolder(folder));

for (const [kind, options] of Object.entries(kinds)) {
  describe.skipIf(!BETTER_SQLITE3)(`sqliteStore on better-sqlite3${kind}`, () => {
    const databases: BetterSqlite3.Database[] = [];
    const make = ({ clock }: { clock: () => number }) => {
      const file = `${folder}/better${kind.length}-${databases.length}.db`;
      const instance = () => {
        const db = betterSqlite3(file);
        databases.push(db);
        // The tests do not cut the power, so commits need not wait for the disk.
        db.pragma("synchronous = OFF");
        // The application may have set this option of the connection.
        if (kind) db.defaultSafeIntegers();
        return sqliteStore(db, { ...options, clock });
      };
      return [instance(), instance()] as const;
    };
    it.each(storeContract(make, { capabilities }))("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
    afterAll(() => databases.forEach((db) => db.close()));
  });
}

describe.skipIf(!BETTER_SQLITE3)("sqliteStore on better-sqlite3", () => {
  sqliteCases(() => betterSqlite3(":memory:"));

  it("accepts the type of a better-sqlite3 database", () => {
    const typed = (db: BetterSqlite3.Database): SqliteDatabase => db;
    expect(typed).toBeTypeOf("function");
  });
});
