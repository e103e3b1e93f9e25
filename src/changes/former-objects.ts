import type { SeenObjects } from "./replay.ts";

/**
 * The objects that a request was given from stored data, also those that its data do not contain any more: a handler may
 * keep one in a variable and assign it again, and another user who signs in must not get it.
 */
export class FormerObjects {
  #known: WeakSet<object> | undefined;
  /** The last ones, which most requests never ask for: they store once and end. */
  #latest: SeenObjects | undefined;

  add(objects: SeenObjects): void {
    this.#addLatest();
    this.#latest = objects;
  }

  has(object: object): boolean {
    this.#addLatest();
    return this.#known?.has(object) === true;
  }

  /** The copy of a former object is one too. */
  addCopy(copy: object, original: object): void {
    if (this.has(original)) this.#know(copy);
  }

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
