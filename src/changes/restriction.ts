import type { Dictionary } from "./codec.ts";
import { copyOf, isObject, objectsIn } from "./containers.ts";
import type { GivenObjects } from "./given-objects.ts";
import type { SeenObjects } from "./replay.ts";
import { followedBy, momentOf, NO_VALUE, replaySteps, WHOLE } from "./steps.ts";
import type { Changes, KeyChanges, Moment, ReadonlyChanges, Step, Updater } from "./steps.ts";
import { without, type ObjectSet } from "./strip.ts";
import type { Tracker } from "./tracker.ts";

/** The part of the data that a handler may see, once it has asked for a sign-in. */
interface Visible {
  /** The keys that may stay. `undefined`: all. */
  readonly keep: readonly string[] | undefined;
  /** Objects that may not stay in anything. */
  readonly hidden: ObjectSet;
  readonly given: GivenObjects;
  /**
   * What an update does that needs a former value. `"throw"`: nothing is hidden then. `"hide"`: its key is hidden, and the
   * commit makes the update again.
   */
  readonly onFailure: "throw" | "hide";
}

/**
 * Hides data of before a sign-in from the handler: all but the keys that may stay, and those that this request has assigned
 * or updated. `lift` brings them back.
 */
export class Restriction {
  /**
   * The request's own keys. There is nothing in the new session that they could be merged with. An update that failed is
   * still to be made.
   */
  readonly own: ReadonlyChanges;
  readonly #visible: Visible;
  readonly #tracker: Tracker;
  /** The values and the changes of before. */
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #changes: ReadonlyChanges;
  /** Own values in the place of others: what the updates of a key give where there was nothing before, or none. */
  readonly #anew = new Map<string, Moment>();
  readonly #undo: (() => void)[] = [];
  /** Keys that may stay, of whose values nothing may. */
  readonly #gone: ReadonlySet<string>;
  #isLifted = false;

  /**
   * @param changesOf - gives all changes that the request has made to a key.
   * @throws the error of an update that needs a former value, if that is asked for. The data are unchanged then.
   */
  constructor(tracker: Tracker, changesOf: (key: string) => KeyChanges | undefined, asked: Visible) {
    const { raw, changes } = tracker;
    // Its updates may be made again after it is lifted.
    const visible = { ...asked, hidden: { has: (object: object) => !this.#isLifted && asked.hidden.has(object) } };
    this.#visible = visible;
    this.#tracker = tracker;
    this.#values = new Map(Object.entries(raw));
    this.#changes = changes;
    const ownChanges = [...new Set([...Object.keys(raw), ...changes.keys()])].flatMap((key) => {
      const own = this.#mayStay(key) ? undefined : changesOf(key);
      return own === undefined ? [] : ([[key, own]] as const);
    });
    const own = new Map(ownChanges);
    const values = new Map<string, Dictionary>();
    const failed = new Map<string, KeyChanges>();
    for (const [key, steps] of own) {
      if (steps === WHOLE || !isMadeAnew(steps, raw[key], visible.hidden)) continue;
      try {
        values.set(key, anew(steps, momentOf(raw, key), key, visible));
      } catch (error) {
        if (asked.onFailure === "throw") throw error;
        values.set(key, Object.create(null) as Dictionary);
        failed.set(key, steps);
      }
    }

    for (const key of Object.keys(raw)) {
      if (values.has(key)) continue;
      if (own.has(key) || this.#mayStay(key)) this.#strip(key, visible.hidden);
      else delete raw[key];
    }
    for (const [key, value] of values) {
      if (Object.hasOwn(value, key)) raw[key] = value[key];
      else delete raw[key];
      this.#anew.set(key, momentOf(raw, key));
    }
    // Of a key that may stay, nothing may be left: its value was assigned.
    this.#gone = new Set([...this.#anew.keys()].filter((key) => this.#mayStay(key)));
    this.own = new Map([...own.keys(), ...this.#gone].map((key) => [key, failed.get(key) ?? WHOLE]));
    const keptChanges = [...changes].filter(([key]) => this.#mayStay(key) && !this.#gone.has(key));
    const shown: Changes = new Map(
      keptChanges.map(([key, steps]) => [key, steps === WHOLE ? WHOLE : showing(steps, visible)]),
    );
    tracker.restart(knowing(tracker.seen, own.keys()), shown);
  }

  #mayStay(key: string): boolean {
    return this.#visible.keep?.includes(key) !== false;
  }

  #strip(key: string, hidden: ObjectSet): void {
    const { raw } = this.#tracker;
    if (raw[key] === undefined) return;
    if (without(raw[key], hidden, this.#undo) !== undefined) return;
    delete raw[key];
    this.#anew.set(key, NO_VALUE);
  }

  /** Brings back the hidden data, and applies to them the changes that the handler has made since then. */
  lift(): void {
    this.#isLifted = true;
    const { raw, changes: since, seen } = this.#tracker;
    const before: Changes = new Map([...this.#changes].filter(([key]) => !this.#mayStay(key) || this.#gone.has(key)));
    for (const key of new Set([...this.#values.keys(), ...Object.keys(raw), ...since.keys()])) {
      const steps = since.get(key) ?? [];
      const isReplaced = this.#anew.has(key) || !(this.own.has(key) || this.#mayStay(key));
      if (steps === WHOLE || !isReplaced) {
        addChanges(before, key, steps);
        continue;
      }
      const data: Dictionary = Object.create(null);
      if (this.#values.has(key)) {
        data[key] = this.#values.get(key);
        // The steps are made again over a value that is not this request's: another sign-in may not show the result.
        const there = momentOf(data, key);
        addChanges(before, key, [{ kind: "others", before: there, after: there }]);
      }
      const from = this.#anew.get(key) ?? NO_VALUE;
      const replaying = { dropped() {}, copied: this.#visible.given.copied };
      let done: KeyChanges;
      try {
        done = replaySteps(steps, from, momentOf(raw, key), data, key, replaying);
      } catch {
        // An update fails on what was hidden, or the value can't be kept. Thrown here, it would leave half of that visible.
        before.set(key, WHOLE);
        continue;
      }
      addChanges(before, key, done);
      if (Object.hasOwn(data, key)) raw[key] = data[key];
      else delete raw[key];
    }
    for (const undo of this.#undo.toReversed()) undo();
    this.#order(raw);
    this.#tracker.restart(seen, before);
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

/** An own value was not read before, though it has no changes now. */
function knowing({ all, byKey }: SeenObjects, keys: Iterable<string>): SeenObjects {
  const known = new Map(byKey);
  for (const key of keys) if (!known.has(key)) known.set(key, []);
  return all ? { all } : { byKey: known };
}

function addChanges(changes: Changes, key: string, later: KeyChanges): void {
  if (later.length > 0) changes.set(key, followedBy(changes.get(key), later)!);
}

/** Whether a key's value is made again: it came from an update, or others have changed it. */
function isMadeAnew(steps: readonly Step[], value: unknown, hidden: ObjectSet): boolean {
  return (
    steps[0]?.kind === "update" || steps.some(({ kind }) => kind === "others") || (isObject(value) && hidden.has(value))
  );
}

/** Makes the steps of a key again, where there is nothing before. @returns a dictionary with the key, or an empty one. */
function anew(steps: readonly Step[], end: Moment, key: string, visible: Visible): Dictionary {
  const data = Object.create(null) as Dictionary;
  const replaying = { dropped() {}, copied: visible.given.copied, isAnew: true };
  replaySteps(showing(steps, visible), NO_VALUE, end, data, key, replaying);
  // A merge makes copies of what was put into the value.
  if (without(data[key], visible.hidden) === undefined) delete data[key];
  return data;
}

/** The same steps, whose functions neither see hidden objects nor give any. */
function showing(steps: readonly Step[], { hidden, given }: Visible): readonly Step[] {
  const isHiddenCopy = (object: object) => given.isCopy(object) && hidden.has(object);
  const show = (apply: Updater) => (value: unknown) => {
    const shown = without(value, { has: isHiddenCopy });
    // The session's own value is the function's to give.
    const allowed = new Set(objectsIn(shown));
    return shownOf(apply(shown), allowed, { hidden, given });
  };
  return steps.map((step) => (step.kind === "update" ? { ...step, apply: step.apply.map(show) } : step));
}

/** A copy of a value without the hidden objects that are not allowed: the value itself stays as it is. */
function shownOf(
  value: unknown,
  allowed: ReadonlySet<object>,
  { hidden, given }: Pick<Visible, "hidden" | "given">,
): unknown {
  const others = new Map<object, object>();
  const copy = copyOf(value, (object, original) => {
    if (allowed.has(original)) return;
    others.set(object, original);
    // A later sign-in may hide what this one shows.
    given.addCopy(object, original);
  });
  return without(copy, { has: (object) => others.has(object) && hidden.has(others.get(object)!) });
}
