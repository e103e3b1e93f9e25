import { expect, it } from "vitest";
import { type SqliteDatabase, sqliteStore } from "../../src/stores/sqlite/store.ts";
import { until } from "./throwaway.ts";

/** What sqliteStore does with every driver, beside the contract. `openDatabase` gives an empty database in memory. */
export function sqliteCases(openDatabase: () => SqliteDatabase & { close(): unknown }): void {
  it("keeps any id and any user apart, to the last half of a character", async () => {
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
    // The bytes that another one is kept as.
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

  it("lists users' and all sessions over many pages, each once, while others come and go", async () => {
    const db = openDatabase();
    const store = sqliteStore(db);
    const ids = Array.from({ length: 1000 }, (_, n) => `kept-${n}`);
    const stored = { payload: new Uint8Array(10), version: 1, expiresAt: Date.now() + 60_000, userId: "ada" };
    for (const id of ids) {
      await store.create(id, stored);
      await store.create(`gone-${id}`, stored);
    }
    const owned = await store.idsOfUser("ada");
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
    expect((await store.idsOfUser("ada")).filter((id) => id.startsWith("gone"))).toEqual([]);
    db.close();
  });

  it("tells of no change where a session takes the place of an expired one", async () => {
    const db = openDatabase();
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
    const db = openDatabase();
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
}
