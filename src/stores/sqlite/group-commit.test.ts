import { describe, expect, it } from "vitest";
import { createGroupCommit } from "./group-commit.ts";
import { createTransactionQueue } from "./transaction-queue.ts";

/** A connection that notes the statements it runs, in place of SQLite. `failing` throws for those it shall refuse. */
function connection(failing: (sql: string) => void = () => {}) {
  const log: string[] = [];
  const run = (sql: string) => {
    failing(sql);
    log.push(sql);
    return { changes: 1 };
  };
  const db = {
    prepare: (sql: string) => ({ run: () => run(sql), get: () => undefined, all: () => [] }),
    exec: (sql: string) => void run(sql),
  };
  const queue = createTransactionQueue(db, 10_000);
  const ensureSpace = () => void run("ensure space");
  return { log, queue, run, groups: createGroupCommit(db, { queue, ensureSpace, runWithoutWaiting: (act) => act() }) };
}

const busy = () => Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY" });

describe("createGroupCommit", () => {
  it("commits the writes of one turn of the event loop as one transaction", async () => {
    const { log, run, groups } = connection();
    const all = ["one", "two", "three"].map((sql) => groups.write({ run: () => run(sql).changes }));
    expect(await Promise.all(all)).toEqual([1, 1, 1]);
    expect(log).toEqual(["BEGIN IMMEDIATE", "one", "two", "three", "COMMIT"]);
  });

  it("commits a single write without an explicit transaction", async () => {
    const { log, run, groups } = connection();
    await groups.write({ run: () => run("one").changes });
    expect(log).toEqual(["one"]);
  });

  it("answers no write of a group before the commit", async () => {
    const { log, run, groups } = connection();
    const answers: Promise<string[]>[] = [];
    for (const sql of ["one", "two"]) {
      answers.push(groups.write({ run: () => run(sql).changes }).then(() => [...log]));
    }
    for (const seen of await Promise.all(answers)) expect(seen).toContain("COMMIT");
  });

  it("runs each write alone if one of the group fails, and rejects only that one", async () => {
    const { log, run, groups } = connection((sql) => {
      if (sql === "bad") throw new Error("disk image is malformed");
    });
    const all = ["one", "bad", "three"].map((sql) => groups.write({ run: () => run(sql).changes }));
    const results = await Promise.allSettled(all);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(log).toEqual(["BEGIN IMMEDIATE", "one", "ROLLBACK", "one", "three"]);
  });

  it("runs each write alone if the commit fails", async () => {
    const { log, run, groups } = connection((sql) => {
      if (sql === "COMMIT") throw Object.assign(new Error("full"), { code: "SQLITE_FULL" });
    });
    const end = { run: () => run("end").changes, runAlone: () => run("end on a full disk").changes };
    await Promise.all([groups.write({ run: () => run("one").changes }), groups.write(end)]);
    expect(log).toEqual(["BEGIN IMMEDIATE", "one", "end", "ROLLBACK", "one", "end on a full disk"]);
  });

  it("checks once for each group whether there is space", async () => {
    const { log, run, groups } = connection();
    const all = ["one", "two"].map((sql) => groups.write({ run: () => run(sql).changes, needsSpace: true }));
    await Promise.all(all);
    expect(log).toEqual(["ensure space", "BEGIN IMMEDIATE", "one", "two", "COMMIT"]);
  });

  it("rejects the writes that need space on a full disk, and no others", async () => {
    const { log, run, groups } = connection((sql) => {
      if (sql === "ensure space") throw new Error("the disk is full");
    });
    const results = await Promise.allSettled([
      groups.write({ run: () => run("update").changes, needsSpace: true }),
      groups.write({ run: () => run("end").changes }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(log).toEqual(["end"]);
  });

  it("waits while another process has locked the database, and runs nothing twice", async () => {
    let refusals = 3;
    const { log, run, groups } = connection((sql) => {
      if (sql === "BEGIN IMMEDIATE" && refusals-- > 0) throw busy();
    });
    await Promise.all(["one", "two"].map((sql) => groups.write({ run: () => run(sql).changes })));
    expect(log).toEqual(["BEGIN IMMEDIATE", "one", "two", "COMMIT"]);
  });

  it("continues with the rest if the database becomes busy while the writes run alone", async () => {
    let isLocked = false;
    const { log, run, groups } = connection((sql) => {
      if (sql === "BEGIN IMMEDIATE") throw new Error("cannot start a transaction within a transaction");
      if (sql !== "two" || isLocked) return;
      isLocked = true;
      throw busy();
    });
    await Promise.all(["one", "two", "three"].map((sql) => groups.write({ run: () => run(sql).changes })));
    expect(log).toEqual(["one", "two", "three"]);
  });

  it("commits a large number of writes in several groups, with a turn of the event loop between them", async () => {
    const { log, run, groups } = connection();
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    await Promise.all(Array.from({ length: 200 }, () => groups.write({ run: () => run("write").changes })));
    clearImmediate(counting);
    expect(log.filter((sql) => sql === "COMMIT")).toHaveLength(4);
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  it("commits pending writes at once if it is flushed, as when the store is closed", async () => {
    const { log, run, groups, queue } = connection();
    const all = ["one", "two"].map((sql) => groups.write({ run: () => run(sql).changes }));
    groups.flush();
    queue.close(new Error("closed"));
    expect(log).toEqual(["BEGIN IMMEDIATE", "one", "two", "COMMIT"]);
    expect(await Promise.all(all)).toEqual([1, 1]);
  });

  it("rejects the writes that still wait for the database when the queue is closed", async () => {
    const { run, groups, queue } = connection((sql) => {
      if (sql === "one") throw busy();
    });
    const waiting = groups.write({ run: () => run("one").changes });
    groups.flush();
    queue.close(new Error("closed"));
    await expect(waiting).rejects.toThrow("closed");
  });
});
