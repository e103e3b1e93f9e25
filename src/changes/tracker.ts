import type { SeenObjects } from "./replay.ts";
import { encodeValue, isJson, type Dictionary, type Limits } from "./codec.ts";
import { isEmptyContainer, isObject, objectsIn } from "./containers.ts";
import { GivenValues } from "./given-values.ts";
import { momentOf, NO_VALUE, WHOLE, type Changes, type KeyChanges, type Step, type Updater } from "./steps.ts";

/** Is told how a handler uses the dictionary. */
export interface DataUser {
  /** Called before a change through the dictionary, and when an object that could be changed is taken from it. It may throw. */
  onUse(isWrite: boolean): void;
  /** Called with all objects of a stored value that is given to a handler for the first time. */
  onGive(objects: readonly object[]): void;
}

/**
 * The dictionary that a handler holds, and what was done to it since one moment: which keys were assigned, deleted or
 * updated, and which objects the handler has seen. A proxy that is no deeper than the dictionary itself: Maps and Dates
 * don't work behind one, and objects would not be identical.
 */
export class Tracker implements ProxyHandler<Dictionary> {
  readonly raw: Dictionary;
  readonly proxy: Dictionary;
  readonly #user: DataUser | undefined;
  /** Every object in the data counts as given. */
  #areAllGiven: boolean;
  /** The keys that the handler has looked at or changed, since the first restart. */
  #touched: ReadonlyMap<string, unknown>[] | undefined;
  #changes: Changes | undefined;
  #seen: SeenObjects = {};
  /** The objects that the handler was given since that moment, as they were. */
  #given: GivenValues | undefined;
  /** The handler may hold other objects too: only the text of the data tells of a change then. */
  #holdsOthers = false;

  constructor(raw: Dictionary, user?: DataUser) {
    this.raw = raw;
    this.#user = user;
    this.#areAllGiven = user === undefined;
    this.proxy = new Proxy(raw, this);
  }

  get changes(): ReadonlyMap<string, KeyChanges> {
    return this.#changes ?? UNCHANGED;
  }

  /** The objects at the moment from which on changes are told. */
  get seen(): SeenObjects {
    return this.#seen;
  }

  get hasGivenObjects(): boolean {
    return this.#seen.all !== undefined || this.#seen.byKey !== undefined;
  }

  /** Changes are told from another moment on. */
  restart(seen: SeenObjects, changes?: Changes): void {
    this.#keepTouched();
    this.#seen = seen;
    this.#changes = changes;
    this.#holdsOthers = true;
  }

  /** Changes are told from now on. */
  restartNow(seen: SeenObjects): void {
    this.#keepTouched();
    this.#seen = seen;
    this.#changes = undefined;
    // These were remembered as they were before.
    if (this.#given) this.#holdsOthers = true;
  }

  /** Whether nothing has changed, as far as that can be told without the text. `false`: only the text tells. */
  get isSurelyUnchanged(): boolean {
    if (this.#changes || this.#holdsOthers || Object.getPrototypeOf(this.raw) !== null) return false;
    return this.#given === undefined || this.#given.areSame();
  }

  note(key: string, changes: KeyChanges): void {
    (this.#changes ??= new Map()).set(key, changes);
  }

  /** The handler is given an object, and may change it in place at any time. */
  #give(key: string, value: object): void {
    this.#user?.onUse(false);
    this.#see(key, value);
    if (this.#changes) this.#holdsOthers = true;
    if (!this.#holdsOthers) (this.#given ??= new GivenValues()).add(key, value);
  }

  #see(key: string, value: unknown): void {
    if (!isObject(value) || this.#changes?.has(key)) return;
    const { all, byKey } = this.#seen;
    const isSeen = all !== undefined || byKey?.has(key) === true;
    // After a restart objects are listed that the handler was never given.
    const isNew = this.#touched ? !this.#touched.some((keys) => keys.has(key)) : !isSeen;
    // The value of a key that was listed before and is not now can't be kept: it may be a cycle.
    if (!isNew && (isSeen || this.#touched)) return;
    const objects = objectsIn(value);
    if (!isSeen) {
      const known = byKey ?? new Map<string, readonly object[]>();
      known.set(key, objects);
      if (!byKey) this.#seen = { byKey: known };
    }
    if (!this.#areAllGiven) this.#user?.onGive(objects);
    this.#touched?.push(new Map([[key, objects]]));
  }

  /** Every object in the data counts as given, for a reason that the handler's looking does not tell. */
  allGiven(): void {
    this.#areAllGiven = true;
    this.#touched = undefined;
  }

  /** The keys that were looked at or changed until now stay known over a restart. */
  #keepTouched(): void {
    if (this.#areAllGiven) return;
    const changes = this.#changes ?? UNCHANGED;
    if (!this.#touched) this.#touched = [this.#seen.byKey ?? UNCHANGED, changes];
    else if (this.#changes) this.#touched.push(changes);
  }

  /** As if the handler had looked at every key. */
  seeAll(): void {
    for (const key of Object.keys(this.raw)) this.#see(key, this.raw[key]);
  }

  /** Applies an update; `limits` hold for what it gives. */
  update(key: string, apply: Updater, limits: Limits): unknown {
    const { raw } = this;
    this.#see(key, raw[key]);
    this.#holdsOthers = true;
    const isWhole = this.changes.get(key) === WHOLE;
    const before = isWhole ? NO_VALUE : momentOf(raw, key);
    const value = apply(raw[key]);
    // Refused here and now where it can't be kept.
    const text = value === undefined ? undefined : encodeValue(value, `session.data.${key}`, limits);
    if (value === undefined) delete raw[key];
    else raw[key] = value;
    const changes = this.changes.get(key);
    if (changes === WHOLE) return value;
    const step: Step = { kind: "update", before, apply: [apply], after: { text, objects: objectsIn(value) } };
    this.note(key, withUpdate(changes, step));
    return value;
  }

  /** Puts in place of each value that JSON lacks the one that JSON makes of it. @throws TypeError for a cycle and for a BigInt. */
  toJsonValues(limits: Limits): void {
    const { raw, proxy } = this;
    for (const key of Object.keys(raw)) {
      if (isJson(raw[key], limits)) continue;
      const text = JSON.stringify(raw[key]) as string | undefined;
      if (text === undefined) delete proxy[key];
      else proxy[key] = JSON.parse(text) as unknown;
    }
  }

  get(raw: Dictionary, key: string | symbol): unknown {
    const value = raw[key as string];
    if (typeof value === "object" && value !== null) this.#give(key as string, value);
    return value;
  }

  set(raw: Dictionary, key: string | symbol, value: unknown, receiver: unknown): boolean {
    if (typeof key === "symbol" || receiver !== this.proxy) return Reflect.set(raw, key, value, receiver);
    this.#user?.onUse(true);
    const before = raw[key];
    // `data.k ??= …` that gives the very object is no assignment.
    if (value === before && isObject(value)) return true;
    const isNew = before === undefined && !Object.hasOwn(raw, key);
    raw[key] = value;
    if (isObject(value)) this.#holdsOthers = true;
    this.#assigned(key, value, isNew);
    return true;
  }

  defineProperty(raw: Dictionary, key: string | symbol, descriptor: PropertyDescriptor): boolean {
    this.#user?.onUse(true);
    const isNew = !Object.hasOwn(raw, key);
    if (!Reflect.defineProperty(raw, key, descriptor)) return false;
    this.#holdsOthers = true;
    if (typeof key === "string") this.#assigned(key, descriptor.value, isNew);
    return true;
  }

  deleteProperty(raw: Dictionary, key: string | symbol): boolean {
    if (!Object.hasOwn(raw, key)) return true;
    this.#user?.onUse(true);
    if (!Reflect.deleteProperty(raw, key)) return false;
    if (typeof key === "string") this.note(key, WHOLE);
    return true;
  }

  getOwnPropertyDescriptor(raw: Dictionary, key: string | symbol): PropertyDescriptor | undefined {
    const descriptor = Reflect.getOwnPropertyDescriptor(raw, key);
    if (descriptor && isObject(descriptor.value)) this.#give(key as string, descriptor.value);
    return descriptor;
  }

  #assigned(key: string, value: unknown, isNew: boolean): void {
    const earlier = this.changes.get(key);
    if (isNew && earlier !== WHOLE && isEmptyContainer(value)) this.#created(key, earlier);
    else this.note(key, WHOLE);
  }

  #created(key: string, earlier: readonly Step[] = []): void {
    const after = momentOf(this.raw, key);
    this.note(key, [...earlier, { kind: "create", empty: after.text!, after }]);
  }
}

const UNCHANGED: Changes = new Map();

/** One update after another is one step, unless something else was written in between. */
function withUpdate(changes: Exclude<KeyChanges, string> | undefined, step: Step): readonly Step[] {
  const last = changes?.at(-1);
  if (last?.kind !== "update" || step.kind !== "update" || last.after.text !== step.before.text)
    return [...(changes ?? []), step];
  last.apply.push(...step.apply);
  return [...changes!.slice(0, -1), { ...last, after: step.after }];
}
