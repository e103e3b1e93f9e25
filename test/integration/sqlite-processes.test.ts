import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type BetterSqlite3 from "better-sqlite3";
import { type SqliteStore, sqliteStore } from "../../src/stores/sqlite/store.ts";
import {
  BETTER_SQLITE3,
  betterSqlite3,
  killWorkers,
  NODE22,
  startWorkers,
  type WorkerOptions,
} from "../support/sqlite.ts";
import { removeFolder, throwawayFolder, until } from "../support/throwaway.ts";
import { seededRandom } from "../support/random.ts";

const HOUR = 3_600_000;

let folder: string;
let count = 0;
let path: string;
let db: BetterSqlite3.Database;
let store: SqliteStore;

beforeAll(() => (folder = throwawayFolder()));
afterAll(() => removeFolder(folder));
beforeEach(() => (path = `${folder}/${(count += 1)}.db`));
afterEach(async () => {
  killWorkers();
  await store?.close();
  db?.close();
});

function openDatabase(): void {
  db = betterSqlite3(path);
  db.pragma("synchronous = NORMAL");
  store = sqliteStore(db, { announceChanges: true });
}

const session = (text = "") => ({ payload: new TextEncoder().encode(text), version: 1, expiresAt: Date.now() + HOUR });
const decode = (payload: Uint8Array | undefined): string => new TextDecoder().decode(payload);
const integrity = () => db.pragma("integrity_check", { simple: true });

async function runJobs(jobs: readonly (readonly (string | number)[])[], options?: WorkerOptions) {
  const workers = await startWorkers(path, jobs, options);
  expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual(jobs.map(() => "0"));
  return workers.map(({ messages }) => messages);
}

describe.skipIf(!BETTER_SQLITE3)("sqliteStore, shared by several processes", () => {
  it("can be set up by all of them at once", async () => {
    // Each process finds an empty file, without WAL mode and without tables.
    await runJobs(Array.from({ length: 6 }, () => ["open"]));
    openDatabase();
    expect(await store.create("id", session())).toBe(true);
    expect(db.pragma("journal_mode", { simple: true })).toBe("wal");
  });

  it("applies each of their updates of one session exactly once", async () => {
    openDatabase();
    await store.create("shared", session());
    const names = ["a", "b", "c", "d"];
    await runJobs(names.map((name) => ["append", "shared", name, 250]));
    const found = await store.read("shared");
    const applied = decode(found?.payload).split(",").slice(0, -1);
    const wanted = names.flatMap((name) => Array.from({ length: 250 }, (_, n) => `${name}${n}`));
    expect(applied.toSorted()).toEqual(wanted.toSorted());
    expect(found?.version).toBe(1001);
    expect(integrity()).toBe("ok");
  });

  it("refuses none of 4 × 1000 updates of sessions of their own", async () => {
    openDatabase();
    const names = ["a", "b", "c", "d"];
    const messages = await runJobs(names.map((name) => ["update", name, 1000]));
    for (const name of names) expect((await store.read(name))?.version).toBe(1001);
    expect(messages.flat().filter(([what]) => what === "refused")).toEqual([]);
  });

  it("lets exactly one of them create a session", async () => {
    openDatabase();
    const names = ["a", "b", "c"];
    const messages = await runJobs(names.map((name) => ["create", name, 300]));
    expect(messages.flat().length).toBe(300);
    for (const [index, lines] of messages.entries()) {
      for (const [, n] of lines) {
        expect(decode((await store.read(`created-${String(n)}`))?.payload)).toBe(`${names[index]}${String(n)}`);
      }
    }
  });

  it("never brings back what one of them has deleted while others update and touch it", async () => {
    openDatabase();
    for (let n = 0; n < 200; n += 1) await store.create(`kept-${n}`, session());
    const workers = await startWorkers(path, [
      ["keepAlive", 200],
      ["keepAlive", 200],
    ]);
    for (let n = 0; n < 200; n += 1) {
      expect(await store.delete(`kept-${n}`)).toBe(true);
      expect(await store.read(`kept-${n}`)).toBeUndefined();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual(["0", "0"]);
    for await (const id of store.all()) throw new Error(`${id} has come back`);
  });

  it.skipIf(!NODE22)("works with better-sqlite3 and node:sqlite on one file", async () => {
    openDatabase();
    await store.create("shared", session());
    const jobs = (name: string) => [["append", "shared", name, 150]];
    await Promise.all([runJobs(jobs("a")), runJobs(jobs("b"), { command: NODE22, driver: "node:sqlite" })]);
    expect((await store.read("shared"))?.version).toBe(301);
    expect(integrity()).toBe("ok");
  });

  it("lets other processes write while it deletes expired sessions", async () => {
    openDatabase();
    const fill = db.prepare("INSERT INTO sojourn_sessions (id, version, expires_at, payload) VALUES (?, 1, 1, ?)");
    db.transaction(() => {
      for (let n = 0; n < 20_000; n += 1) fill.run(`expired-${n}`, Buffer.alloc(250));
    })();
    const [deleted, updated] = await runJobs([["deleteExpired"], ["update", "beside", 300]]);
    expect(deleted).toContainEqual(["deleted", 20_000]);
    expect(updated?.filter(([what]) => what === "refused")).toEqual([]);
    expect(db.prepare("SELECT count(*) FROM sojourn_sessions").pluck().get()).toBe(1);
  });

  it("notifies every process of ended and of changed sessions, from each of them", async () => {
    openDatabase();
    const notified: string[] = [];
    const unsubscribe = store.subscribe({
      ended: (id) => void notified.push(`ended ${id}`),
      changed: (id) => void notified.push(`changed ${id}`),
    });
    await store.create("here", session());
    await store.create("made", session());
    const [listener] = await startWorkers(path, [["listen"]]);
    await listener!.waitFor("listening", true);
    await store.update("here", { ...session(), version: 2 }, 1);
    await store.delete("here");
    await listener!.waitFor("ended", "here");
    expect(listener!.messages).toContainEqual(["changed", "here"]);
    // A process that does not announce changes notifies of ended sessions.
    await runJobs([["keepAlive", 0]]);
    const [other] = await startWorkers(path, [["end", "made"]]);
    await until("this process is notified", () => notified.includes("ended made"));
    expect(await other!.ended).toBe("0");
    expect(notified).toEqual(["changed here", "ended here", "ended made"]);
    listener!.resume();
    expect(await listener!.ended).toBe("0");
    unsubscribe();
  });
});

describe.skipIf(!BETTER_SQLITE3)("sqliteStore, whose process is killed", () => {
  const runtimes = [
    { driver: "better-sqlite3", command: process.execPath },
    { driver: "node:sqlite", command: NODE22 },
  ];
  for (const { driver, command } of runtimes) {
    it.skipIf(!command)(
      `loses no acknowledged write and leaves no damaged session, 10 times, on ${driver}`,
      async () => {
        const random = seededRandom(2026);
        for (let round = 0; round < 10; round += 1) {
          const [worker] = await startWorkers(path, [["live", `round${round}`, round]], { command, driver });
          await until("it has written a session", () => worker!.messages.some(([what]) => what === "done"));
          await new Promise((resolve) => setTimeout(resolve, random() * 130));
          worker!.child.kill("SIGKILL");
          expect(await worker!.ended).toBe("SIGKILL");
          expect(worker!.messages.filter(([what]) => what === "refused")).toEqual([]);
          openDatabase();
          expect(integrity()).toBe("ok");
          await expectKept(worker!.messages);
          db.close();
        }
        openDatabase();
      },
    );
  }

  /** Checks that each session has the state of its last acknowledged call, or of the call that the kill interrupted. */
  async function expectKept(messages: readonly unknown[][]): Promise<void> {
    const acknowledged = new Map<string, number>();
    const tried = new Map<string, number>();
    for (const [what, id, version] of messages) {
      (what === "done" ? acknowledged : tried).set(String(id), Number(version));
    }
    expect(acknowledged.size).toBeGreaterThan(0);
    for (const [id, last] of tried) {
      const found = await store.read(id);
      const version = found?.version ?? 0;
      expect([acknowledged.get(id) ?? 0, last]).toContain(version);
      if (found === undefined) continue;
      expect(decode(found.payload).replaceAll(`${id}:${version}:`, "")).toBe("");
      if (found.userId !== undefined) expect(await store.idsOfUser(found.userId)).toContain(id);
    }
  }
});
