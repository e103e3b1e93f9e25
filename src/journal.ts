import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary, type Limits } from "./codec.ts";
import { randomPart } from "./token.ts";
import type { Flash, StoredFlash } from "./record.ts";

type Updater = (value: unknown) => unknown;

/** The update functions applied to one key, and the key's text on both sides of them. */
interface Updates {
  before: string | undefined;
  readonly apply: Updater[];
  after: string | undefined;
}

/** What is kept under the owner's eyes: the encoded data and the flashes. */
export interface Content {
  readonly data: string;
  readonly flashes: readonly StoredFlash[];
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
  #updates: Map<string, Updates> | undefined;
  #flashes: readonly StoredFlash[];
  readonly #limits: Limits;

  constructor(base: Content, limits: Limits) {
    this.#base = base;
    this.#flashes = base.flashes;
    this.#limits = limits;
  }

  get data(): Dictionary {
    return (this.#data ??= decode(this.#base.data));
  }

  update(key: string, apply: Updater): unknown {
    const before = this.#textOf(this.data, key);
    const value = apply(this.data[key]);
    if (value === undefined) delete this.data[key];
    else this.data[key] = value;
    const after = this.#textOf(this.data, key);

    const earlier = this.#updates?.get(key);
    if (earlier && earlier.after === before) {
      earlier.apply.push(apply);
      earlier.after = after;
    } else (this.#updates ??= new Map()).set(key, { before, apply: [apply], after });
    return value;
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
    const data = this.#data ? encode(this.#data, this.#limits) : this.#base.data;
    if (data === this.#base.data && this.#flashes === this.#base.flashes) return this.#base;
    return { data, flashes: this.#flashes };
  }

  /** Whether `content()` is anything new. */
  isChanged(): boolean {
    return this.content() !== this.#base;
  }

  /** What this request changed, applied to another content than the one it began with. */
  replay(newest: Content): Content {
    const mine = this.data;
    const base = decode(this.#base.data);
    const merged = decode(newest.data);
    for (const key of new Set([...Object.keys(base), ...Object.keys(mine), ...(this.#updates?.keys() ?? [])])) {
      this.#replayKey(key, base, mine, merged);
    }
    const flashes = mergeFlashes(this.#base.flashes, this.#flashes, newest.flashes);
    return { data: encode(merged, this.#limits), flashes };
  }

  #replayKey(key: string, base: Dictionary, mine: Dictionary, merged: Dictionary): void {
    const now = this.#textOf(mine, key);
    const updates = this.#updates?.get(key);
    if (!updates) {
      if (now !== this.#textOf(base, key)) write(merged, key, now);
      return;
    }
    if (updates.before !== this.#textOf(base, key)) write(merged, key, updates.before);
    for (const apply of updates.apply) {
      const value = apply(merged[key]);
      if (value === undefined) delete merged[key];
      else merged[key] = value;
    }
    if (now !== updates.after) write(merged, key, now);
  }

  /**
   * Begins again from what has been stored, where `saved` is the content that this journal gave for it. What the
   * handler has changed since then stays changed; values that are the same stay the same objects, so that whoever
   * holds a part of the data goes on holding a live one.
   */
  rebase(saved: Content, stored: Content): void {
    if (this.#data && saved.data !== stored.data) {
      const before = decode(saved.data);
      const after = decode(stored.data);
      for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
        const was = this.#textOf(before, key);
        const is = this.#textOf(after, key);
        if (was !== is && this.#textOf(this.#data, key) === was) write(this.#data, key, is);
      }
    }
    this.#flashes = mergeFlashes(saved.flashes, this.#flashes, stored.flashes);
    this.#base = { data: stored.data, flashes: stored.flashes };
    this.#updates = undefined;
  }

  /** Forgets what was there before this request, and keeps what it has set itself. */
  forget(): void {
    const mine = this.replay(EMPTY);
    const kept = decode(mine.data);
    for (const key of Object.keys(this.data)) {
      const text = this.#textOf(kept, key);
      if (text !== this.#textOf(this.data, key)) write(this.data, key, text);
    }
    this.#base = EMPTY;
    this.#flashes = mine.flashes;
    this.#updates = undefined;
  }

  #textOf(data: Dictionary, key: string): string | undefined {
    return Object.hasOwn(data, key) ? encodeValue(data[key], `session.data.${key}`, this.#limits) : undefined;
  }
}

/** What was added to and taken from `base` to make `mine`, done to `newest`; the very `newest` if that is nothing. */
function mergeFlashes(
  base: readonly StoredFlash[],
  mine: readonly StoredFlash[],
  newest: readonly StoredFlash[],
): readonly StoredFlash[] {
  if (mine === base) return newest;
  const before = new Set(base.map((flash) => flash.key));
  const kept = new Set(mine.map((flash) => flash.key));
  return newest
    .filter((flash) => !before.has(flash.key) || kept.has(flash.key))
    .concat(mine.filter((flash) => !before.has(flash.key)))
    .slice(-MAX_FLASHES);
}

function write(data: Dictionary, key: string, text: string | undefined): void {
  if (text === undefined) delete data[key];
  else data[key] = decodeValue(text);
}
