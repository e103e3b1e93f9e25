import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type BetterSqlite3 from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SessionStore } from "../../src/store.ts";
import { sqliteStore } from "../../src/stores/sqlite/store.ts";
import { BETTER_SQLITE3, betterSqlite3 } from "../support/sqlite.ts";
import { HUNG_MS } from "../support/throwaway.ts";

const HOUR = 3_600_000;
const session = (version = 1) => ({
  payload: randomBytes(250),
  version,
  expiresAt: Date.now() + HOUR,
  userId: `user-${Math.floor(100 * Math.random())}`,
});

let folder: string;
let databases: BetterSqlite3.Database[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sojourn-sqlite-full-"));
  databases = [];
});
afterEach(() => {
  for (const database of databases) database.close();
  rmSync(folder, { recursive: true, force: true });
});

function openDatabase(where = folder): BetterSqlite3.Database {
  const database = betterSqlite3(join(where, "sessions.db"));
  database.pragma("synchronous = NORMAL");
  databases.push(database);
  return database;
}

/** Mounts a small file system for the test. Returns `false` without the right to do so. */
function mountSmallDisk(megabytes: number): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function fill(store: SessionStore): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    try {
      await store.create(id, session());
      ids.push(id);
    } catch (error) {
      expect(error).toMatchObject({ code: "SQLITE_FULL" });
      return ids;
    }
  }
}

describe.skipIf(!BETTER_SQLITE3)("sqliteStore on a full disk", () => {
  for (const [megabytes, state] of [
    [6, "before the first restart of the log"],
    [12, "when the log has its usual length"],
  ] as const) {
    it(`ends every session on each connection, ${state}, and rejects other writes`, async ({ skip }) => {
      if (!mountSmallDisk(megabytes)) skip("needs the right to mount a file system");
      try {
        const [one, other] = [sqliteStore(openDatabase()), sqliteStore(openDatabase())];
        const notified: string[] = [];
        other.subscribe({ ended: (id) => notified.push(id) });
        const ids = await fill(one);
        expect(ids.length).toBeGreaterThan(100);
        // The remaining space may be enough for the first sessions. Then the reserve is deleted for one of the next.
        const reserve = join(folder, "sessions.db-reserve");
        const endedIds: string[] = [];
        while (existsSync(reserve)) {
          expect(await one.delete(ids[endedIds.length]!)).toBe(true);
          endedIds.push(ids[endedIds.length]!);
        }
        const [second, ...rest] = ids.slice(endedIds.length) as [string, ...string[]];
        // Another program uses up the space.
        expect(() => {
          for (;;) appendFileSync(join(folder, "log"), randomBytes(4096));
        }).toThrow("ENOSPC");
        for (const store of [one, other]) {
          await expect(store.create("new", session())).rejects.toThrow(/the disk is full: sessions can end/);
          await expect(store.update(second, session(2), 1)).rejects.toThrow(/the disk is full: sessions can end/);
        }
        for (const [index, id] of rest.entries()) expect(await [one, other][index % 2]!.delete(id)).toBe(true);
        for (const id of [...endedIds, ...rest]) expect(await other.read(id)).toBeUndefined();
        expect((await other.read(second))?.version).toBe(1);
        await expect.poll(() => notified.length, { timeout: HUNG_MS }).toBe(ids.length - 1);
        execFileSync("mount", ["-o", `remount,size=${megabytes + 4}m`, folder]);
        await expect.poll(() => one.create("new", session()).catch(() => false), { timeout: HUNG_MS }).toBe(true);
        expect(existsSync(reserve)).toBe(true);
      } finally {
        for (const database of databases.splice(0)) database.close();
        execFileSync("umount", [folder]);
      }
    });
  }

  it("ends a session in a database that may not grow and has no space for the notification", async () => {
    const database = openDatabase();
    const store = sqliteStore(database);
    await store.create("kept", session());
    await store.create("ended", session());
    // The page of the notifications is full, and no other page is free.
    const insert = database.prepare("INSERT INTO sojourn_sessions_notifications (id, ended) VALUES (?, 0)");
    const pages = () => Number(database.pragma("page_count", { simple: true }));
    const before = pages();
    while (pages() === before) insert.run("x".repeat(100));
    database.pragma(`max_page_count = ${pages()}`);
    expect(() => {
      for (;;) insert.run("x");
    }).toThrow(/full/);
    expect(await store.delete("ended")).toBe(true);
    expect(await store.read("ended")).toBeUndefined();
    expect(await store.delete("ended")).toBe(false);
    expect((await store.read("kept"))?.version).toBe(1);
  });
});
