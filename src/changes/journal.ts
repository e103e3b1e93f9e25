import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary, type Limits } from "./codec.ts";
import { SessionError } from "../errors.ts";
import { createRandomPart } from "../random.ts";
import type { Flash, StoredFlash } from "../record/record.ts";

type Updater = (value: unknown) => unknown;

/** The update functions applied to one key, and the key's text on both sides of them. */
interface Updates {
  readonly before: string | undefined;
  readonly apply: readonly Updater[];
  readonly after: string | undefined;
}

/** What is kept under the user's eyes: the encoded data and the flashes. */
export interface Content {
  readonly data: string;
  readonly flashes: readonly StoredFlash[];
}

/** What a request had changed at one moment: enough to apply it to another content than the one it began with. */
export interface Snapshot {
  readonly base: Content;
  readonly content: Content;
  readonly updates: ReadonlyMap<string, Updates>;
}

/** The state of a journal when a call of `save()` failed: the response does not store it after all. */
interface SetAside {
  /** Each key's text; the value itself where it has none, because it can't be kept. */
  readonly values: ReadonlyMap<string, unknown>;
  readonly flashes: readonly StoredFlash[];
  readonly updates: ReadonlyMap<string, Updates> | undefined;
}

export const EMPTY: Content = { data: "{}", flashes: [] };

/** Flashes that nobody has come to see are forgotten, the oldest first, beyond this many. */
const MAX_FLASHES = 100;

/**
 * What one request changes in a session's data, in a form that can be applied again to a newer record.
 *
 * `data` is an ordinary dictionary. Changes to it are found by comparing texts, key by key, when it is asked for them;
 * only `update` needs to be told, since a function can be applied again where a value can only be written over.
 */
export class Journal {
  #base: Content;
  #data: Dictionary | undefined;
  /** What was there before the request, to tell it from what the request has put in its place. */
  #original: readonly unknown[] = [];
  #updates: Map<string, Updates> | undefined;
  #flashes: readonly StoredFlash[];
  /** What `isChanged` has found: encoding is most of what a commit costs, and a commit asks first and stores then. */
  #seen: Content | undefined;
  /** What is being stored just now. */
  #pending: Snapshot | undefined;
  /** How the data stood when storing them failed, and whoever had asked for it was told. */
  #setAsideState: SetAside | undefined;
  /** The keys of before that the handler may still see, once somebody has signed in. */
  #keep: readonly string[] | undefined;
  readonly #limits: Limits;

  constructor(base: Content, limits: Limits) {
    this.#base = base;
    this.#flashes = base.flashes;
    this.#limits = limits;
  }

  get data(): Dictionary {
    if (!this.#data) {
      this.#data = decode(this.#base.data);
      this.#original = Object.values(this.#data);
    }
    return this.#data;
  }

  update(key: string, apply: Updater): unknown {
    const before = textOf(this.data, key);
    const value = apply(this.data[key]);
    // Refused here and now where it can't be kept.
    const after = value === undefined ? undefined : encodeValue(value, `session.data.${key}`, this.#limits);
    if (value === undefined) delete this.data[key];
    else this.data[key] = value;
    this.#updates ??= new Map();
    this.#updates.set(key, followed(this.#updates.get(key), { before, apply: [apply], after }));
    return value;
  }

  flash(flash: Flash): void {
    // Encoded and decoded: a snapshot, refused here and now where it can't be kept.
    const message = decodeValue(encodeValue(flash.message, "the flash message", this.#limits));
    const flashes = [...this.#flashes, { ...flash, message, key: createRandomPart() }].slice(-MAX_FLASHES);
    if (Buffer.byteLength(encodeValue(flashes, "flashes", BOUNDLESS)) > this.#limits.bytes) {
      throw new SessionError(
        "ERR_SESSION_TOO_LARGE",
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
    const data = this.#data ? encode(this.#data, this.#limits) : this.#base.data;
    const content = { data, flashes: this.#flashes };
    return isSame(content, this.#base) ? this.#base : content;
  }

  /** Whether there is anything new that is not being stored already. */
  isChanged(): boolean {
    this.#seen = this.content();
    return !isSame(this.#seen, this.#pending?.content ?? this.#base);
  }

  /** Begins to store what `isChanged` has found just now. What comes after it is told apart. */
  snapshot(): Snapshot {
    const content = this.#seen ?? this.content();
    this.#seen = undefined;
    this.#pending = { base: this.#base, content, updates: this.#updates ?? new Map() };
    this.#updates = undefined;
    return this.#pending;
  }

  /**
   * Goes on from what was stored of a snapshot. What the handler has changed since then stays changed; values that are
   * the same stay the same objects, so that whoever holds a part of the data goes on holding a live one.
   */
  stored(snapshot: Snapshot, stored: Content): void {
    this.#pending = undefined;
    if (this.#data && snapshot.content.data !== stored.data) this.#merge(this.#data, snapshot, stored);
    const seen = new Set(snapshot.content.flashes.map(({ key }) => key));
    const others = this.#keep ? stored.flashes.filter(({ key }) => seen.has(key)) : stored.flashes;
    this.#flashes = mergeFlashes(snapshot.content.flashes, this.#flashes, others);
    this.#base = stored;
  }

  /** Whoever signed in sees the session as it is stored from now on. */
  unrestrict(): void {
    this.#keep = undefined;
  }

  #merge(data: Dictionary, snapshot: Snapshot, stored: Content): void {
    const before = decode(snapshot.content.data);
    const after = decode(stored.data);
    for (const key of keysOf(before, after)) {
      const was = textOf(before, key);
      const is = textOf(after, key);
      if (was === is) continue;
      if (this.#keep && !this.#keep.includes(key) && !Object.hasOwn(data, key)) continue;
      const later = this.#updates?.get(key);
      if (later && later.before === was && later.after === textOf(data, key)) {
        for (const apply of later.apply) applyTo(after, key, apply);
        if (Object.hasOwn(after, key)) data[key] = after[key];
        else delete data[key];
        this.#updates!.set(key, { ...later, before: is, after: textOf(after, key) });
      } else if (textOf(data, key) === was) write(data, key, is);
    }
    order(data, after);
  }

  /** A snapshot could not be stored: what was in it is still to be stored. */
  restore(snapshot: Snapshot): void {
    this.#pending = undefined;
    this.#updates = allUpdates(snapshot.updates, this.#updates);
  }

  /**
   * Hides what was there before this request, but for the keys of `keep`: somebody signs in who may not see it. What is
   * stored then is up to whoever stores it; this is what the handler sees until then, others' changes included.
   */
  restrict(keep: readonly string[]): void {
    const { data } = this;
    this.#keep = keep;
    const before = decode(this.#base.data);
    for (const key of Object.keys(data)) {
      if (keep.includes(key)) continue;
      const value = data[key];
      const isOld = typeof value === "object" && value !== null && this.#original.includes(value);
      const update = this.#updates?.get(key);
      if (isOld || (update === undefined && Object.hasOwn(before, key) && textOf(before, key) === textOf(data, key))) {
        delete data[key];
      } else if (update !== undefined && update.after === textOf(data, key)) {
        // As if there had been nothing before.
        delete data[key];
        this.#updates!.delete(key);
        for (const apply of update.apply) this.update(key, apply);
      }
    }
    this.#flashes = mergeFlashes(this.#base.flashes, this.#flashes, EMPTY.flashes);
  }

  /** Sets aside what could not be stored: `dropSetAside` takes it away, `takeBack` takes it back into account. */
  setAside(): void {
    this.#setAsideState = { values: valuesOf(this.data), flashes: this.#flashes, updates: this.#updates };
    this.#updates = undefined;
  }

  /** Whether nothing was changed since `setAside`. */
  get isSetAside(): boolean {
    if (!this.#setAsideState) return false;
    const { values, flashes } = this.#setAsideState;
    return this.#flashes === flashes && isSameMap(valuesOf(this.data), values);
  }

  takeBack(): void {
    const { updates } = this.#setAsideState ?? {};
    this.#setAsideState = undefined;
    if (updates) this.#updates = allUpdates(updates, this.#updates);
  }

  /** Goes back to `stored`, but for what was changed since `setAside`. */
  dropSetAside(stored: Content): void {
    if (!this.#setAsideState) return;
    const { values, flashes } = this.#setAsideState;
    const { data } = this;
    const now = valuesOf(data);
    const before = decode(stored.data);
    const updates = this.#updates;
    this.#updates = undefined;
    for (const key of new Set([...values.keys(), ...now.keys(), ...Object.keys(before)])) {
      const later = updates?.get(key);
      const isUpdated = later !== undefined && later.before === values.get(key) && later.after === now.get(key);
      if (now.get(key) !== values.get(key) && !isUpdated) continue;
      write(data, key, textOf(before, key));
      for (const apply of isUpdated ? later.apply : []) this.update(key, apply);
    }
    order(data, before);
    this.#flashes = mergeFlashes(flashes, this.#flashes, stored.flashes);
    this.#base = stored;
    this.#seen = this.#setAsideState = this.#keep = undefined;
  }
}

/** What a snapshot changed, applied to another content than the one it began with. */
export function replay({ base, content, updates }: Snapshot, newest: Content, limits: Limits): Content {
  const before = decode(base.data);
  const mine = decode(content.data);
  const merged = decode(newest.data);
  for (const key of new Set([...keysOf(before, mine), ...updates.keys()])) {
    const now = textOf(mine, key);
    const update = updates.get(key);
    if (!update) {
      if (now !== textOf(before, key)) write(merged, key, now);
      continue;
    }
    if (update.before !== textOf(before, key)) write(merged, key, update.before);
    for (const apply of update.apply) applyTo(merged, key, apply);
    if (now !== update.after) write(merged, key, now);
  }
  return { data: encode(merged, limits), flashes: mergeFlashes(base.flashes, content.flashes, newest.flashes) };
}

/** One run of updates after another; where something else was written in between, only the later counts. */
function followed(earlier: Updates | undefined, later: Updates): Updates {
  if (earlier?.after !== later.before || !earlier) return later;
  return { before: earlier.before, apply: [...earlier.apply, ...later.apply], after: later.after };
}

function allUpdates(
  earlier: ReadonlyMap<string, Updates>,
  later: ReadonlyMap<string, Updates> | undefined,
): Map<string, Updates> {
  const all = new Map(earlier);
  for (const [key, updates] of later ?? []) all.set(key, followed(all.get(key), updates));
  return all;
}

/** A content with the keys of `keep` and no others. Flashes are no data, and never kept. */
export function only(content: Content, keep: readonly string[]): Content {
  if (keep.length === 0) return EMPTY;
  const data = decode(content.data);
  for (const key of Object.keys(data)) if (!keep.includes(key)) delete data[key];
  return { data: encode(data, BOUNDLESS), flashes: [] };
}

/** What was added to and taken from `base` to make `mine`, done to `newest`. */
function mergeFlashes(
  base: readonly StoredFlash[],
  mine: readonly StoredFlash[],
  newest: readonly StoredFlash[],
): readonly StoredFlash[] {
  if (mine === base) return newest;
  const before = new Set(base.map(({ key }) => key));
  const kept = new Set(mine.map(({ key }) => key));
  return newest
    .filter(({ key }) => !before.has(key) || kept.has(key))
    .concat(mine.filter(({ key }) => !before.has(key)))
    .slice(-MAX_FLASHES);
}

function isSame(a: Content, b: Content): boolean {
  if (a.data !== b.data) return false;
  return a.flashes.length === b.flashes.length && a.flashes.every(({ key }, i) => key === b.flashes[i]!.key);
}

function keysOf(...dictionaries: Dictionary[]): Set<string> {
  return new Set(dictionaries.flatMap((dictionary) => Object.keys(dictionary)));
}

/** The text of a key's value, which has been within its bounds before. */
function textOf(data: Dictionary, key: string): string | undefined {
  return Object.hasOwn(data, key) ? encodeValue(data[key], `session.data.${key}`, BOUNDLESS) : undefined;
}

/** Each key's text, or its value where that can't be kept. */
function valuesOf(data: Dictionary): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const key of Object.keys(data)) {
    try {
      values.set(key, textOf(data, key));
    } catch {
      values.set(key, data[key]);
    }
  }
  return values;
}

function isSameMap(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.has(key) && b.get(key) === value);
}

function write(data: Dictionary, key: string, text: string | undefined): void {
  if (text === undefined) delete data[key];
  else data[key] = decodeValue(text);
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

function applyTo(data: Dictionary, key: string, apply: Updater): void {
  const value = apply(data[key]);
  if (value === undefined) delete data[key];
  else data[key] = value;
}
