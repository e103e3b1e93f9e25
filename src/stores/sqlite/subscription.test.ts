import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StoreListener } from "../../store.ts";
import type { SqliteStatement } from "./database.ts";
import { sqliteSubscription } from "./subscription.ts";

/** The news of a database that can be out of order. */
function newsTable() {
  const rows: { n: number; id: string; ended: number }[] = [];
  const table = {
    broken: false,
    inTransaction: false,
    last: 0,
    looks: 0,
    add: (id: string, ended = 1) => rows.push({ n: (table.last += 1), id, ended }),
    forget: () => void rows.splice(0),
  };
  const check = () => {
    table.looks += 1;
    if (table.broken) throw new Error("disk I/O error");
  };
  const statement = (given: Partial<SqliteStatement>): SqliteStatement => ({
    run: () => ({ changes: 0 }),
    get: () => undefined,
    all: () => [],
    ...given,
  });
  const statements = {
    lastNews: statement({
      get() {
        check();
        return { seq: table.last };
      },
    }),
    news: statement({
      all(after, limit) {
        check();
        return rows.filter(({ n }) => n > Number(after)).slice(0, Number(limit));
      },
    }),
  };
  const feed = sqliteSubscription(statements, () => table.inTransaction);
  return { table, feed };
}

function listener() {
  const heard: string[] = [];
  const told: StoreListener = {
    ended: (id) => void heard.push(`ended ${id}`),
    changed: (id) => void heard.push(`changed ${id}`),
    listening: (is) => void heard.push(`listening ${is}`),
  };
  return { heard, told };
}

const look = () => vi.advanceTimersByTime(100);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("sqliteFeed", () => {
  it("tells of what is new since the listening began, once, and to all", () => {
    const { table, feed } = newsTable();
    table.add("before");
    const [one, two] = [listener(), listener()];
    feed.subscribe(one.told);
    table.add("first");
    look();
    feed.subscribe(two.told);
    table.add("second", 0);
    look();
    look();
    expect(one.heard).toEqual(["listening true", "ended first", "changed second"]);
    expect(two.heard).toEqual(["listening true", "changed second"]);
  });

  it("says that it is not listening while a transaction shows it the past, and catches up", () => {
    const { table, feed } = newsTable();
    const [early, late] = [listener(), listener()];
    feed.subscribe(early.told);
    table.inTransaction = true;
    look();
    table.add("meanwhile");
    look();
    expect(early.heard).toEqual(["listening true", "listening false"]);
    table.inTransaction = false;
    look();
    expect(early.heard.slice(2)).toEqual(["listening true", "ended meanwhile"]);
    const other = newsTable();
    other.table.inTransaction = true;
    other.feed.subscribe(late.told);
    other.table.inTransaction = false;
    look();
    expect(late.heard).toEqual(["listening false", "listening true"]);
  });

  it("says that it is not listening while it can't look, and catches up", () => {
    const { table, feed } = newsTable();
    const { heard, told } = listener();
    feed.subscribe(told);
    table.broken = true;
    look();
    table.add("meanwhile");
    look();
    expect(heard).toEqual(["listening true", "listening false"]);
    const late = listener();
    feed.subscribe(late.told);
    expect(late.heard).toEqual(["listening false"]);
    table.broken = false;
    look();
    expect(heard.slice(2)).toEqual(["listening true", "ended meanwhile"]);
    expect(late.heard.slice(1)).toEqual(["listening true", "ended meanwhile"]);
  });

  it("can begin while the database is out of order", () => {
    const { table, feed } = newsTable();
    table.broken = true;
    const { heard, told } = listener();
    feed.subscribe(told);
    expect(heard).toEqual(["listening false"]);
    table.broken = false;
    look();
    table.add("now");
    look();
    expect(heard).toEqual(["listening false", "listening true", "ended now"]);
  });

  it("says that it was not listening where news were forgotten before it heard them", () => {
    const { table, feed } = newsTable();
    const { heard, told } = listener();
    feed.subscribe(told);
    table.add("unheard");
    table.forget();
    look();
    expect(heard).toEqual(["listening true", "listening false", "listening true"]);
    table.add("unheard too");
    table.forget();
    table.add("heard");
    look();
    expect(heard.slice(3)).toEqual(["listening false", "listening true", "ended heard"]);
    // As if an older copy of the database had been put in its place.
    table.last = 0;
    table.forget();
    look();
    table.add("after that");
    look();
    expect(heard.slice(6)).toEqual(["listening false", "listening true", "ended after that"]);
  });

  it("catches up with a crowd at once, in steps", () => {
    const { table, feed } = newsTable();
    const { heard, told } = listener();
    feed.subscribe(told);
    for (let n = 0; n < 1700; n += 1) table.add(`${n}`);
    look();
    vi.advanceTimersByTime(20);
    expect(heard.length).toBe(1701);
  });

  it("looks only while somebody listens", () => {
    const { table, feed } = newsTable();
    look();
    expect(table.looks).toBe(0);
    const ends = [feed.subscribe(listener().told), feed.subscribe(listener().told)];
    ends[0]!();
    ends[0]!();
    const before = table.looks;
    look();
    expect(table.looks).toBeGreaterThan(before);
    ends[1]!();
    expect(vi.getTimerCount()).toBe(0);
    feed.subscribe(listener().told);
    feed.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes on for the others when a listener throws", () => {
    const { table, feed } = newsTable();
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { heard, told } = listener();
    feed.subscribe({
      ended() {
        throw new Error("a listener's fault");
      },
    });
    feed.subscribe(told);
    table.add("first");
    look();
    expect(heard).toEqual(["listening true", "ended first"]);
    expect(warned).toHaveBeenCalledOnce();
    warned.mockRestore();
  });
});
