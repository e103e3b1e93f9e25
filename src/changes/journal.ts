import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type Dictionary, type Limits } from "./codec.ts";
import { isObject, objectsIn, tellCopies, textOf } from "./containers.ts";
import { SessionError } from "../errors.ts";
import { areSameFlashes, MAX_FLASHES, mergeFlashes, withoutHidden } from "./flashes.ts";
import { FormerObjects } from "./former-objects.ts";
import { createRandomPart } from "../random.ts";
import { rebase } from "./rebase.ts";
import type { Flash, StoredFlash } from "../record/record.ts";
import { EMPTY, objectsByKey, type Content, type SeenObjects, type Snapshot } from "./replay.ts";
import { Restriction } from "./restriction.ts";
import type { Moments } from "./separate.ts";
import type { ObjectSet } from "./strip.ts";
import { followedBy, joined, type Changes, type Moment, type ReadonlyChanges, type Updater } from "./steps.ts";
import { Tracker, type OnUse } from "./tracker.ts";
import { areSameValues, valuesOf, type Values } from "./values.ts";

export { EMPTY, only, replay, type Content, type Snapshot } from "./replay.ts";

/** The state of a journal when a call of `save()` failed: the response does not store it after all. */
interface SetAside {
  readonly values: Values;
  readonly flashes: readonly StoredFlash[];
  readonly changes: Changes;
  readonly from: SeenObjects;
}

/** The data and flashes that a sign-in hides. */
interface Restricted {
  readonly restriction: Restriction;
  /** The keys of before that may stay. */
  readonly keep: readonly string[];
  /** The flashes of before, and those that may stay. */
  readonly before: readonly StoredFlash[];
  readonly shown: readonly StoredFlash[];
  /** The sign-in is being stored. */
  isPending: boolean;
}

/**
 * The changes of one request in a session's data, in a form that can be applied again to a newer record.
 *
 * That there are changes is found by comparing texts. Which they are is only asked after a conflict: a tracker knows what
 * was assigned, deleted and updated, and comparing the moments in between tells what was changed in place.
 */
export class Journal {
  #base: Content;
  #tracker: Tracker | undefined;
  #flashes: readonly StoredFlash[];
  /** The content that `isChanged` has encoded: a commit asks first and stores then, and encoding is most of its cost. */
  #found: Content | undefined;
  /** The objects that it was made of. */
  #objects: readonly object[] = [];
  /** The snapshot that is being stored. */
  #pending: Snapshot | undefined;
  /** The data at the moment when a call of `save()` failed to store them. */
  #setAsideState: SetAside | undefined;
  /** Set while a requested sign-in hides data. */
  #restricted: Restricted | undefined;
  readonly #limits: Limits;
  readonly #onUse: OnUse | undefined;
  #former: FormerObjects | undefined;

  /**
   * @param onUse - is told of changes that a handler makes, also through data that it has kept since long ago.
   * @param former - the objects of earlier journals of the request.
   */
  constructor(base: Content, limits: Limits, onUse?: OnUse, former?: FormerObjects) {
    this.#onUse = onUse;
    this.#former = former;
    this.#base = base;
    this.#flashes = base.flashes;
    this.#limits = limits;
  }

  get data(): Dictionary {
    return this.#tracked.proxy;
  }

  get #tracked(): Tracker {
    return (this.#tracker ??= new Tracker(decode(this.#base.data), this.#onUse));
  }

  /** Whether the handler holds objects that it could change in place. */
  get hasGivenObjects(): boolean {
    return this.#tracker?.hasGivenObjects === true;
  }

  /** A deep copy of the data, without a proxy: for JSON.stringify and structuredClone. */
  toJSON(): Dictionary {
    return decodeValue(textOf(this.#tracked.raw)) as Dictionary;
  }

  update(key: string, apply: Updater): unknown {
    return this.#tracked.update(key, apply, this.#limits);
  }

  flash(flash: Flash): void {
    // Encoded and decoded: a snapshot, refused here and now where it can't be kept.
    const objects: object[] = [];
    const message = decodeValue(encodeValue(flash.message, "the flash message", this.#limits, objects));
    const key = createRandomPart();
    const flashes = [...this.#flashes, { ...flash, message, key }].slice(-MAX_FLASHES);
    if (Buffer.byteLength(encodeValue(flashes, "flashes", BOUNDLESS)) > this.#limits.bytes) {
      throw new SessionError(
        "ERR_SESSION_TOO_LARGE",
        `The flashes are larger than limits.bytes (${this.#limits.bytes}); show some or make them shorter`,
      );
    }
    this.#flashes = flashes;
    if (objects.length > 0) tellCopies(message, objects, this.#formerObjects.copied);
  }

  takeFlashes(category: string | undefined): Flash[] {
    const wanted = (flash: StoredFlash) => category === undefined || flash.category === category;
    const taken = this.#flashes.filter(wanted);
    if (taken.length > 0) this.#flashes = this.#flashes.filter((flash) => !wanted(flash));
    const isOwn = (key: string) => !this.#base.flashes.some((flash) => flash.key === key);
    for (const { key, message } of taken)
      if (isObject(message) && !isOwn(key)) this.#formerObjects.add({ all: objectsIn(message) });
    return taken.map(({ category: of, message }) => ({ category: of, message }));
  }

  /** The content as this request leaves it; the very `base` if nothing is different. */
  content(): Content {
    const last = this.#pending?.content ?? this.#base;
    let { data } = last;
    if (this.#tracker?.isSurelyUnchanged === false) {
      const objects: object[] = [];
      data = encode(this.#tracker.raw, this.#limits, objects);
      this.#objects = objects;
    } else if (areSameFlashes(this.#flashes, last.flashes)) return last;
    const content = { data, flashes: this.#flashes };
    return isSame(content, this.#base) ? this.#base : content;
  }

  /** Whether there are changes that are not being stored already. */
  isChanged(): boolean {
    this.#found = this.content();
    return !isSame(this.#found, this.#pending?.content ?? this.#base);
  }

  /** Takes the changes that `isChanged` has found just now, to store them. Later changes are told apart. */
  snapshot(): Snapshot {
    this.takeBack();
    const content = this.#found ?? this.content();
    this.#found = undefined;
    const { changes: tracked = new Map(), seen = {} } = this.#tracker ?? {};
    const changes = this.#restricted ? joined(this.#restricted.restriction.own, tracked) : tracked;
    const end = content.data === this.#base.data && changes.size === 0 ? seen : { all: this.#objects };
    this.#pending = { base: this.#base, content, changes, tracked, from: seen, end, former: this.#formerObjects };
    this.#tracker?.restartNow(end);
    if (this.#restricted) this.#restricted.isPending = true;
    return this.#pending;
  }

  /**
   * Puts the stored content of a snapshot into the very objects that the handler holds. Changes that the handler has made
   * since the snapshot stay.
   *
   * @returns the paths of changes since then that are dropped, because others had removed what they were made in.
   */
  stored(snapshot: Snapshot, stored: Content): readonly string[] {
    const keep = this.#keepOfLater;
    const shown = keep && this.#lift(snapshot.content.data !== stored.data);
    this.#restricted = undefined;
    const dropped = this.#tracker ? this.#continue(this.#tracker, snapshot, stored, keep !== undefined) : [];
    this.#flashes = mergeFlashes(snapshot.content.flashes, this.#flashes, stored.flashes);
    if (keep) {
      const own = new Set(snapshot.content.flashes.map(({ key }) => key));
      const others = stored.flashes.filter(({ key }) => !own.has(key));
      this.#restrict(keep, [...this.#base.flashes, ...others], shown);
    }
    this.#pending = undefined;
    this.#base = stored;
    return dropped;
  }

  /** What a sign-in keeps that came after the snapshot: that belongs to the session of before, which is hidden again. */
  get #keepOfLater(): readonly string[] | undefined {
    return this.#restricted?.isPending === false ? this.#restricted.keep : undefined;
  }

  /** @param isOwn - what this request has assigned counts for its own, though it is stored now. */
  #continue(tracker: Tracker, { base, content, from }: Snapshot, stored: Content, isOwn: boolean): readonly string[] {
    const former = this.#formerObjects;
    former.add(from);
    if (content.data === stored.data) return [];
    if (!isOwn) former.add(tracker.seen);
    const data = decode(content.data);
    return rebase(tracker, valuesOf(data), data, stored.data, () => momentsOf(base, from), former);
  }

  get #formerObjects(): FormerObjects {
    return (this.#former ??= new FormerObjects());
  }

  /** A snapshot could not be stored: what was in it is still to be stored. */
  restore({ content, tracked, from }: Snapshot): void {
    const keep = this.#keepOfLater;
    const shown = keep && this.#lift();
    this.#pending = undefined;
    if (this.#restricted) this.#restricted.isPending = false;
    if (this.#tracker) this.#resume(this.#tracker, tracked, from, decode(content.data));
    if (keep) this.#restrict(keep, this.#base.flashes, shown);
  }

  /** Goes back to changes that are to be stored after all, and the others that came after them. */
  #resume(tracker: Tracker, changes: ReadonlyChanges, from: SeenObjects, now: Dictionary): void {
    const byKey = new Map(objectsByKey(from, decode(this.#base.data)));
    // A key that was first looked at since then had not been changed before.
    for (const [key, objects] of objectsByKey(tracker.seen, now))
      if (!byKey.has(key) && !changes.has(key)) byKey.set(key, objects);
    tracker.restart({ byKey }, joined(changes, tracker.changes));
  }

  /**
   * Hides the data that were there before this request, but for the keys of `keep`, because somebody signs in who may not
   * see them. It decides what the handler sees, not what is stored. The last call counts: it brings back what an earlier
   * one has hidden. `undefined` hides nothing.
   *
   * @throws the error of an update that needs a former value. Nothing is hidden then.
   */
  restrict(keep: readonly string[] | undefined): void {
    // One that is being stored is decided by then.
    if (this.#restricted?.isPending) return;
    const shown = this.#restricted && this.#lift();
    if (keep !== undefined) this.#restrict(keep, this.#base.flashes, shown);
  }

  #restrict(
    keep: readonly string[],
    formerFlashes: readonly StoredFlash[],
    seenBefore: ReadonlyMap<string, unknown> = new Map(),
  ): void {
    const former = this.#formerObjects;
    const tracker = this.#tracked;
    const { changes: earlier = new Map() } = this.#setAsideState ?? this.#pending ?? {};
    const { changes } = tracker;
    const hidden = this.#hidden(tracker, keep);
    const changesOf = (key: string) => followedBy(earlier.get(key), changes.get(key));
    const stored = decode(this.#base.data);
    const restriction = new Restriction(tracker, changesOf, { keep, hidden, former, stored, seenBefore });
    const before = this.#flashes;
    this.#flashes = mergeFlashes(formerFlashes, before, EMPTY.flashes).flatMap((flash) =>
      withoutHidden(flash, hidden, former.copied),
    );
    this.#restricted = { restriction, keep, before, shown: this.#flashes, isPending: false };
  }

  #lift(isMerged = false): ReadonlyMap<string, unknown> {
    const { restriction, before, shown } = this.#restricted!;
    this.#restricted = undefined;
    this.#flashes = mergeFlashes(shown, this.#flashes, before);
    return restriction.lift(isMerged);
  }

  /** The objects that the handler was given from what is stored, but for those that are in keys which may stay. */
  #hidden(tracker: Tracker, keep: readonly string[]): ObjectSet {
    const former = this.#formerObjects;
    const before = this.#objectsOfBefore(tracker);
    former.add({ byKey: before });
    const kept = new Set(keep.flatMap((key) => before.get(key) ?? []));
    return { has: (object) => former.has(object) && !kept.has(object) && !kept.has(former.originalOf(object)) };
  }

  /** The objects that the handler has seen of what is stored, by key. */
  #objectsOfBefore(tracker: Tracker): Map<string, readonly object[]> {
    const { changes, from } = this.#setAsideState ?? this.#pending ?? { changes: tracker.changes, from: tracker.seen };
    const found = new Map(objectsByKey(from, decode(this.#base.data)));
    // Looked at since then only.
    const later = objectsByKey(tracker.seen, decode(this.#pending?.content.data ?? this.#base.data));
    for (const [key, objects] of later) if (!found.has(key) && !changes.has(key)) found.set(key, objects);
    return found;
  }

  /** The objects that the handler may have kept, for the journal that takes the place of this one. */
  get former(): FormerObjects | undefined {
    const tracker = this.#tracker;
    if (tracker) {
      // The handler may still read the data that it has kept.
      tracker.seeAll();
      this.#formerObjects.add({ byKey: this.#objectsOfBefore(tracker) });
    }
    return this.#former;
  }

  /** Sets aside the changes that could not be stored. `dropSetAside` removes them, `takeBack` makes them count again. */
  setAside(): void {
    this.takeBack();
    const tracker = this.#tracked;
    const { raw, seen } = tracker;
    const values = valuesOf(raw);
    this.#setAsideState = { values, flashes: this.#flashes, changes: new Map(tracker.changes), from: seen };
    const kept = Object.keys(raw).filter((key) => typeof values.get(key) === "string");
    tracker.restart({ byKey: new Map(kept.map((key) => [key, objectsIn(raw[key])])) });
  }

  /** Whether nothing was changed since `setAside`. */
  get isSetAside(): boolean {
    if (!this.#setAsideState) return false;
    const { values, flashes } = this.#setAsideState;
    return this.#flashes === flashes && areSameValues(valuesOf(this.#tracked.raw), values);
  }

  takeBack(): void {
    if (!this.#setAsideState) return;
    const { changes, from } = this.#setAsideState;
    this.#setAsideState = undefined;
    this.#resume(this.#tracked, changes, from, {});
  }

  /** Goes back to `stored`, but for what was changed since `setAside`. */
  dropSetAside(stored: Content): void {
    if (!this.#setAsideState) return;
    const { values, flashes, from } = this.#setAsideState;
    this.restrict(undefined);
    const tracker = this.#tracked;
    this.#formerObjects.add({ byKey: this.#objectsOfBefore(tracker) });
    this.#found = this.#setAsideState = undefined;
    rebase(tracker, values, {}, stored.data, () => momentsOf(this.#base, from), this.#formerObjects);
    this.#flashes = mergeFlashes(flashes, this.#flashes, stored.flashes);
    this.#base = stored;
  }
}

/** The values that the handler has seen of a content. */
function momentsOf({ data }: Content, seen: SeenObjects): Moments {
  const values = decode(data);
  const moments = new Map<string, Moment>();
  for (const [key, objects] of objectsByKey(seen, values))
    if (Object.hasOwn(values, key)) moments.set(key, { text: textOf(values[key]), objects });
  return moments;
}

const isSame = (a: Content, b: Content): boolean => a.data === b.data && areSameFlashes(a.flashes, b.flashes);
