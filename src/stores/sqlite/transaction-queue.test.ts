import { describe, expect, it, onTestFinished } from "vitest";
import { jumpingClock } from "../../../test/support/clock.ts";
import { createTransactionQueue } from "./transaction-queue.ts";

const busy = () => Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY_SNAPSHOT" });
const db = (given: object = {}) => ({ prepare: () => never(), exec: never, ...given });

describe("createTransactionQueue", () => {
  it("runs a task at once if the database is free", async () => {
    const done: string[] = [];
    const { run } = createTransactionQueue(db(), 1000);
    const first = run(() => done.push("first"));
    done.push("after");
    await first;
    expect(done).toEqual(["first", "after"]);
  });

  it("keeps the order of arrival while the database is busy", async () => {
    onTestFinished(jumpingClock());
    let locked = true;
    const done: number[] = [];
    const { run } = createTransactionQueue(db(), 10_000);
    const work = (n: number) => () => {
      if (locked) throw busy();
      done.push(n);
      return n;
    };
    const all = [1, 2, 3].map((n) => run(work(n)));
    setTimeout(() => {
      locked = false;
      all.push(run(work(4)));
    }, 30);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(await Promise.all(all)).toEqual([1, 2, 3, 4]);
    expect(done).toEqual([1, 2, 3, 4]);
  });

  it("rejects each task with SQLite's error after its own timeout, and no other task", async () => {
    onTestFinished(jumpingClock());
    let locked = true;
    const work = () => {
      if (locked) throw busy();
      return "done";
    };
    const { run } = createTransactionQueue(db(), 60);
    const early = run(work);
    const late = new Promise((resolve) => setTimeout(resolve, 40)).then(() => run(work));
    await expect(early).rejects.toMatchObject({ code: "SQLITE_BUSY_SNAPSHOT" });
    locked = false;
    expect(await late).toBe("done");
  });

  it("rejects at once with any other error, and runs the tasks after it", async () => {
    let locked = true;
    const { run } = createTransactionQueue(db(), 10_000);
    await expect(run(() => fail())).rejects.toThrow("disk image is malformed");
    const waiting = run(() => {
      if (locked) throw Object.assign(new Error("locked"), { errcode: 517 });
      return fail();
    });
    const next = run(() => "done");
    locked = false;
    await expect(waiting).rejects.toThrow("disk image is malformed");
    expect(await next).toBe("done");
  });

  it("lets the event loop run while it runs many tasks", async () => {
    let locked = true;
    const { run } = createTransactionQueue(db(), 10_000);
    const spin = () => {
      if (locked) throw busy();
      const until = performance.now() + 1;
      while (performance.now() < until);
    };
    const all = Array.from({ length: 40 }, () => run(spin));
    let between = 0;
    const count = () => {
      between += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    locked = false;
    await Promise.all(all);
    clearImmediate(counting);
    expect(between).toBeGreaterThan(5);
  });

  it("waits for the end of the application's transaction, with either name of the driver's property", async () => {
    onTestFinished(jumpingClock());
    for (const name of ["inTransaction", "isTransaction"]) {
      const connection = db({ [name]: true });
      const { run } = createTransactionQueue(connection, 10_000);
      let done = false;
      const work = run(() => (done = true));
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(done).toBe(false);
      Object.assign(connection, { [name]: false });
      expect(await work).toBe(true);
    }
  });

  it("rejects waiting tasks when it is closed", async () => {
    const { run, close } = createTransactionQueue(db(), 10_000);
    const waiting = run(() => {
      throw busy();
    });
    close(new Error("closed"));
    await expect(waiting).rejects.toThrow("closed");
  });
});

function fail(): never {
  throw Object.assign(new Error("database disk image is malformed"), { code: "SQLITE_CORRUPT" });
}

function never(): never {
  throw new Error("no statement is made here");
}
