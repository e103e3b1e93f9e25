import { copyOf, objectsIn, type Copied } from "./containers.ts";

/** The user whose session an object was given from. `undefined`: nobody had signed in. */
type UserId = string | undefined;

/** Lists of objects that are not looked up yet. Most requests never ask, so that they make no entries. */
const MAX_LATER = 64;

/**
 * The objects that a request was given from stored data, with the user whose data they were. A handler may keep one in a
 * variable and assign it again at any time, and another user who signs in must not get it.
 *
 * It belongs to the request: it outlives the data that a handler holds at one moment. Whoever decodes stored data for a
 * handler adds their objects, and whoever copies a handler's objects adds the copies. So nothing depends on the way by
 * which an object was kept.
 */
export class GivenObjects {
  #userOf: WeakMap<object, { userId: UserId }> | undefined;
  #originals: WeakMap<object, object> | undefined;
  #users: Set<string> | undefined;
  /** Each list is followed by its user. */
  #later: (readonly object[] | UserId)[] | undefined;

  add(objects: readonly object[], userId: UserId): void {
    if (!this.#later) this.#later = [objects, userId];
    else if (this.#later.push(objects, userId) > 2 * MAX_LATER) this.#lookUp();
  }

  /** A copy was given if its original was, also if that comes later. */
  addCopy(copy: object, original: object): void {
    if (copy !== original) (this.#originals ??= new WeakMap()).set(copy, original);
  }

  /** The same, as a function. */
  get copied(): Copied {
    return (copy, original) => this.addCopy(copy, original);
  }

  /** A deep copy of a handler's value. */
  copyOf(value: unknown): unknown {
    return copyOf(value, this.copied);
  }

  isCopy(object: object): boolean {
    return this.#originals?.has(object) === true;
  }

  /** Whether an object, or one that it is a copy of, is in a set. */
  isIn(objects: ReadonlySet<object>, object: object): boolean {
    for (let one: object | undefined = object; one; one = this.#originals?.get(one)) if (objects.has(one)) return true;
    return false;
  }

  has(object: object): boolean {
    return this.#find(object) !== undefined;
  }

  /** Whether an object was given from the session of another user than this one. */
  isOfAnother(object: object, userId: string): boolean {
    const found = this.#find(object)?.userId;
    return found !== undefined && found !== userId;
  }

  /** Whether there are objects of another user at all. */
  hasAnyOfAnother(userId: string): boolean {
    this.#lookUp();
    const { size = 0 } = this.#users ?? {};
    return size > (this.#users?.has(userId) ? 1 : 0);
  }

  /** What was put into a live object counts as given, and so does the object. */
  addPlaced(placed: ReadonlyMap<object, object>, userId: UserId): void {
    const filled: object[] = [];
    for (const [source, live] of placed) if (this.has(source)) filled.push(live);
    this.add(filled, userId);
  }

  /** The objects of a value that the library has decoded from what is stored. */
  addValue(value: unknown, userId: UserId): void {
    this.add(objectsIn(value), userId);
  }

  /** From here on, an object is kept for as long only as somebody else keeps it. */
  release(): void {
    this.#lookUp();
  }

  #find(object: object): { userId: UserId } | undefined {
    this.#lookUp();
    let nobodys: { userId: UserId } | undefined;
    for (let one: object | undefined = object; one; one = this.#originals?.get(one)) {
      const found = this.#userOf?.get(one);
      if (found?.userId !== undefined) return found;
      nobodys ??= found;
    }
    return nobodys;
  }

  #lookUp(): void {
    const later = this.#later;
    if (!later) return;
    this.#later = undefined;
    const userOf = (this.#userOf ??= new WeakMap());
    for (let i = 0; i < later.length; i += 2) {
      const objects = later[i] as readonly object[];
      const userId = later[i + 1] as UserId;
      const entry = { userId };
      if (userId !== undefined) (this.#users ??= new Set()).add(userId);
      // A user's object does not become nobody's where a session of nobody's stores it.
      for (const object of objects) if (userId !== undefined || !userOf.has(object)) userOf.set(object, entry);
    }
  }
}
