import { expect, it } from "vitest";
import { type SqliteDatabase, sqliteStore } from "../../src/stores/sqlite/store.ts";
import { until } from "./throwaway.ts";

/** Tests of sqliteStore for every driver, beside the contract. `openDatabase` returns an empty database in memory. */
export function sqliteCases(openDatabase: () => SqliteDatabase & { close(): unknown }): void {
  it("treats any two different ids or user ids as different, also those with a lone surrogate", async () => {
    const db = openDatabase();
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
    // These bytes are the encoded form of another one.
    texts.push(Buffer.from("\ud800", "utf16le").toString("latin1"));
    for (const text of texts) {
      const stored = { payload: new Uint8Array(0), version: 1, expiresAt: Date.now() + 60_000, userId: text };
      expect(await store.create(text, stored)).toBe(true);
    }
    for (const text of texts) {
      expect((await store.read(text))?.userId).toBe(text);
      expect(await store.idsOfUser(text)).toEqual([text]);
    }
    const listed = [];
    for await (const id of store.all()) listed.push(id);
    expect(listed.toSorted()).toEqual(texts.toSorted());
    db.close();
  });

  it("lists each of a user's and of all sessions once over many pages, while others are created and deleted", async () => {
    const db = openDatabase();
    const store = sqliteStore(db);
    const ids = Array.from({ length: 1000 }, (_, n) => `kept-${n}`);
    const stored = { payload: new Uint8Array(10), version: 1, expiresAt: Date.now() + 60_000, userId: "ada" };
    for (const id of ids) {
      await store.create(id, stored);
      await store.create(`gone-${id}`, stored);
    }
    const idsOfAda = await store.idsOfUser("ada");
    expect(idsOfAda.length).toBe(2000);
    for (const id of ids.slice(0, 300)) await store.delete(`gone-${id}`);
    const listed: string[] = [];
    for await (const id of store.all()) {
      listed.push(id);
      if (id.startsWith("gone-")) await store.delete(id);
      await store.create(`new-${id}`, { ...stored, expiresAt: Date.now() + 1 });
    }
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed.filter((id) => id.startsWith("kept-")).toSorted()).toEqual(ids.toSorted());
    expect((await store.idsOfUser("ada")).filter((id) => id.startsWith("gone"))).toEqual([]);
    db.close();
  });

  it("does not notify of a change when a session replaces an expired one", async () => {
    const db = openDatabase();
    let now = 1000;
    const store = sqliteStore(db, { announceChanges: true, clock: () => now });
    const notified: string[] = [];
    store.subscribe({ changed: (id) => void notified.push(id) });
    const stored = { payload: new Uint8Array(1), version: 1, expiresAt: 2000 };
    await store.create("again", stored);
    now = 2000;
    expect(await store.create("again", { ...stored, expiresAt: 3000 })).toBe(true);
    await store.create("other", { ...stored, expiresAt: 3000 });
    await store.update("other", { ...stored, version: 2 }, 1);
    await until("the update is notified", () => notified.includes("other"));
    expect(notified).toEqual(["other"]);
    await store.close();
    db.close();
  });

  it("does not notify after it is closed, and leaves the database open", async () => {
    const db = openDatabase();
    const [closed, open] = [sqliteStore(db), sqliteStore(db)];
    const notified: string[] = [];
    closed.subscribe({ ended: () => void notified.push("closed") });
    open.subscribe({ ended: () => void notified.push("open") });
    await closed.close();
    await open.create("id", { payload: new Uint8Array(1), version: 1, expiresAt: Date.now() + 60_000 });
    await open.delete("id");
    await until("the other store is notified", () => notified.includes("open"));
    expect(notified).toEqual(["open"]);
    await open.close();
    db.close();
  });
}
