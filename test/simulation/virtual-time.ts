import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";

/** The virtual clock begins here, in epoch milliseconds. */
export const START = 1_000_000_000_000;

/** What went wrong with a call of the store. */
interface Fault {
  readonly operation: string;
  /** `"fails before its effect"`, for example. */
  readonly outcome: string;
  readonly calledAt: number;
}

/** Somebody who acts: a request, a call from the server's side, or a connection. Its store calls are known as its own. */
export interface Actor {
  /** For the log. */
  readonly name: string;
  /** What becomes of its store calls, one after the other. When they are used up, each succeeds at once. */
  readonly fates: readonly number[];
  calls: number;
  /** The faults that calls of it have met. */
  readonly faults: Fault[];
  /** Whether it is to sign in with its next commit. */
  isSigningIn: boolean;
  /** Whether it is to end the session, by a sign-out or a revocation. */
  isEnding: boolean;
  /** The call of `rotate()` that its next commit is to store. */
  rotation: object | undefined;
  /** When it came. */
  readonly beganAt: number;
}

const actors = new AsyncLocalStorage<Actor>();

export function currentActor(): Actor | undefined {
  return actors.getStore();
}

/** Runs a function, and all that it awaits, as this actor. */
export function as<T>(actor: Actor, act: () => T): T {
  return actors.run(actor, act);
}

interface Entry {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A queue of what is to happen, by time, and by the order of asking where times are equal. */
export class Timeline {
  /** Milliseconds since the beginning. */
  now = 0;
  #order = 0;
  readonly #heap: Entry[] = [];

  after(delay: number, run: () => void): () => void {
    const entry: Entry = { at: this.now + Math.max(0, delay), order: this.#order++, run };
    this.#push(entry);
    return () => void (entry.run = undefined);
  }

  wait(delay: number): Promise<void> {
    return new Promise((resolve) => void this.after(delay, resolve));
  }

  /**
   * Lets everything happen that is due until `end`. After each event all that follows from it without waiting is done.
   *
   * @param together - events of the same moment happen before anything follows from any of them.
   */
  async run(end: number, together: boolean): Promise<void> {
    await nextTurn();
    for (;;) {
      const first = this.#heap[0];
      if (!first || first.at > end) break;
      this.#pop();
      if (!first.run) continue;
      this.now = Math.max(this.now, first.at);
      first.run();
      if (together) while (this.#heap[0]?.at === first.at) this.#pop().run?.();
      // oxlint-disable-next-line no-await-in-loop
      await nextTurn();
    }
    this.now = Math.max(this.now, end);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
