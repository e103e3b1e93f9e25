import { describe, expect, it } from "vitest";
import * as fc from "fast-check";
import { decode, encode, type Dictionary } from "./codec.ts";
import { Journal, replay, type Content } from "./journal.ts";

/**
 * The table of docs/merging.md, said a second time and differently: here every call of a request is noted, and a commit
 * makes the same calls on the newest record. Only for arrays the outcome is looked at, since the table speaks of it.
 *
 * Each value is written once only, so that an item of an array is known by its value. Items that are changed in place are
 * in arrays that either grow (`rows`) or shrink (`queue`): where a value was replaced and the number is the same, nobody
 * who sees values only can tell the one from the other.
 */

const limits = { bytes: 1_000_000, depth: 32 };

interface Row {
  id: number;
  n: number;
}
interface World {
  n?: number;
  o?: { x?: number; y?: number; inner?: { p: number; q: number }; list: number[]; [name: string]: unknown };
  map?: Map<string, { v: number }>;
  set?: Set<number>;
  list?: number[];
  tiles?: { t: number }[];
  rows?: Row[];
  queue?: Row[];
  cart?: { items: number[]; by: Record<string, number> };
}
type Key = keyof World;

const makeWorld = (): World => ({
  n: 1,
  o: { x: 1, y: 2, inner: { p: 3, q: 4 }, list: [5, 6] },
  map: new Map([
    ["a", { v: 1 }],
    ["b", { v: 2 }],
  ]),
  set: new Set([1, 2, 3]),
  list: [1, 2, 3],
  tiles: [{ t: 1 }, { t: 2 }],
  rows: [
    { id: 1, n: 0 },
    { id: 2, n: 0 },
  ],
  queue: [
    { id: 1, n: 0 },
    { id: 2, n: 0 },
    { id: 3, n: 0 },
  ],
});

/** A call that a request has made, which the model makes again. */
type Call =
  /** Something inside of an object, a Map or a Set. It gives up where its container is gone. */
  | { kind: "inside"; make: (world: World) => void }
  /** Something done to an array: the outcome is looked at. */
  | { kind: "array" }
  /** The key's value is another one from now on. */
  | { kind: "value"; make: (world: World) => void; before: World; after: World };

interface Request {
  readonly journal: Journal;
  calls: Map<Key, Call[]>;
  began: World;
  content: Content;
}

const copy = (world: object): World => structuredClone({ ...world });

/** Numbers that are used once. */
const fresh = { next: 100 };

/** What a request does, by a number that was drawn; it depends on what it sees. */
function act({ journal, calls, began }: Request, what: number, which: number): void {
  const data = journal.data as World;
  const v = fresh.next++;
  const pick = <T>(items: readonly T[]): T | undefined => items[which % Math.max(1, items.length)];
  const note = (key: Key, call: Call) => void calls.set(key, [...(calls.get(key) ?? []), call]);
  const inside = (key: Key, make: (world: World) => void) => {
    make(data);
    note(key, { kind: "inside", make });
  };
  const onArray = (key: Key, change: () => unknown) => {
    change();
    note(key, { kind: "array" });
  };
  const value = (key: Key, make: (world: World) => void, really: () => unknown = () => make(data)) => {
    const before = copy(journal.toJSON());
    really();
    note(key, { kind: "value", make, before, after: copy(journal.toJSON()) });
  };
  // What was there when its changes in place began: setting and deleting something in between is no change.
  const first = calls.get("o")?.findLast((call) => call.kind === "value")?.after.o ?? began.o;
  const { o, map, set, list, tiles, rows, queue, cart } = data;
  const mapKey = pick([...(map?.keys() ?? [])]);
  const member = pick([...(set ?? [])]);
  const at = pick((queue ?? []).map((_, i) => i));

  const acts: (() => void)[] = [
    () => value("n", (world) => (world.n = v)),
    () => data.n !== undefined && value("n", (world) => delete world.n),
    () =>
      value(
        "n",
        (world) => (world.n = (world.n ?? 0) + 1),
        () => journal.update("n", (n) => ((n as number) ?? 0) + 1),
      ),
    () =>
      data.n !== undefined &&
      value(
        "n",
        (
          (same) => (world: World) =>
            (world.n = same)
        )(data.n),
      ),
    // The very object: no assignment.
    () => o && (data.o = o),
    () => o && inside("o", (world) => world.o && (world.o.x = v)),
    () => o && inside("o", (world) => world.o && (world.o[`name${v}`] = v)),
    () => o?.y && first?.y && inside("o", (world) => delete world.o?.y),
    () => o?.inner && inside("o", (world) => world.o?.inner && (world.o.inner.p = v)),
    () => o && inside("o", (world) => world.o && (world.o.inner = { p: v, q: v })),
    () => o?.inner && first?.inner && inside("o", (world) => delete world.o?.inner),
    () => o && onArray("o", () => o.list.push(v)),
    () => value("o", (world) => (world.o = { x: v, list: [v] })),
    () => data.o !== undefined && value("o", (world) => delete world.o),
    () =>
      value(
        "o",
        (world) => world.o && (world.o.y = v),
        () => journal.update("o", (one) => (one && ((one as Dictionary)["y"] = v), one)),
      ),
    () => map && inside("map", (world) => world.map?.set(`key${v}`, { v })),
    () => mapKey && inside("map", (world) => world.map?.set(mapKey, { v })),
    () =>
      mapKey &&
      inside("map", ({ map: its }) => {
        const entry = its?.get(mapKey);
        if (entry) entry.v = v;
      }),
    () => mapKey && inside("map", (world) => world.map?.delete(mapKey)),
    () => value("map", (world) => (world.map = new Map([["a", { v }]]))),
    () => set && inside("set", (world) => world.set?.add(v)),
    () => member !== undefined && inside("set", (world) => world.set?.delete(member)),
    () => data.set !== undefined && value("set", (world) => delete world.set),
    () => list && onArray("list", () => list.push(v)),
    () => list?.length && onArray("list", () => list.splice(which % list.length, 1)),
    () => list && onArray("list", () => list.unshift(v)),
    () => list && list.length > 1 && onArray("list", () => (list[which % (list.length - 1)] = v)),
    () => list && onArray("list", () => list.splice(0, list.length, ...list.toReversed())),
    () => value("list", (world) => (world.list = [v, v + 0.5])),
    () =>
      value(
        "list",
        (world) => (world.list = [...(world.list ?? []), v]),
        () => journal.update("list", (items) => [...((items as number[]) ?? []), v]),
      ),
    () => tiles && onArray("tiles", () => tiles.push({ t: v })),
    () => tiles && onArray("tiles", () => tiles.splice(0, tiles.length, ...tiles.toReversed())),
    () => rows && onArray("rows", () => rows.push({ id: v, n: 0 })),
    () => rows && onArray("rows", () => (rows[which % rows.length]!.n = v)),
    () => queue && at !== undefined && onArray("queue", () => (queue[at]!.n = v)),
    () => queue && at !== undefined && onArray("queue", () => queue.splice(at, 1)),
    () => value("queue", (world) => (world.queue = [])),
    () =>
      cart === undefined &&
      value(
        "cart",
        (world) => (world.cart ??= { items: [], by: {} }),
        () => (data.cart ??= { items: [], by: {} }),
      ),
    () => cart && onArray("cart", () => cart.items.push(v)),
    () => cart && inside("cart", (world) => world.cart && (world.cart.by[`by${v}`] = v)),
    () => value("cart", (world) => (world.cart = { items: [v], by: {} })),
    () => data.cart !== undefined && value("cart", (world) => delete world.cart),
  ];
  acts[what % acts.length]!();
}

/** The array of a key, and how its items are known. */
function arrayOf(world: World, key: Key): unknown[] | undefined {
  if (key === "o") return world.o?.list;
  if (key === "cart") return world.cart?.items;
  const value = world[key];
  return Array.isArray(value) ? value : undefined;
}
const nameOf = (item: unknown) => (typeof item === "object" ? ((item as Row).id ?? (item as { t: number }).t) : item);
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** The row of the table on arrays. */
function applyArrayChanges(
  start: unknown[] | undefined,
  end: unknown[] | undefined,
  newest: unknown[] | undefined,
): void {
  if (!start || !end || !newest) return;
  const [before, now, there] = [start, end, newest].map((items) => items.map(nameOf)) as [
    unknown[],
    unknown[],
    unknown[],
  ];
  const kept = before.filter((name) => now.includes(name));
  const added = now.filter((name) => !before.includes(name));
  const itemOf = (items: unknown[], name: unknown) => items.find((item) => nameOf(item) === name);
  const isMoved = !same(now, [...kept, ...added]);
  const changed = kept.filter((name) => !same(itemOf(start, name), itemOf(end, name)));
  const isRemoved = kept.length < before.length;
  const isRemovedThere = !same(there.slice(0, before.length), before);
  // Every item was both moved and changed: nobody who sees values only can tell that from a change in place.
  if (changed.length > 0 && isRemovedThere && there.length >= before.length) {
    fc.pre(newest.some((item, i) => !same(item, start[i]) && start.some((other) => same(item, other))));
  }
  if (isMoved || (changed.length > 0 && (isRemoved || isRemovedThere))) {
    newest.splice(0, newest.length, ...structuredClone(end));
    return;
  }
  for (const name of changed) Object.assign(itemOf(newest, name) as Row, { n: (itemOf(end, name) as Row).n });
  for (const item of start) {
    if (now.includes(nameOf(item))) continue;
    const i = newest.findIndex((other) => same(other, item));
    if (i !== -1) newest.splice(i, 1);
  }
  newest.push(...structuredClone(added.map((name) => itemOf(end, name))));
}

/** What a request has done, done to another record. */
function applied(began: World, calls: ReadonlyMap<Key, readonly Call[]>, ended: World, newest: World): World {
  const world = copy(newest);
  for (const [key, its] of calls) {
    let start = began;
    for (const call of its) {
      if (call.kind === "value") {
        applyArrayChanges(arrayOf(start, key), arrayOf(call.before, key), arrayOf(world, key));
        call.make(world);
        start = call.after;
      } else if (call.kind === "inside") call.make(world);
    }
    applyArrayChanges(arrayOf(start, key), arrayOf(ended, key), arrayOf(world, key));
  }
  return world;
}

/** Neither the order of members nor that of a Map or Set is promised. */
function ordered(world: object): object {
  const { map, set, ...others } = world as World;
  const byText = <T>(items: Iterable<T>) => [...items].toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
  return { ...others, map: map && new Map(byText(map)), set: set && new Set(byText(set)) };
}

/** Requests on one record that act and are stored in the drawn order; `late`: calls while a request is being stored. */
function run(steps: readonly (readonly [number, number, number])[], requestCount: number): void {
  fresh.next = 100;
  let record: Content = { data: encode(makeWorld() as Dictionary, limits), flashes: [] };
  const dataOf = (content: Content) => copy(decode(content.data));
  const start = (): Request => {
    const journal = new Journal(record, limits);
    return { journal, calls: new Map(), began: dataOf(record), content: record };
  };
  const requests = Array.from({ length: requestCount }, start);

  const commit = (request: Request, late: readonly (readonly [number, number])[]) => {
    const { journal, calls, began } = request;
    const held = { ...journal.data } as World;
    const ended = copy(journal.toJSON());
    const newest = dataOf(record);
    journal.isChanged();
    const snapshot = journal.snapshot();
    const stored = request.content === record ? snapshot.content : replay(snapshot, record, limits);
    expect(ordered(dataOf(stored)), "what is stored").toEqual(ordered(applied(began, calls, ended, newest)));
    // Calls of the same request that come while it is being stored.
    request.calls = new Map();
    for (const [what, which] of late) act(request, what, which);
    const lastly = copy(journal.toJSON());
    journal.stored(snapshot, stored);
    record = request.content = stored;
    const expected = applied(ended, request.calls, lastly, dataOf(stored));
    expect(ordered(journal.toJSON()), "what the handler sees").toEqual(ordered(expected));
    request.calls = new Map();
    request.began = dataOf(record);
    if (late.length > 0) {
      journal.isChanged();
      const again = journal.snapshot();
      journal.stored(again, again.content);
      record = request.content = again.content;
      request.began = dataOf(record);
      expect(ordered(request.began), "what is stored of the late calls").toEqual(ordered(expected));
      return;
    }
    // It goes on holding the same objects.
    for (const [key, value] of Object.entries(journal.data)) {
      if (typeof value === "object" && typeof held[key as Key] === "object")
        expect(value === held[key as Key], `the very object of ${key}`).toBe(true);
    }
    expect(journal.isChanged()).toBe(false);
  };

  for (const [who, what, which] of steps) {
    const request = requests[who % requestCount]!;
    if (what >= 1000)
      commit(
        request,
        what >= 1050
          ? [
              [which, what],
              [what * 7, which],
            ]
          : [],
      );
    else act(request, what, which);
  }
  for (const request of requests) commit(request, []);
}

describe("Merging", () => {
  it("agrees with a model of its rules over random schedules of several requests", () => {
    const what = fc.oneof(
      { weight: 4, arbitrary: fc.nat(999) },
      { weight: 1, arbitrary: fc.integer({ min: 1000, max: 1099 }) },
    );
    const schedule = fc.array(fc.tuple(fc.nat(5), what, fc.nat(50)), { maxLength: 40, size: "max" });
    const numRuns = Number(process.env["MERGING_RUNS"] ?? 500);
    expect.hasAssertions();
    // It tells a failing schedule, as short as can be, and the seed that repeats it.
    fc.assert(
      fc.property(schedule, fc.integer({ min: 2, max: 4 }), (steps, count) => run(steps, count)),
      { numRuns },
    );
  });
});
