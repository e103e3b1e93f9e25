import { BOUNDLESS, decode, decodeValue, encode, encodeValue, type DataRules, type Dictionary } from "./codec.ts";
import { isObject, objectsIn, textOf } from "./containers.ts";
import { SessionError } from "../errors.ts";
import { areSameFlashes, MAX_FLASHES, mergeFlashes, withoutHidden } from "./flashes.ts";
import { GivenObjects } from "./given-objects.ts";
import { GivenUpValues } from "./given-up-values.ts";
import { createRandomPart } from "../random.ts";
import { rebase } from "./rebase.ts";
import type { Flash, StoredFlash } from "../record/record.ts";
import { EMPTY, objectsByKey, type Content, type SeenObjects, type Snapshot } from "./replay.ts";
import { Restriction } from "./restriction.ts";
import type { Moments } from "./separate.ts";
import type { ObjectSet } from "./strip.ts";
import {
  followedBy,
  joined,
  NO_VALUE,
  WHOLE,
  type Changes,
  type Moment,
  type ReadonlyChanges,
  type Updater,
} from "./steps.ts";
import { Tracker, type DataUser } from "./tracker.ts";
import { areSameValues, valuesOf, type Values } from "./values.ts";

export { EMPTY, only, replay, type Content, type Snapshot } from "./replay.ts";

/** Is told of a handler's use of a journal's data. It may throw. */
export interface JournalOwner {
  useData(isWrite: boolean, journal: Journal): void;
}

/** The state of a journal when a call of `save()` failed: the response does not store it after all. */
interface SetAside {
  readonly values: Values;
  readonly flashes: readonly StoredFlash[];
  readonly changes: Changes;
  readonly from: SeenObjects;
}

/** A requested sign-in. */
interface SigningIn {
  /** The keys of before that may stay. `undefined`: all. */
  readonly keep: readonly string[] | undefined;
  readonly userId: string;
}

/** The data and flashes that a sign-in hides. */
interface Restricted {
  readonly restriction: Restriction;
  readonly asked: SigningIn;
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
export class Journal implements DataUser {
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
  readonly #limits: DataRules;
  readonly #owner: JournalOwner | undefined;
  readonly #given: GivenObjects;

  /**
   * @param owner - is told of changes that a handler makes, also through data that it has kept since long ago.
   * @param given - the objects that the request was given, also by its other journals.
   */
  constructor(base: Content, limits: DataRules, owner?: JournalOwner, given = new GivenObjects()) {
    this.#owner = owner;
    this.#given = given;
    this.#base = base;
    this.#flashes = base.flashes;
    this.#limits = limits;
  }

  get data(): Dictionary {
    return this.#tracked.proxy;
  }

  get #tracked(): Tracker {
    return (this.#tracker ??= new Tracker(decode(this.#base.data), this));
  }

  /** Whether the data have a key. Nobody is told of this look. */
  hasKey(key: string): boolean {
    return Object.hasOwn(this.#tracker?.raw ?? decode(this.#base.data), key);
  }

  onUse(isWrite: boolean): void {
    this.#owner?.useData(isWrite, this);
  }

  /** Their user is the one whose data they are at that moment, whoever signs in later. */
  onGive(objects: readonly object[]): void {
    this.#given.add(objects, this.#base.userId);
  }

  /** Whether the handler holds objects that it could change in place. */
  get hasGivenObjects(): boolean {
    return this.#tracker?.hasGivenObjects === true;
  }

  /** The values that the handler was given, of data that are given up now. `undefined`: it holds none. */
  givenUp(): GivenUpValues | undefined {
    return this.hasGivenObjects ? new GivenUpValues(this.#tracked) : undefined;
  }

  /** Whether the handler has changed such values since, and has not put them into these data. */
  isChangeLost(givenUp: GivenUpValues): boolean {
    return givenUp.isChangeLost(this.#tracker?.raw ?? {});
  }

  /** A deep copy of the data, without a proxy: for JSON.stringify and structuredClone. */
  toJSON(): Dictionary {
    const tracker = this.#tracked;
    tracker.seeAll();
    return this.#given.copyOf(tracker.raw) as Dictionary;
  }

  update(key: string, apply: Updater): unknown {
    return this.#tracked.update(key, apply, this.#limits);
  }

  flash(flash: Flash): void {
    // Encoded and decoded: a snapshot, refused here and now where it can't be kept.
    const objects: object[] = [];
    const message = decodeValue(encodeValue(flash.message, "the flash message", this.#limits, objects));
    for (const [i, copy] of objectsIn(message).entries()) this.#given.addCopy(copy, objects[i]!);
    const key = createRandomPart();
    const flashes = [...this.#flashes, { ...flash, message, key }].slice(-MAX_FLASHES);
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
    const stored = new Set(this.#base.flashes.map(({ key }) => key));
    for (const { key, message } of taken) if (isObject(message) && stored.has(key)) this.onGive(objectsIn(message));
    return taken.map(({ category: of, message }) => ({ category: of, message }));
  }

  /** The content as this request leaves it; the very `base` if nothing is different. */
  content(): Content {
    const last = this.#pending?.content ?? this.#base;
    let { data } = last;
    if (this.#tracker?.isSurelyUnchanged === false) {
      if (this.#limits.asJson) this.#tracker.toJsonValues(this.#limits);
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
    this.#pending = { base: this.#base, content, changes, tracked, from: seen, end, given: this.#given };
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
    // A snapshot from before the sign-in belongs to the session of before, which is hidden again.
    const asked = this.#restricted?.isPending === false ? this.#restricted.asked : undefined;
    if (asked) this.#lift();
    this.#restricted = undefined;
    this.#base = stored;
    const dropped = this.#tracker ? this.#continue(this.#tracker, snapshot, stored, asked !== undefined) : [];
    this.#flashes = mergeFlashes(snapshot.content.flashes, this.#flashes, stored.flashes);
    if (asked) {
      const own = new Set(snapshot.content.flashes.map(({ key }) => key));
      const others = stored.flashes.filter(({ key }) => !own.has(key));
      const { seen } = this.#tracked;
      const isMerged = snapshot.content.data !== stored.data;
      const changes = isMerged ? withOthers(snapshot, stored, seen) : snapshot.changes;
      this.#restrict(asked, "hide", [...snapshot.base.flashes, ...others], changes, isMerged ? seen : undefined);
    }
    this.#pending = undefined;
    return dropped;
  }

  /** @param isOwn - what this request has assigned counts for its own, though it is stored now. */
  #continue(tracker: Tracker, snapshot: Snapshot, stored: Content, isOwn: boolean): readonly string[] {
    const { base, content, from, end } = snapshot;
    if (!isOwn && end.all) {
      this.onGive(end.all);
      tracker.allGiven();
    }
    if (content.data === stored.data) return [];
    const data = decode(content.data);
    return rebase(tracker, valuesOf(data), data, stored, () => momentsOf(base, from), this.#given);
  }

  /** A snapshot could not be stored: what was in it is still to be stored. */
  restore({ content, tracked, from }: Snapshot): void {
    this.#pending = undefined;
    // A snapshot from before the sign-in has changes of what that hides.
    const asked = this.#restricted?.isPending === false ? this.#restricted.asked : undefined;
    if (asked) this.#lift();
    if (this.#restricted) this.#restricted.isPending = false;
    if (this.#tracker) this.#resume(this.#tracker, tracked, from, decode(content.data));
    if (asked) this.restrict(asked);
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
   * @param onFailure - what happens if an update needs a former value. `"hide"`: the commit makes it again, and fails with that.
   * @throws the error of such an update, if that is asked for. Nothing is hidden then.
   */
  restrict(asked: SigningIn | undefined, onFailure: "throw" | "hide" = "hide"): void {
    // One that is being stored is decided by then.
    if (this.#restricted?.isPending) return;
    if (this.#restricted) this.#lift();
    if (!asked || (asked.keep === undefined && !this.#given.hasAnyOfAnother(asked.userId))) return;
    const earlier = this.#setAsideState ?? this.#pending;
    this.#restrict(asked, onFailure, this.#base.flashes, earlier?.changes);
  }

  /**
   * @param earlier - changes that are being stored, or could not be stored.
   * @param merged - the objects of the data after others' changes were put into them.
   */
  #restrict(
    asked: SigningIn,
    onFailure: "throw" | "hide",
    formerFlashes: readonly StoredFlash[],
    earlier: ReadonlyChanges | undefined,
    merged?: SeenObjects,
  ): void {
    const tracker = this.#tracked;
    // A later sign-in may show again what this one hides.
    tracker.seeAll();
    const given = this.#given;
    const { changes } = tracker;
    const { keep, userId } = asked;
    const kept = keep && this.#objectsIn(keep, tracker, merged);
    const hidden: ObjectSet = kept
      ? { has: (object) => !given.isIn(kept, object) && given.has(object) }
      : { has: (object) => given.isOfAnother(object, userId) };
    const changesOf = (key: string) => followedBy(earlier?.get(key), changes.get(key));
    const restriction = new Restriction(tracker, changesOf, { keep, hidden, given, onFailure });
    const before = this.#flashes;
    this.#flashes = mergeFlashes(keep ? formerFlashes : [], before, EMPTY.flashes).flatMap((flash) =>
      withoutHidden(flash, given, hidden),
    );
    this.#restricted = { restriction, asked, before, shown: this.#flashes, isPending: false };
  }

  #lift(): void {
    const { restriction, before, shown } = this.#restricted!;
    this.#restricted = undefined;
    restriction.lift();
    this.#flashes = mergeFlashes(shown, this.#flashes, before);
  }

  /** The objects that the handler was given in some keys. */
  #objectsIn(keys: readonly string[], tracker: Tracker, merged: SeenObjects | undefined): ReadonlySet<object> {
    const before = this.#objectsOfBefore(tracker);
    return new Set(keys.flatMap((key) => [...(before.get(key) ?? []), ...(merged?.byKey?.get(key) ?? [])]));
  }

  /** The objects that the handler has seen of what is stored, by key. */
  #objectsOfBefore(tracker: Tracker): Map<string, readonly object[]> {
    const { changes, from } = this.#setAsideState ?? this.#pending ?? { changes: tracker.changes, from: tracker.seen };
    const { data } = this.#pending?.base ?? this.#base;
    const found = new Map(objectsByKey(from, decode(data)));
    // Looked at since then only.
    const later = objectsByKey(tracker.seen, decode(this.#pending?.content.data ?? data));
    for (const [key, objects] of later) if (!found.has(key) && !changes.has(key)) found.set(key, objects);
    return found;
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
    this.#found = this.#setAsideState = undefined;
    rebase(tracker, values, {}, stored, () => momentsOf(this.#base, from), this.#given);
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

/** The changes of a snapshot. What a save has merged into its values is not this request's. */
function withOthers({ changes, content, end }: Snapshot, stored: Content, seen: SeenObjects): ReadonlyChanges {
  const own = momentsOf(content, end);
  const now = momentsOf(stored, seen);
  const all: Changes = new Map();
  for (const [key, steps] of changes) {
    const others = { kind: "others", before: own.get(key) ?? NO_VALUE, after: now.get(key) ?? NO_VALUE } as const;
    all.set(key, steps === WHOLE ? WHOLE : [...steps, others]);
  }
  return all;
}

const isSame = (a: Content, b: Content): boolean => a.data === b.data && areSameFlashes(a.flashes, b.flashes);
