import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary, type Limits } from "./codec.ts";
import { copyOf, objectsIn, textOf } from "./containers.ts";
import { areSameFlashes, MAX_FLASHES, mergeFlashes } from "./flashes.ts";
import { putInto, separated, type Placed } from "./place.ts";
import { randomPart } from "../record/token.ts";
import type { Flash, StoredFlash } from "../record/record.ts";
import { EMPTY, pathIn, type Content, type SeenObjects, type Snapshot } from "./replay.ts";
import { followedBy, joined, momentOf, NO_VALUE, replaySteps, WHOLE } from "./steps.ts";
import type { Changes, Moment, Step, Updater } from "./steps.ts";
import { without } from "./strip.ts";
import { Tracker } from "./tracker.ts";

export { EMPTY, only, replay, type Content, type Snapshot } from "./replay.ts";

/** The state of a journal when a call of `save()` failed: the response does not store it after all. */
interface SetAside {
  readonly values: Values;
  readonly flashes: readonly StoredFlash[];
  readonly changes: Changes;
  readonly from: SeenObjects;
}

/** Each key's text; the value itself where it has none, because it can't be kept. */
type Values = ReadonlyMap<string, unknown>;

/**
 * What one request changes in a session's data, in a form that can be applied again to a newer record.
 *
 * That there are changes is found by comparing texts. Which they are is only asked after a conflict: a tracker knows what
 * was assigned, deleted and updated, and comparing the moments in between tells what was changed in place.
 */
export class Journal {
  #base: Content;
  #tracker: Tracker | undefined;
  #flashes: readonly StoredFlash[];
  /** What `isChanged` has found: encoding is most of what a commit costs, and a commit asks first and stores then. */
  #found: Content | undefined;
  /** What is being stored just now. */
  #pending: Snapshot | undefined;
  /** How the data stood when storing them failed, and whoever had asked for it was told. */
  #setAsideState: SetAside | undefined;
  /** The keys of before that the handler may still see, once somebody has signed in. */
  #keep: readonly string[] | undefined;
  /** They were not hidden yet when the pending snapshot was made: it belongs to the session of before. */
  #isHiddenSince = false;
  readonly #limits: Limits;

  constructor(base: Content, limits: Limits) {
    this.#base = base;
    this.#flashes = base.flashes;
    this.#limits = limits;
  }

  get data(): Dictionary {
    return this.#tracked.proxy;
  }

  get #tracked(): Tracker {
    return (this.#tracker ??= new Tracker(decode(this.#base.data)));
  }

  /** A deep copy of the data, without a proxy: for JSON.stringify and structuredClone. */
  toJSON(): Dictionary {
    return copyOf(this.#tracked.raw) as Dictionary;
  }

  update(key: string, apply: Updater): unknown {
    return this.#tracked.update(key, apply, this.#limits);
  }

  flash(flash: Flash): void {
    // Encoded and decoded: a snapshot, refused here and now where it can't be kept.
    const message = decodeValue(encodeValue(flash.message, "the flash message", this.#limits));
    const flashes = [...this.#flashes, { ...flash, message, key: randomPart() }].slice(-MAX_FLASHES);
    if (Buffer.byteLength(encodeValue(flashes, "flashes", BOUNDLESS)) > this.#limits.bytes) {
      throw new TypeError(
        `The flashes are larger than limits.bytes (${this.#limits.bytes}); show some or make them shorter`,
      );
    }
    this.#flashes = flashes;
  }

  takeFlashes(category: string | undefined): Flash[] {
    const wanted = (flash: StoredFlash) => category === undefined || flash.category === category;
    const taken = this.#flashes.filter(wanted);
    if (taken.length > 0) this.#flashes = this.#flashes.filter((flash) => !wanted(flash));
    return taken.map(({ category: of, message }) => ({ category: of, message }));
  }

  /** The content as this request leaves it; the very `base` if nothing is different. */
  content(): Content {
    const data = this.#tracker ? encode(this.#tracker.raw, this.#limits) : this.#base.data;
    const content = { data, flashes: this.#flashes };
    return isSame(content, this.#base) ? this.#base : content;
  }

  /** Whether there is anything new that is not being stored already. */
  isChanged(): boolean {
    this.#found = this.content();
    return !isSame(this.#found, this.#pending?.content ?? this.#base);
  }

  /** Begins to store what `isChanged` has found just now. What comes after it is told apart. */
  snapshot(): Snapshot {
    this.takeBack();
    const content = this.#found ?? this.content();
    this.#found = undefined;
    const { changes = new Map(), seen = new Map() } = this.#tracker ?? {};
    const isSeenStill = content === this.#base && changes.size === 0;
    const end = isSeenStill || !this.#tracker ? seen : objectsOf(this.#tracker.raw, this.#tracker.keys());
    this.#pending = { base: this.#base, content, changes, from: seen, end };
    this.#tracker?.restart(end);
    this.#isHiddenSince = false;
    return this.#pending;
  }

  /**
   * Goes on from what was stored of a snapshot: it is put into the very objects that the handler holds. What the handler
   * has changed since then stays changed.
   *
   * @returns the paths of changes since then that are dropped, because others had removed what they were made in.
   */
  stored(snapshot: Snapshot, stored: Content): readonly string[] {
    this.#pending = undefined;
    const dropped: string[] = [];
    if (this.#tracker && snapshot.content.data !== stored.data) {
      this.#goOn(this.#tracker, textsOf(decode(snapshot.content.data)), stored, dropped);
    }
    const seen = new Set(snapshot.content.flashes.map(({ key }) => key));
    const others = this.#keep ? stored.flashes.filter(({ key }) => seen.has(key)) : stored.flashes;
    this.#flashes = mergeFlashes(snapshot.content.flashes, this.#flashes, others);
    this.#base = stored;
    return dropped;
  }

  /** Whoever signed in sees the session as it is stored from now on. */
  unrestrict(): void {
    this.#keep = undefined;
  }

  /** Goes on from `stored`, where the handler had gone on from `start`. */
  #goOn({ raw, changes, seen }: Tracker, start: Values, stored: Content, dropped: string[]): void {
    const target = decode(stored.data);
    const now = valuesOf(raw);
    const objects = new Set<object>();
    const isInPlace = (key: string) => changes.get(key) !== WHOLE;
    // An object that is in several places stays in the one where it was read.
    for (const key of [...now.keys()].toSorted((a, b) => Number(isInPlace(b)) - Number(isInPlace(a))))
      if (typeof now.get(key) === "string") raw[key] = separated(raw[key], objects);

    for (const key of new Set([...start.keys(), ...now.keys(), ...Object.keys(target)])) {
      if (changes.get(key) === WHOLE || this.#isHidden(key)) continue;
      const [was, is] = [start.get(key), now.get(key)];
      const steps = changes.get(key) as readonly Step[] | undefined;
      if (was === textIn(target, key)) continue;
      if (was === is && !steps) {
        this.#place(key, is, target, seen);
        continue;
      }
      if (!isText(was) || !isText(is)) {
        // It can't be kept, and can't be merged either.
        changes.set(key, WHOLE);
        continue;
      }
      const from: Moment = was === undefined ? NO_VALUE : { text: was, objects: seen.get(key) ?? [] };
      const end: Moment = is === undefined ? NO_VALUE : { text: is, objects: objectsIn(raw[key]) };
      const began = objectsIn(target[key]);
      const done = replaySteps(steps ?? [], from, end, target, key, (path) => dropped.push(pathIn(path)));
      const placed = this.#place(key, is, target, seen);
      const held = (list: readonly object[]) => list.map((object) => placed.get(object) ?? object);
      seen.set(key, held(began));
      if (steps)
        changes.set(
          key,
          done.map((step) => heldStep(step, held)),
        );
    }
    order(raw, target);
  }

  /** Whether the handler may not see what is stored of a key. */
  #isHidden(key: string): boolean {
    if (this.#keep === undefined || this.#keep.includes(key)) return false;
    return this.#isHiddenSince || !Object.hasOwn(this.#tracked.raw, key);
  }

  /** Puts a key's value, or that there is none, where the handler sees it. */
  #place(key: string, is: unknown, target: Dictionary, seen: SeenObjects): Placed {
    const { raw } = this.#tracked;
    const placed: Placed = new Map();
    if (!Object.hasOwn(target, key)) delete raw[key];
    // A value that has no text can't be compared.
    else raw[key] = typeof is === "string" ? putInto(raw[key], target[key], placed) : target[key];
    seen.set(key, objectsIn(raw[key]));
    return placed;
  }

  /** A snapshot could not be stored: what was in it is still to be stored. */
  restore({ from, end, changes }: Snapshot): void {
    this.#pending = undefined;
    if (this.#tracker) this.#resume(this.#tracker, changes, from, end);
  }

  /** Goes back to changes that are to be stored after all, and the others that came after them. */
  #resume(tracker: Tracker, changes: Changes, from: SeenObjects, end: SeenObjects): void {
    // A key first looked at since then had not been changed before.
    for (const [key, objects] of end) if (!from.has(key) && !changes.has(key)) from.set(key, objects);
    tracker.changes = joined(changes, tracker.changes);
    tracker.seen = from;
  }

  /**
   * Hides what was there before this request, but for the keys of `keep`: somebody signs in who may not see it. What is
   * stored then is up to whoever stores it; this is what the handler sees until then, others' changes included.
   */
  restrict(keep: readonly string[]): void {
    const { raw, changes, seen } = this.#tracked;
    this.#keep = keep;
    this.#isHiddenSince = this.#pending !== undefined;
    const former = this.#setAsideState ?? this.#pending;
    const hidden = new Set<object>();
    const isBefore = (key: string) => !former || former.from.has(key) || !former.changes.has(key);
    for (const [key, objects] of [...seen, ...(former?.from ?? [])])
      if (!keep.includes(key) && (former?.from.get(key) === objects || isBefore(key)))
        for (const object of objects) hidden.add(object);

    for (const key of new Set([...Object.keys(raw), ...changes.keys()])) {
      const own = followedBy(former?.changes.get(key), changes.get(key));
      if (own === undefined && !keep.includes(key)) delete raw[key];
      else if (keep.includes(key) || own === WHOLE || own?.[0]?.kind === "create") put(raw, key, raw[key], hidden);
      else put(raw, key, anew(own!, raw, key, hidden), hidden);
      // There is nothing in the new session that it could be merged with.
      if (own === undefined || keep.includes(key)) continue;
      const its = this.#setAsideState && !changes.has(key) ? this.#setAsideState.changes : changes;
      its.set(key, WHOLE);
    }
    this.#flashes = mergeFlashes(this.#base.flashes, this.#flashes, EMPTY.flashes);
  }

  /** Sets aside what could not be stored: `dropSetAside` takes it away, `takeBack` takes it back into account. */
  setAside(): void {
    this.takeBack();
    const tracker = this.#tracked;
    const values = valuesOf(tracker.raw);
    this.#setAsideState = { values, flashes: this.#flashes, changes: tracker.changes, from: tracker.seen };
    const keys = [...tracker.keys()].filter((key) => typeof values.get(key) === "string");
    tracker.restart(objectsOf(tracker.raw, keys));
  }

  /** Whether nothing was changed since `setAside`. */
  get isSetAside(): boolean {
    if (!this.#setAsideState) return false;
    const { values, flashes } = this.#setAsideState;
    return this.#flashes === flashes && isSameMap(valuesOf(this.#tracked.raw), values);
  }

  takeBack(): void {
    if (!this.#setAsideState) return;
    const { changes, from } = this.#setAsideState;
    this.#setAsideState = undefined;
    const tracker = this.#tracked;
    this.#resume(tracker, changes, from, tracker.seen);
  }

  /** Goes back to `stored`, but for what was changed since `setAside`. */
  dropSetAside(stored: Content): void {
    if (!this.#setAsideState) return;
    const { values, flashes } = this.#setAsideState;
    this.#found = this.#setAsideState = this.#keep = undefined;
    this.#goOn(this.#tracked, values, stored, []);
    this.#flashes = mergeFlashes(flashes, this.#flashes, stored.flashes);
    this.#base = stored;
  }
}

/** The value that the updates of a key give where there was nothing before. */
function anew(steps: readonly Step[], raw: Dictionary, key: string, hidden: ReadonlySet<object>): unknown {
  const data: Dictionary = {};
  const own = steps.map((step): Step => {
    if (step.kind === "create") return step;
    return { ...step, apply: step.apply.map((apply) => (value) => without(apply(value), hidden)) };
  });
  replaySteps(own, NO_VALUE, momentOf(raw, key), data, key, () => {});
  return data[key];
}

/** Puts what is not hidden of a value. */
function put(raw: Dictionary, key: string, value: unknown, hidden: ReadonlySet<object>): void {
  const shown = without(value, hidden);
  if (shown === undefined && (value !== undefined || !Object.hasOwn(raw, key))) delete raw[key];
  else raw[key] = shown;
}

function heldStep(step: Step, held: (list: readonly object[]) => object[]): Step {
  const after = { ...step.after, objects: held(step.after.objects) };
  if (step.kind === "create") return { ...step, after };
  return { ...step, before: { ...step.before, objects: held(step.before.objects) }, after };
}

function objectsOf(raw: Dictionary, keys: Iterable<string>): SeenObjects {
  const objects: SeenObjects = new Map();
  for (const key of keys) if (Object.hasOwn(raw, key)) objects.set(key, objectsIn(raw[key]));
  return objects;
}

function isSame(a: Content, b: Content): boolean {
  return a.data === b.data && areSameFlashes(a.flashes, b.flashes);
}

const textIn = (data: Dictionary, key: string): string | undefined =>
  Object.hasOwn(data, key) ? textOf(data[key]) : undefined;

const textsOf = (data: Dictionary): Values => new Map(Object.keys(data).map((key) => [key, textOf(data[key])]));

const isText = (value: unknown): value is string | undefined => value === undefined || typeof value === "string";

/** Each key's text, or its value where that can't be kept. */
function valuesOf(data: Dictionary): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const key of Object.keys(data)) {
    try {
      values.set(key, textOf(data[key]));
    } catch {
      values.set(key, data[key]);
    }
  }
  return values;
}

function isSameMap(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.has(key) && b.get(key) === value);
}

/** Puts keys in the order of what is stored, or the same data would read like another text. */
function order(data: Dictionary, stored: Dictionary): void {
  for (const key of Object.keys(stored)) {
    if (!Object.hasOwn(data, key)) continue;
    const value = data[key];
    delete data[key];
    data[key] = value;
  }
}
