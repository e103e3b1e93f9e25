import { describe, expect, it } from "vitest";
import * as fc from "fast-check";
import { decode, encode, type Dictionary } from "./codec.ts";
import { Journal, replay, type Content } from "./journal.ts";

/**
 * The rules of docs/merging.md for nested objects and Maps, objects in several places and moved objects, said differently:
 * the model knows the handler's objects by their identity and walks through the live data. It uses no text and no list of
 * objects.
 */

const limits = { bytes: 1_000_000, depth: 32 };

type Container = Dictionary | Map<string, unknown>;

const isContainer = (value: unknown): value is Container => typeof value === "object" && value !== null;
const namesOf = (container: Container): string[] =>
  container instanceof Map ? [...container.keys()] : Object.keys(container);
const has = (container: Container, name: string): boolean => namesOf(container).includes(name);
const get = (container: Container, name: string): unknown =>
  container instanceof Map ? container.get(name) : container[name];
const put = (container: Container, name: string, value: unknown): void =>
  container instanceof Map ? void container.set(name, value) : void (container[name] = value);
const remove = (container: Container, name: string): void =>
  container instanceof Map ? void container.delete(name) : void delete container[name];
const isSameKind = (a: Container, b: unknown): b is Container =>
  isContainer(b) && a instanceof Map === b instanceof Map;

/** A container at one moment: which one it was, and its children then. */
interface Remembered {
  readonly container: Container;
  readonly children: ReadonlyMap<string, unknown>;
}

const remember = (value: unknown): unknown =>
  isContainer(value)
    ? { container: value, children: new Map(namesOf(value).map((name) => [name, remember(get(value, name))])) }
    : value;

/** Does to `newest` what has become of a container since it was remembered. */
function merge({ children }: Remembered, live: Container, newest: Container): void {
  for (const name of children.keys()) if (!has(live, name)) remove(newest, name);
  for (const name of namesOf(live)) {
    const [was, is] = [children.get(name), get(live, name)];
    if (!children.has(name)) put(newest, name, structuredClone(is));
    else if (isContainer(is) && (was as Remembered).container === is) {
      const there = get(newest, name);
      if (isSameKind(is, there)) merge(was as Remembered, is, there);
    } else if (!Object.is(was, is)) put(newest, name, structuredClone(is));
  }
}

const isEmpty = (value: unknown): boolean =>
  isContainer(value) && namesOf(value).every((name) => !(value instanceof Map) && isEmpty(get(value, name)));

function complete(value: unknown, empty: Container): void {
  if (!isSameKind(empty, value) || value instanceof Map) return;
  for (const name of namesOf(empty)) {
    if (has(value, name)) complete(get(value, name), get(empty, name) as Container);
    else put(value, name, structuredClone(get(empty, name)));
  }
}

class Request {
  readonly journal: Journal;
  content: Content;
  /** The keys at the last moment that others know. */
  #start = new Map<string, unknown>();
  /** Keys that were assigned or deleted, and those that were created empty. */
  #assigned = new Set<string>();
  #created = new Map<string, { empty: Container; since: unknown }>();

  constructor(record: Content) {
    this.journal = new Journal(record, limits);
    this.content = record;
    this.restart();
  }

  get data(): Dictionary {
    return this.journal.data;
  }

  restart(): void {
    this.#start = new Map(Object.keys(this.data).map((key) => [key, remember(this.data[key])]));
    this.#assigned = new Set();
    this.#created = new Map();
  }

  assign(key: string, value: unknown): void {
    const isNew = !Object.hasOwn(this.data, key);
    if (this.data[key] === value && isContainer(value)) return;
    this.data[key] = value;
    if (!isNew || this.#assigned.has(key) || !isEmpty(value)) this.#assigned.add(key);
    else this.#created.set(key, { empty: structuredClone(value as Container), since: remember(value) });
  }

  delete(key: string): void {
    if (!Object.hasOwn(this.data, key)) return;
    delete this.data[key];
    this.#assigned.add(key);
  }

  /** What the request has done, done to another record. */
  applied(newest: Dictionary): Dictionary {
    const world = structuredClone(newest);
    const { data } = this;
    for (const key of new Set([...Object.keys(data), ...this.#assigned])) {
      const value = data[key];
      const created = this.#created.get(key);
      if (this.#assigned.has(key)) {
        if (Object.hasOwn(data, key)) world[key] = structuredClone(value);
        else delete world[key];
        continue;
      }
      if (created) {
        if (Object.hasOwn(world, key)) complete(world[key], created.empty);
        else world[key] = structuredClone(created.empty);
      }
      const since = (created?.since ?? this.#start.get(key)) as Remembered;
      if (isContainer(value) && isSameKind(value, world[key])) merge(since, value, world[key]);
    }
    return world;
  }
}

const fresh = { next: 100 };

/** The containers of the data, each with its path and all that it is in. */
function containersOf(data: Dictionary): { container: Container; above: readonly Container[] }[] {
  const found: { container: Container; above: readonly Container[] }[] = [];
  const walk = (container: Container, above: readonly Container[]): void => {
    found.push({ container, above });
    for (const name of namesOf(container)) {
      const child = get(container, name);
      if (isContainer(child)) walk(child, [...above, container]);
    }
  };
  for (const key of Object.keys(data)) if (isContainer(data[key])) walk(data[key], []);
  return found;
}

function act(request: Request, what: number, which: number, where: number): void {
  const { data } = request;
  const all = containersOf(data);
  const v = fresh.next++;
  const made: unknown[] = [{}, new Map(), { x: v }, new Map([["x", v]]), { in: new Map([["y", { z: v }]]) }, v];
  const value = made[which % made.length];
  const key = ["a", "b", "c"][where % 3]!;
  const target = all[where % Math.max(1, all.length)];
  const source = all[which % Math.max(1, all.length)];
  // An object is put neither into itself nor into what it contains.
  const isBelow =
    target && source && (target.container === source.container || isWithin(target.container, source.container));
  const name = target && namesOf(target.container)[which % Math.max(1, namesOf(target.container).length)];
  const acts: (() => unknown)[] = [
    () => request.assign(key, value),
    () => request.delete(key),
    () => source && request.assign(key, source.container),
    () => target && put(target.container, `n${v}`, value),
    () => target && put(target.container, `n${v}`, v),
    () => target && name !== undefined && put(target.container, name, value),
    () => target && name !== undefined && remove(target.container, name),
    () => target && put(target.container, ["p", "q"][which % 2]!, v),
    // The same object in another place, and one that is moved.
    () => target && source && !isBelow && put(target.container, `n${v}`, source.container),
    () => {
      if (!target || !source || isBelow) return;
      const parent = source.above.at(-1);
      const own = parent && namesOf(parent).find((one) => get(parent, one) === source.container);
      if (!parent || own === undefined) return;
      remove(parent, own);
      put(target.container, own, source.container);
    },
  ];
  acts[what % acts.length]!();
}

const isWithin = (inner: Container, outer: Container): boolean =>
  namesOf(outer).some((name) => {
    const child = get(outer, name);
    return child === inner || (isContainer(child) && isWithin(inner, child));
  });

const makeWorld = (): Dictionary => ({
  a: { p: 1, in: { p: 2, q: 3, map: new Map([["x", new Map([["y", 4]])]]) } },
  b: new Map<string, unknown>([
    ["m", new Map([["p", 5]])],
    ["o", { q: 6, in: { p: 7 } }],
  ]),
});

/** Neither the order of names nor that of keys is promised. */
function ordered(value: unknown): unknown {
  if (!isContainer(value)) return value;
  const entries = namesOf(value)
    .toSorted()
    .map((name) => [name, ordered(get(value, name))] as const);
  return value instanceof Map ? new Map(entries) : Object.fromEntries(entries);
}

type Step = readonly [who: number, what: number, which: number, where: number];

function run(steps: readonly Step[], count: number): void {
  fresh.next = 100;
  let record: Content = { data: encode(makeWorld(), limits), flashes: [] };
  const dataOf = (content: Content) => ({ ...decode(content.data) });
  const requests = Array.from({ length: count }, () => new Request(record));

  const commit = (request: Request, late: readonly Step[]) => {
    const { journal } = request;
    const before = [request.applied(dataOf(record))];
    // Where only new objects of the same text were assigned, a request stores nothing.
    if (!journal.isChanged()) before.push(dataOf(record));
    const snapshot = journal.snapshot();
    const isAlone = request.content === record;
    const stored = isAlone ? snapshot.content : replay(snapshot, record, limits);
    if (!isAlone) expect(before.map(ordered), "the stored data").toContainEqual(ordered(dataOf(stored)));
    request.restart();
    for (const [, what, which, where] of late) act(request, what, which, where);
    const after = request.applied(dataOf(stored));
    journal.stored(snapshot, stored);
    record = request.content = stored;
    expect(ordered(journal.toJSON()), "the handler's data").toEqual(ordered(after));
    if (late.length === 0) {
      expect(journal.isChanged()).toBe(false);
      return request.restart();
    }
    journal.isChanged();
    const again = journal.snapshot();
    journal.stored(again, again.content);
    record = request.content = again.content;
    request.restart();
  };

  for (const [who, what, which, where] of steps) {
    const request = requests[who % count]!;
    if (what < 1000) act(request, what, which, where);
    else
      commit(
        request,
        what < 1050
          ? []
          : [
              [who, which, where, what],
              [who, where, what, which],
            ],
      );
  }
  for (const request of requests) commit(request, []);
}

describe("Merging of nested objects and Maps", () => {
  it("agrees with a model that knows objects by their identity, over random schedules of several requests", () => {
    const what = fc.oneof(
      { weight: 4, arbitrary: fc.nat(999) },
      { weight: 1, arbitrary: fc.integer({ min: 1000, max: 1099 }) },
    );
    const schedule = fc.array(fc.tuple(fc.nat(5), what, fc.nat(50), fc.nat(50)), { maxLength: 30, size: "max" });
    const numRuns = Number(process.env["MERGING_RUNS"] ?? 300);
    expect.hasAssertions();
    fc.assert(
      fc.property(schedule, fc.integer({ min: 2, max: 4 }), (steps, each) => run(steps, each)),
      { numRuns },
    );
  });
});
