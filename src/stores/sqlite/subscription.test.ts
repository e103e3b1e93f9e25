import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StoreListener } from "../../store.ts";
import type { SqliteStatement } from "./database.ts";
import { sqliteSubscription } from "./subscription.ts";

/** The notifications of a database that can fail. */
function notificationTable() {
  const rows: { n: number; id: string; ended: number }[] = [];
  const table = {
    broken: false,
    inTransaction: false,
    last: 0,
    polls: 0,
    add: (id: string, ended = 1) => rows.push({ n: (table.last += 1), id, ended }),
    deleteAll: () => void rows.splice(0),
  };
  const check = () => {
    table.polls += 1;
    if (table.broken) throw new Error("disk I/O error");
  };
  const statement = (given: Partial<SqliteStatement>): SqliteStatement => ({
    run: () => ({ changes: 0 }),
    get: () => undefined,
    all: () => [],
    ...given,
  });
  const statements = {
    lastNotification: statement({
      get() {
        check();
        return { seq: table.last };
      },
    }),
    notifications: statement({
      all(after, limit) {
        check();
        return rows.filter(({ n }) => n > Number(after)).slice(0, Number(limit));
      },
    }),
  };
  const subscription = sqliteSubscription(statements, () => table.inTransaction);
  return { table, subscription };
}

function recorder() {
  const calls: string[] = [];
  const listener: StoreListener = {
    ended: (id) => void calls.push(`ended ${id}`),
    changed: (id) => void calls.push(`changed ${id}`),
    listening: (is) => void calls.push(`listening ${is}`),
  };
  return { calls, listener };
}

const poll = () => vi.advanceTimersByTime(100);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("sqliteSubscription", () => {
  it("notifies each subscriber once of the notifications since it subscribed", () => {
    const { table, subscription } = notificationTable();
    table.add("before");
    const [one, two] = [recorder(), recorder()];
    subscription.subscribe(one.listener);
    table.add("first");
    poll();
    subscription.subscribe(two.listener);
    table.add("second", 0);
    poll();
    poll();
    expect(one.calls).toEqual(["listening true", "ended first", "changed second"]);
    expect(two.calls).toEqual(["listening true", "changed second"]);
  });

  it("is not listening while a transaction shows an old state, and reads missed notifications later", () => {
    const { table, subscription } = notificationTable();
    const [early, late] = [recorder(), recorder()];
    subscription.subscribe(early.listener);
    table.inTransaction = true;
    poll();
    table.add("meanwhile");
    poll();
    expect(early.calls).toEqual(["listening true", "listening false"]);
    table.inTransaction = false;
    poll();
    expect(early.calls.slice(2)).toEqual(["listening true", "ended meanwhile"]);
    const other = notificationTable();
    other.table.inTransaction = true;
    other.subscription.subscribe(late.listener);
    other.table.inTransaction = false;
    poll();
    expect(late.calls).toEqual(["listening false", "listening true"]);
  });

  it("is not listening while the database fails, and reads missed notifications later", () => {
    const { table, subscription } = notificationTable();
    const { calls, listener } = recorder();
    subscription.subscribe(listener);
    table.broken = true;
    poll();
    table.add("meanwhile");
    poll();
    expect(calls).toEqual(["listening true", "listening false"]);
    const late = recorder();
    subscription.subscribe(late.listener);
    expect(late.calls).toEqual(["listening false"]);
    table.broken = false;
    poll();
    expect(calls.slice(2)).toEqual(["listening true", "ended meanwhile"]);
    expect(late.calls.slice(1)).toEqual(["listening true", "ended meanwhile"]);
  });

  it("accepts a subscription while the database fails", () => {
    const { table, subscription } = notificationTable();
    table.broken = true;
    const { calls, listener } = recorder();
    subscription.subscribe(listener);
    expect(calls).toEqual(["listening false"]);
    table.broken = false;
    poll();
    table.add("now");
    poll();
    expect(calls).toEqual(["listening false", "listening true", "ended now"]);
  });

  it("reports that it was not listening if notifications were deleted before it read them", () => {
    const { table, subscription } = notificationTable();
    const { calls, listener } = recorder();
    subscription.subscribe(listener);
    table.add("missed");
    table.deleteAll();
    poll();
    expect(calls).toEqual(["listening true", "listening false", "listening true"]);
    table.add("missed too");
    table.deleteAll();
    table.add("received");
    poll();
    expect(calls.slice(3)).toEqual(["listening false", "listening true", "ended received"]);
    // As if the database was replaced by an older copy.
    table.last = 0;
    table.deleteAll();
    poll();
    table.add("after that");
    poll();
    expect(calls.slice(6)).toEqual(["listening false", "listening true", "ended after that"]);
  });

  it("reads many notifications in pages without a pause", () => {
    const { table, subscription } = notificationTable();
    const { calls, listener } = recorder();
    subscription.subscribe(listener);
    for (let n = 0; n < 1700; n += 1) table.add(`${n}`);
    poll();
    vi.advanceTimersByTime(20);
    expect(calls.length).toBe(1701);
  });

  it("polls only while there are subscribers", () => {
    const { table, subscription } = notificationTable();
    poll();
    expect(table.polls).toBe(0);
    const ends = [subscription.subscribe(recorder().listener), subscription.subscribe(recorder().listener)];
    ends[0]!();
    ends[0]!();
    const before = table.polls;
    poll();
    expect(table.polls).toBeGreaterThan(before);
    ends[1]!();
    expect(vi.getTimerCount()).toBe(0);
    subscription.subscribe(recorder().listener);
    subscription.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("notifies the other listeners when one throws", () => {
    const { table, subscription } = notificationTable();
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { calls, listener } = recorder();
    subscription.subscribe({
      ended() {
        throw new Error("a listener's error");
      },
    });
    subscription.subscribe(listener);
    table.add("first");
    poll();
    expect(calls).toEqual(["listening true", "ended first"]);
    expect(warned).toHaveBeenCalledOnce();
    warned.mockRestore();
  });
});
