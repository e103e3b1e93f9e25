import { chmodSync, closeSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type BetterSqlite3 from "better-sqlite3";
import { type SqliteStore, sqliteStore } from "../../src/stores/sqlite/store.ts";
import { BETTER_SQLITE3, betterSqlite3, killWorkers, startWorkers } from "../support/sqlite.ts";
import { removeFolder, throwawayFolder, until } from "../support/throwaway.ts";

/** The interval of the store's polls. */
const POLL_MS = 100;

let folder: string;
let count = 0;
let path: string;
let db: BetterSqlite3.Database;

beforeAll(() => (folder = throwawayFolder()));
afterAll(() => removeFolder(folder));
beforeEach(() => {
  path = `${folder}/${(count += 1)}.db`;
  db = betterSqlite3(path);
});
afterEach(() => {
  vi.useRealTimers();
  killWorkers();
  db.close();
});

const session = (given: { version?: number; userId?: string; size?: number } = {}) => ({
  payload: new Uint8Array(given.size ?? 3),
  version: given.version ?? 1,
  expiresAt: Date.now() + 3_600_000,
  userId: given.userId,
});

/** Calls every operation. Returns "done" or the error's code or message for each. */
async function callAll(store: SqliteStore): Promise<Record<string, unknown>> {
  const calls = {
    read: () => store.read("kept"),
    create: () => store.create("another", session()),
    update: () => store.update("kept", session({ version: 2 }), 1),
    touch: () => store.touch("kept", Date.now() + 7_200_000),
    delete: () => store.delete("kept"),
    idsOfUser: () => store.idsOfUser("ada"),
    all: () => store.all()[Symbol.asyncIterator]().next(),
    deleteExpired: () => store.deleteExpired(1),
  };
  const found = Object.entries(calls).map(async ([name, call]) => [
    name,
    await call().then(
      () => "done",
      (error: unknown) => (error as { code?: string; message: string }).code ?? (error as Error).message,
    ),
  ]);
  return Object.fromEntries(await Promise.all(found)) as Record<string, unknown>;
}

const allOperations = (outcome: unknown, reads: unknown = outcome) => ({
  read: reads,
  create: outcome,
  update: outcome,
  touch: outcome,
  delete: outcome,
  idsOfUser: reads,
  all: reads,
  deleteExpired: outcome,
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore, whose database another process has locked", () => {
  it("reads while it is locked, writes as soon as it is free, and does not block the event loop", async () => {
    const store = sqliteStore(db, { busyTimeout: "60s" });
    await store.create("kept", session());
    const [other] = await startWorkers(path, [["lock", "BEGIN EXCLUSIVE"]]);
    await other!.waitFor("locked");
    let iterations = 0;
    const ticking = setInterval(() => (iterations += 1), 1);
    let isDone = false;
    const writing = callAll(store).finally(() => (isDone = true));
    // If the store were waiting inside SQLite, the interval would not run.
    await until("the event loop runs", () => iterations > 20);
    clearInterval(ticking);
    expect((await store.read("kept"))?.version).toBe(1);
    expect(isDone).toBe(false);
    other!.resume();
    await other!.waitFor("unlocked");
    expect(await writing).toEqual(allOperations("done"));
    expect(await store.read("kept")).toBeUndefined();
  });

  it("rejects after the busy timeout with SQLite's own error, without effect, and recovers", async () => {
    const store = sqliteStore(db, { busyTimeout: "0.1s" });
    await store.create("kept", session());
    const [other] = await startWorkers(path, [["lock", "BEGIN IMMEDIATE"]]);
    await other!.waitFor("locked");
    expect(await callAll(store)).toEqual(allOperations("SQLITE_BUSY", "done"));
    expect(await callAll(store)).toEqual(allOperations("SQLITE_BUSY", "done"));
    other!.resume();
    await other!.waitFor("unlocked");
    expect(await store.update("kept", session({ version: 2 }), 1)).toBe(true);
    expect(await store.read("another")).toBeUndefined();
  });

  it("does not write to a session that expires while the write waits for the database", async () => {
    let time = Date.now();
    const store = sqliteStore(db, { busyTimeout: "60s", clock: () => time });
    await store.create("kept", { ...session(), expiresAt: time + 1000 });
    const [other] = await startWorkers(path, [["lock", "BEGIN IMMEDIATE"]]);
    await other!.waitFor("locked");
    const late = [
      store.update("kept", session({ version: 2 }), 1),
      store.touch("kept", time + 3_600_000),
      store.delete("kept"),
    ];
    time += 1000;
    other!.resume();
    await other!.waitFor("unlocked");
    expect(await Promise.all(late)).toEqual([false, false, false]);
    expect(await store.read("kept")).toBeUndefined();
  });

  it("throws after the busy timeout if its tables could not be made", async () => {
    const [other] = await startWorkers(path, [["lock", "BEGIN EXCLUSIVE"]]);
    await other!.waitFor("locked");
    expect(() => sqliteStore(db, { busyTimeout: "0.05s", table: "elsewhere" })).toThrow(
      /sqliteStore can't use the database: database is locked/,
    );
    // If the tables exist, nothing has to wait.
    expect((await sqliteStore(db, { busyTimeout: "0.05s" }).read("none")) === undefined).toBe(true);
  });

  it("does not change the connection's own busy timeout", async () => {
    db.pragma("busy_timeout = 1234");
    const store = sqliteStore(db, { busyTimeout: "0.05s" });
    await store.create("kept", session());
    expect(db.pragma("busy_timeout", { simple: true })).toBe(1234);
    const [other] = await startWorkers(path, [["lock", "BEGIN IMMEDIATE"]]);
    await other!.waitFor("locked");
    await expect(store.delete("kept")).rejects.toThrow(/locked/);
    expect(db.pragma("busy_timeout", { simple: true })).toBe(1234);
  });

  it("rejects waiting operations when it is closed, and leaves the database open", async () => {
    const store = sqliteStore(db);
    const [other] = await startWorkers(path, [["lock", "BEGIN IMMEDIATE"]]);
    await other!.waitFor("locked");
    const writing = store.create("kept", session());
    await Promise.all([expect(writing).rejects.toThrow(/the SQLite store is closed/), store.close()]);
    other!.resume();
    await other!.waitFor("unlocked");
    expect(db.prepare("SELECT count(*) FROM sojourn_sessions").pluck().get()).toBe(0);
  });
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore on a connection with a transaction of the application", () => {
  it("waits until the transaction has ended, so that no acknowledged write is rolled back and no stale session is read", async () => {
    const store = sqliteStore(db);
    await store.create("kept", session());
    db.exec("BEGIN; UPDATE sojourn_sessions SET version = 9");
    const reading = store.read("kept");
    const writing = store.update("kept", session({ version: 2 }), 1);
    expect(await Promise.race([reading, writing, delay(50)])).toBeUndefined();
    db.exec("ROLLBACK");
    expect(await writing).toBe(true);
    // In the transaction the version was 9.
    expect([1, 2]).toContain((await reading)?.version);
    expect((await store.read("kept"))?.version).toBe(2);
  });

  it("stores the payload of the call, even if the caller changes it while the write waits", async () => {
    const store = sqliteStore(db);
    db.exec("BEGIN");
    const stored = session();
    const writing = store.create("kept", stored);
    stored.payload.fill(9);
    db.exec("ROLLBACK");
    expect(await writing).toBe(true);
    expect([...(await store.read("kept"))!.payload]).toEqual([0, 0, 0]);
  });

  it("rejects after the busy timeout, naming the remedy", async () => {
    const store = sqliteStore(db, { busyTimeout: "0.05s" });
    db.exec("BEGIN");
    await expect(store.create("kept", session())).rejects.toThrow(/give sqliteStore a connection of its own/);
    await expect(store.read("kept")).rejects.toThrow(/give sqliteStore a connection of its own/);
    expect(() => sqliteStore(db, { table: "other" })).toThrow(/make the store outside of it/);
    db.exec("ROLLBACK");
    expect(await store.create("kept", session())).toBe(true);
  });
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore, whose disk is full", () => {
  it("rejects writes that need space, still reads and ends sessions, and recovers", async () => {
    const store = sqliteStore(db);
    await store.create("kept", session({ userId: "ada" }));
    db.pragma(`max_page_count = ${Number(db.pragma("page_count", { simple: true })) + 10}`);
    const filling = async () => {
      for (let n = 0; n < 100; n += 1) await store.create(`big-${n}`, session({ size: 5000 }));
    };
    await expect(filling()).rejects.toMatchObject({ code: "SQLITE_FULL" });
    await expect(store.update("kept", session({ version: 2, size: 90_000 }), 1)).rejects.toThrow(/full/);
    expect((await store.read("kept"))?.version).toBe(1);
    expect(await store.idsOfUser("ada")).toEqual(["kept"]);
    expect(await store.delete("big-0")).toBe(true);
    // The space of ended sessions is reused.
    expect(await store.create("again", session({ size: 3000 }))).toBe(true);
    db.pragma("max_page_count = 1000000");
    expect(await store.create("big", session({ size: 90_000 }))).toBe(true);
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
  });
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore, given a database it can't use", () => {
  it("refuses one that is read-only at once", () => {
    const readOnly = betterSqlite3(path, { readonly: true });
    expect(() => sqliteStore(readOnly)).toThrow(/it is read-only; open it for writing/);
    sqliteStore(db);
    expect(() => sqliteStore(readOnly)).toThrow(/it is read-only; open it for writing/);
    readOnly.close();
  });

  it.skipIf(process.getuid?.() === 0)("refuses one whose folder can't be written", () => {
    sqliteStore(db);
    db.close();
    chmodSync(folder, 0o500);
    try {
      db = betterSqlite3(path);
      expect(() => sqliteStore(db)).toThrow(/sqliteStore can't use the database/);
    } finally {
      chmodSync(folder, 0o700);
    }
  });

  it("refuses a file that is not a database, and a database with another table of that name", () => {
    writeFileSync(`${path}-other`, "a".repeat(10_000));
    const other = betterSqlite3(`${path}-other`);
    expect(() => sqliteStore(other)).toThrow(/sqliteStore can't use the database: file is not a database/);
    other.close();
    db.exec("CREATE TABLE users (name TEXT)");
    expect(() => sqliteStore(db, { table: "users" })).toThrow(
      /sqliteStore can't use the database: .*no such column|no column named/,
    );
    db.close();
    expect(() => sqliteStore(db)).toThrow(/sqliteStore can't use the database: .*not open/);
  });

  it("rejects with SQLite's own error if the file is damaged, and never treats a session as missing", async () => {
    const store = sqliteStore(db);
    const ids = Array.from({ length: 2000 }, (_, n) => `id-${n}`);
    for (const id of ids) await store.create(id, session({ size: 300 }));
    db.close();
    const file = openSync(path, "r+");
    const { size } = statSync(path);
    // The root pages of the tables are at the beginning of the file.
    writeSync(file, Buffer.alloc(size - 20 * 4096, 0xff), 0, size - 20 * 4096, 20 * 4096);
    closeSync(file);
    db = betterSqlite3(path);
    const damaged = sqliteStore(db);
    let rejected = 0;
    for (const id of ids) {
      try {
        expect((await damaged.read(id))?.version).toBe(1);
      } catch (error) {
        expect(error).toMatchObject({ code: "SQLITE_CORRUPT" });
        rejected += 1;
      }
    }
    expect(rejected).toBeGreaterThan(1000);
  });

  it("rejects every operation after the application has closed the database, and is not listening", async () => {
    const store = sqliteStore(db);
    const listening: boolean[] = [];
    store.subscribe({ listening: (is) => void listening.push(is) });
    db.close();
    const message = "The database connection is not open";
    expect(await callAll(store)).toEqual(allOperations(message));
    await until("the state is notified", () => listening.length === 2);
    expect(listening).toEqual([true, false]);
    await store.close();
  });
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore.deleteExpired", () => {
  it("deletes notifications after some seconds, and reports possibly missed ones to a store that has not read them", async () => {
    // The store polls when the test says so. A poll between the last write and the deletion would leave nothing to miss.
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const store = sqliteStore(db, { announceChanges: true });
    const notified: unknown[] = [];
    const unsubscribe = store.subscribe({
      ended: (id) => void notified.push(id),
      listening: (is) => void notified.push(is),
    });
    for (let n = 0; n < 2000; n += 1) {
      await store.create(`${n}`, session());
      await store.delete(`${n}`);
    }
    // As if the process had been suspended for longer than they are kept.
    db.exec("UPDATE sojourn_sessions_notifications SET at = at - 60");
    await store.deleteExpired(1);
    expect(db.prepare("SELECT count(*) FROM sojourn_sessions_notifications").pluck().get()).toBe(0);
    const states = () => notified.filter((item) => typeof item === "boolean");
    vi.advanceTimersByTime(POLL_MS);
    expect(states()).toEqual([true, false, true]);
    await store.create("last", session());
    await store.delete("last");
    vi.advanceTimersByTime(POLL_MS);
    expect(notified).toContain("last");
    unsubscribe();
  });

  it("deletes notifications from the future after the clock was set back", async () => {
    const store = sqliteStore(db);
    for (let n = 0; n < 20; n += 1) {
      await store.create(`${n}`, session());
      await store.delete(`${n}`);
    }
    db.exec("UPDATE sojourn_sessions_notifications SET at = at + 3600");
    await store.deleteExpired(1);
    expect(db.prepare("SELECT count(*) FROM sojourn_sessions_notifications").pluck().get()).toBe(0);
  });

  it("deletes many sessions in batches, and lets the event loop run in between", async () => {
    const store = sqliteStore(db);
    const fill = db.prepare("INSERT INTO sojourn_sessions (id, version, expires_at, payload) VALUES (?, 1, 1, ?)");
    db.transaction(() => {
      for (let n = 0; n < 20_000; n += 1) fill.run(`expired-${n}`, Buffer.alloc(250));
    })();
    let iterations = 0;
    let next = setImmediate(function countIteration() {
      iterations += 1;
      next = setImmediate(countIteration);
    });
    expect(await store.deleteExpired(30_000)).toBe(20_000);
    clearImmediate(next);
    expect(iterations).toBeGreaterThan(10);
  });
});
