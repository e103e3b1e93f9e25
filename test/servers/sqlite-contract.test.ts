import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type BetterSqlite3 from "better-sqlite3";
import { type SqliteDatabase, sqliteStore, type SqliteStoreOptions } from "../../src/stores/sqlite.ts";
import { storeContract } from "../../src/testing/index.ts";
import { BETTER_SQLITE3, betterSqlite3, BUN, contractIn, NODE22 } from "../support/sqlite.ts";
import { removeFolder, throwawayFolder, until } from "../support/throwaway.ts";

const capabilities = ["idsOf", "all", "deleteExpired", "subscribe", "close"] as const;

const kinds: Record<string, SqliteStoreOptions> = {
  "": {},
  ", announcing changes, in another table": { table: "Order", announceChanges: true },
};

const runtimes = [
  { driver: "node:sqlite", command: NODE22 },
  { driver: "bun:sqlite", command: BUN },
];

let folder: string;
beforeAll(() => (folder = throwawayFolder()));
afterAll(() => removeFolder(folder));

for (const [kind, options] of Object.entries(kinds)) {
  describe.skipIf(!BETTER_SQLITE3)(`sqliteStore on better-sqlite3${kind}`, () => {
    const databases: BetterSqlite3.Database[] = [];
    const make = ({ clock }: { clock: () => number }) => {
      const db = betterSqlite3(`${folder}/better${kind.length}-${databases.length}.db`);
      databases.push(db);
      // Nobody cuts the power here.
      db.pragma("synchronous = OFF");
      // Whatever else the application wants of its connection.
      if (kind) db.defaultSafeIntegers();
      return sqliteStore(db, { ...options, clock });
    };
    it.each(storeContract(make, { capabilities }))("$name", async ({ run }) => {
      await expect(run()).resolves.toBeUndefined();
    });
    afterAll(() => databases.forEach((db) => db.close()));
  });

  for (const { driver, command } of runtimes) {
    describe.skipIf(!command)(`sqliteStore on ${driver}${kind}`, () => {
      let said = new Map<unknown, unknown>();
      beforeAll(async () => {
        const lines = await contractIn(command!, driver, `${folder}/${driver}${kind.length}`, options);
        said = new Map(lines.map(([name, wrong]) => [name, wrong]));
      });
      it.each(storeContract(neverMade, { capabilities }))("$name", ({ name }) => {
        expect(said.has(name)).toBe(true);
        expect(said.get(name)).toBeNull();
      });
    });
  }
}

describe.skipIf(!BETTER_SQLITE3)("sqliteStore", () => {
  it("keeps any id and any owner apart, to the last half of a character", async () => {
    const db = betterSqlite3(":memory:");
    const store = sqliteStore(db);
    const texts = [
      "",
      "a",
      "A",
      "a ",
      "a\0",
      "a\0b",
      "\0",
      "\ud800",
      "\udbff",
      "\ufffd",
      "x\udc00",
      "x".repeat(100_000),
    ];
    // The bytes that another one is kept as.
    texts.push(Buffer.from("\ud800", "utf16le").toString("latin1"));
    for (const text of texts) {
      const stored = { payload: new Uint8Array(0), version: 1, expiresAt: Date.now() + 60_000, owner: text };
      expect(await store.create(text, stored)).toBe(true);
    }
    for (const text of texts) {
      expect((await store.read(text))?.owner).toBe(text);
      expect(await store.idsOf(text)).toEqual([text]);
    }
    const listed = [];
    for await (const id of store.all()) listed.push(id);
    expect(listed.toSorted()).toEqual(texts.toSorted());
    db.close();
  });

  it("lists owners' and all sessions over many pages, each once, while others come and go", async () => {
    const db = betterSqlite3(":memory:");
    const store = sqliteStore(db);
    const ids = Array.from({ length: 1000 }, (_, n) => `kept-${n}`);
    const stored = { payload: new Uint8Array(10), version: 1, expiresAt: Date.now() + 60_000, owner: "ada" };
    for (const id of ids) {
      await store.create(id, stored);
      await store.create(`gone-${id}`, stored);
    }
    const owned = await store.idsOf("ada");
    expect(owned.length).toBe(2000);
    for (const id of ids.slice(0, 300)) await store.delete(`gone-${id}`);
    const listed: string[] = [];
    for await (const id of store.all()) {
      listed.push(id);
      if (id.startsWith("gone-")) await store.delete(id);
      await store.create(`new-${id}`, { ...stored, expiresAt: Date.now() + 1 });
    }
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed.filter((id) => id.startsWith("kept-")).toSorted()).toEqual(ids.toSorted());
    expect((await store.idsOf("ada")).filter((id) => id.startsWith("gone"))).toEqual([]);
    db.close();
  });

  it("tells of no change where a session takes the place of an expired one", async () => {
    const db = betterSqlite3(":memory:");
    let now = 1000;
    const store = sqliteStore(db, { announceChanges: true, clock: () => now });
    const heard: string[] = [];
    store.subscribe({ changed: (id) => void heard.push(id) });
    const stored = { payload: new Uint8Array(1), version: 1, expiresAt: 2000 };
    await store.create("again", stored);
    now = 2000;
    expect(await store.create("again", { ...stored, expiresAt: 3000 })).toBe(true);
    await store.create("other", { ...stored, expiresAt: 3000 });
    await store.update("other", { ...stored, version: 2 }, 1);
    await until("it has heard of the update", () => heard.includes("other"));
    expect(heard).toEqual(["other"]);
    await store.close();
    db.close();
  });

  it("tells nothing more once it is closed, and leaves the database to others", async () => {
    const db = betterSqlite3(":memory:");
    const [closed, open] = [sqliteStore(db), sqliteStore(db)];
    const heard: string[] = [];
    closed.subscribe({ ended: () => void heard.push("closed") });
    open.subscribe({ ended: () => void heard.push("open") });
    await closed.close();
    await open.create("id", { payload: new Uint8Array(1), version: 1, expiresAt: Date.now() + 60_000 });
    await open.delete("id");
    await until("the other has heard", () => heard.includes("open"));
    expect(heard).toEqual(["open"]);
    await open.close();
    db.close();
  });

  it("takes the database of better-sqlite3 as it is typed", () => {
    const typed = (db: BetterSqlite3.Database): SqliteDatabase => db;
    expect(typed).toBeTypeOf("function");
  });
});

function neverMade(): never {
  throw new Error("only the names of the cases are asked for");
}
