import type { Copied } from "./containers.ts";
import type { SeenObjects } from "./replay.ts";

/**
 * The objects that a request was given from stored data, also those that its data do not contain any more: a handler may
 * keep one in a variable and assign it again, and another user who signs in must not get it.
 */
export class FormerObjects {
  #known: WeakSet<object> | undefined;
  /** The last ones, which most requests never ask for: they store once and end. */
  #latest: SeenObjects | undefined;
  /** By copies: what they are copies of. */
  #originals: WeakMap<object, object> | undefined;

  add(objects: SeenObjects): void {
    this.#addLatest();
    this.#latest = objects;
  }

  has(object: object): boolean {
    this.#addLatest();
    return this.#known !== undefined && (this.#known.has(object) || this.#known.has(this.originalOf(object)));
  }

  /** What an object was copied from at first, or the object itself. */
  originalOf(object: object): object {
    return this.#originals?.get(object) ?? object;
  }

  /** Every copy that the library makes is told here: the copy of a former object is one too, also if that is known later. */
  readonly copied: Copied = (copy, original) => {
    if (this.has(original)) this.#know(copy);
    // Not the original alone: a chain of copies would keep all of them in memory.
    (this.#originals ??= new WeakMap()).set(copy, this.originalOf(original));
  };

  #addLatest(): void {
    const { all = [], byKey } = this.#latest ?? {};
    this.#latest = undefined;
    for (const object of all) this.#know(object);
    if (byKey) for (const objects of byKey.values()) for (const object of objects) this.#know(object);
  }

  #know(object: object): void {
    (this.#known ??= new WeakSet()).add(object);
  }
}
