import { decodeValue, type Dictionary } from "./codec.ts";
import { copyOf, textOf } from "./containers.ts";
import type { FormerObjects } from "./former-objects.ts";
import { ABSENT } from "./merge.ts";
import type { SeenObjects } from "./replay.ts";
import { followedBy, momentOf, NO_VALUE, replaySteps, WHOLE } from "./steps.ts";
import type { Changes, KeyChanges, Moment, ReadonlyChanges, Step } from "./steps.ts";
import { without, type ObjectSet } from "./strip.ts";
import type { Tracker } from "./tracker.ts";

/** The part of the data that a handler may see, once it has asked for a sign-in. */
interface Visible {
  /** The keys that may stay. */
  readonly keep: readonly string[];
  /** Objects of the other keys: they may not stay in anything that was assigned. */
  readonly hidden: ObjectSet;
  readonly former: FormerObjects;
  /** The stored data of before. */
  readonly stored: Dictionary;
  /** What the handler saw until now, where an earlier restriction was lifted: it may have changed that. */
  readonly seenBefore: ReadonlyMap<string, unknown>;
}

/**
 * Hides data of before a sign-in from the handler: all but the keys that may stay, and those that this request has assigned
 * or updated. `lift` brings them back.
 */
export class Restriction {
  /** The request's own keys. There is nothing in the new session that they could be merged with. */
  readonly own: ReadonlyChanges;
  readonly #keep: readonly string[];
  readonly #former: FormerObjects;
  readonly #tracker: Tracker;
  /** The values and the changes of before. */
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #changes: ReadonlyChanges;
  /** Keys that were created: the objects in them are the handler's. */
  readonly #created: readonly string[];
  /** Own values in the place of others: what the updates of a key give where there was nothing before, or none. */
  readonly #anew = new Map<string, Moment>();
  readonly #undo: (() => void)[] = [];

  /**
   * @param changesOf - gives all changes that the request has made to a key.
   * @throws the error of an update that needs a former value. The data are unchanged then.
   */
  constructor(tracker: Tracker, changesOf: (key: string) => KeyChanges | undefined, visible: Visible) {
    const { raw, changes } = tracker;
    const { keep, hidden, former, stored, seenBefore } = visible;
    this.#keep = keep;
    this.#former = former;
    this.#tracker = tracker;
    this.#values = new Map(Object.entries(raw));
    this.#changes = changes;
    const ownChanges = [...new Set([...Object.keys(raw), ...changes.keys()])].flatMap((key) => {
      const own = keep.includes(key) ? undefined : changesOf(key);
      return own === undefined ? [] : ([[key, own]] as const);
    });
    const own = new Map(ownChanges);
    const values = new Map<string, unknown>();
    for (const [key, steps] of own)
      if (seenBefore.has(key)) values.set(key, seenBefore.get(key));
      // A container that was created where others have one by now is merged with theirs.
      else if (steps !== WHOLE && (steps[0]?.kind === "update" || Object.hasOwn(stored, key)))
        values.set(key, anew(steps, visible));
    this.#created = [...own.keys()].filter((key) => own.get(key) !== WHOLE && !values.has(key));

    for (const key of Object.keys(raw)) {
      if (values.has(key)) continue;
      if (own.has(key) || keep.includes(key)) this.#strip(key, hidden);
      else delete raw[key];
    }
    for (const [key, value] of values) {
      if (value === ABSENT) delete raw[key];
      else raw[key] = value;
      this.#strip(key, hidden);
      this.#anew.set(key, momentOf(raw, key));
    }
    this.own = new Map([...own.keys()].map((key) => [key, WHOLE]));
    const keptChanges = [...changes].filter(([key]) => keep.includes(key));
    tracker.restart(knowing(tracker.seen, own.keys()), new Map(keptChanges));
  }

  #strip(key: string, hidden: ObjectSet): void {
    const { raw } = this.#tracker;
    if (raw[key] === undefined || without(raw[key], hidden, this.#undo) !== undefined) return;
    delete raw[key];
    this.#anew.set(key, NO_VALUE);
  }

  /**
   * Brings back the hidden data, and applies to them the changes that the handler has made since then.
   *
   * @param isMerged - others' changes are put into the data next, also into objects that the handler has created.
   * @returns what the handler has seen of keys that are others now. A later restriction shows that again.
   */
  lift(isMerged: boolean): ReadonlyMap<string, unknown> {
    const { raw, changes: since, seen } = this.#tracker;
    const former = this.#former;
    const shown = new Map<string, unknown>();
    if (isMerged)
      for (const key of this.#created)
        // A value that can't be kept is not merged either.
        if (Object.hasOwn(raw, key) && canBeKept(raw[key])) shown.set(key, copyOf(raw[key], former.copied));
    const before: Changes = new Map([...this.#changes].filter(([key]) => !this.#keep.includes(key)));
    for (const key of new Set([...this.#values.keys(), ...Object.keys(raw), ...since.keys()])) {
      const steps = since.get(key) ?? [];
      const isReplaced = this.#anew.has(key) || !(this.own.has(key) || this.#keep.includes(key));
      if (steps === WHOLE || !isReplaced) {
        addChanges(before, key, steps);
        continue;
      }
      const data: Dictionary = Object.create(null);
      if (this.#values.has(key)) data[key] = this.#values.get(key);
      const from = this.#anew.get(key) ?? NO_VALUE;
      let done: KeyChanges;
      try {
        done = replaySteps(steps, from, momentOf(raw, key), data, key, { dropped() {}, former });
      } catch {
        // An update fails on what was hidden, or the value can't be kept. Thrown here, it would leave half of that visible.
        addChanges(before, key, WHOLE);
        continue;
      }
      addChanges(before, key, done);
      shown.set(key, Object.hasOwn(raw, key) ? raw[key] : ABSENT);
      if (Object.hasOwn(data, key)) raw[key] = data[key];
      else delete raw[key];
    }
    for (const undo of this.#undo.toReversed()) undo();
    this.#order(raw);
    this.#tracker.restart(seen, before);
    return shown;
  }

  /** The order of the keys is a part of the text. */
  #order(raw: Dictionary): void {
    for (const key of new Set([...this.#values.keys(), ...Object.keys(raw)])) {
      if (!Object.hasOwn(raw, key)) continue;
      const value = raw[key];
      delete raw[key];
      raw[key] = value;
    }
  }
}

function canBeKept(value: unknown): boolean {
  try {
    textOf(value);
    return true;
  } catch {
    return false;
  }
}

/** An own value was not read before, though it has no changes now. */
function knowing({ all, byKey }: SeenObjects, keys: Iterable<string>): SeenObjects {
  const known = new Map(byKey);
  for (const key of keys) if (!known.has(key)) known.set(key, []);
  return all ? { all } : { byKey: known };
}

function addChanges(changes: Changes, key: string, later: KeyChanges): void {
  if (later.length > 0) changes.set(key, followedBy(changes.get(key), later)!);
}

/**
 * Makes the updates of a key again where there is nothing before. `ABSENT` where they give nothing that may stay. Changes in place between them are given up, because others'
 * values may be in them.
 */
function anew(steps: readonly Step[], { hidden, former }: Visible): unknown {
  let value: unknown;
  for (const step of steps) {
    if (step.kind === "create") value ??= decodeValue(step.empty);
    else for (const apply of step.apply) value = without(copyOf(apply(value), former.copied), hidden);
  }
  return value === undefined ? ABSENT : value;
}
