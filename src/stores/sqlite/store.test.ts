import { describe, expect, it } from "vitest";
import { type SqliteDatabase, sqliteStore, type SqliteStoreOptions } from "./store.ts";

const never: SqliteDatabase = {
  prepare() {
    throw new Error("no statement is needed to see that an option is wrong");
  },
  exec() {
    throw new Error("no statement is needed to see that an option is wrong");
  },
};

describe("sqliteStore", () => {
  it("accepts only an open database", () => {
    for (const wrong of [undefined, null, "sessions.db", {}]) {
      expect(() => sqliteStore(wrong as SqliteDatabase)).toThrow(
        new TypeError("sqliteStore takes an open database: new Database(path) or new DatabaseSync(path)"),
      );
    }
  });

  it("refuses options that it doesn't know or can't use", () => {
    const wrong: [unknown, RegExp][] = [
      [{ tabel: "x" }, /sqliteStore has no option "tabel"/],
      [{ clock: 5 }, /clock must be a function/],
      [{ announceChanges: "yes" }, /announceChanges must be true or false/],
      [{ busyTimeout: 0 }, /busyTimeout: 0 is not a duration/],
      [{ busyTimeout: "soon" }, /busyTimeout: soon is not a duration/],
    ];
    const tables = [
      "",
      'a"b',
      "a b",
      "1st",
      "sqlite_sessions",
      "SQLITE_x",
      "main.sessions",
      "é",
      "a\n",
      "x".repeat(101),
      5,
    ];
    for (const table of tables) wrong.push([{ table }, /table must be a name/]);
    for (const [options, message] of wrong) {
      expect(() => sqliteStore(never, options as SqliteStoreOptions)).toThrow(TypeError);
      expect(() => sqliteStore(never, options as SqliteStoreOptions)).toThrow(message);
    }
  });

  it("names the cause if it can't use the database", () => {
    const why = "no statement is needed to see that an option is wrong";
    expect(() => sqliteStore(never)).toThrow(`sqliteStore can't use the database: ${why}`);
  });
});
