import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../../store.ts";
import { type ConcurrencyOptions, forEach } from "../../concurrency.ts";
import { readLatest } from "../../capabilities.ts";
import { checkPair, control, CONTROL_ID, formOf } from "./forms.ts";
import { handover } from "./handover.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";

/** How far a copy has come. */
export interface CopyProgress {
  /** Which walk through the old store this is. The first copies, the last finds nothing left. */
  readonly pass: number;
  /** Sessions met in this pass. */
  readonly seen: number;
  /** Sessions that this call has brought over, in all passes. */
  readonly copied: number;
  /** Sessions of this pass that needed nothing: moved already, or ended. */
  readonly skipped: number;
  /** Sessions of this pass that could not be moved. */
  readonly failed: number;
}

/** What a copy has done once it is complete. */
export interface CopySummary {
  /** Sessions that this call has brought over. */
  readonly copied: number;
  /** Staged copies and markers that earlier, interrupted moves had left in the new store. */
  readonly swept: number;
  readonly passes: number;
}

/** How {@link copySessions} goes about it. */
export interface CopyOptions {
  /** How many sessions are on their way at a time. Default 16. */
  concurrency?: number | undefined;
  /** Told after each session. */
  onProgress?: ((progress: CopyProgress) => void) | undefined;
  /** Ends the copy, with the sessions on their way brought to the other side. It can be taken up again. */
  signal?: AbortSignal | undefined;
  /** Epoch milliseconds. Default `Date.now`; tests pass their own. */
  clock?: (() => number) | undefined;
}

const MOST_CONCURRENT = 1024;
const MOST_PASSES = 10;
const MOST_ERRORS = 10;
const LONGEST_PAUSE = 1000;
const A_YEAR = 366 * 86_400_000;

/**
 * Moves every session from one store to another, while an application serves with `movingStore({ from, to })`, or while
 * it stands still. Tokens stay valid: records arrive as they were.
 *
 * It may be killed at any moment and run again, and two may run at once. When it is complete, nothing is left in `from`
 * but markers, which expire with their sessions: whoever reads `from` alone from then on finds records it can't open.
 *
 * @throws {TypeError} where `from` can't list its sessions, and at an option it doesn't know or can't use.
 * @throws {AggregateError} once all others are moved, where sessions could not be: run it again.
 * @throws the signal's reason; the stores' own errors, where they can't list.
 */
export async function copySessions(
  from: SessionStore,
  to: SessionStore,
  options: CopyOptions = {},
): Promise<CopySummary> {
  checkOptions("copySessions", options, { concurrency: true, onProgress: true, signal: true, clock: true });
  checkClock("copySessions: clock", options.clock);
  checkPair("copySessions", from, to);
  const { concurrency = 16, onProgress = () => undefined, signal, clock = () => Date.now() } = options;
  checkPositiveInteger("copySessions: concurrency", concurrency, MOST_CONCURRENT);
  if (typeof onProgress !== "function") throw new TypeError("copySessions: onProgress must be a function");
  if (typeof from.all !== "function") {
    throw new TypeError("copySessions: from has no all(), so its sessions can't be listed; give a store that has it");
  }
  signal?.throwIfAborted();
  const { settle } = handover(from, to);
  const bounds = { concurrency, maxFailures: 1, signal };

  await begin(from, to, clock());
  let copied = 0;
  let pass = 0;
  for (let moved = -1; moved !== 0 || pass < 2;) {
    pass += 1;
    if (pass > MOST_PASSES) {
      throw new Error(
        "copySessions: new sessions keep coming into the old store, so some process still uses it alone; " +
          "deploy movingStore to every process, and run this again",
      );
    }
    // Whoever had begun to create in `from` before it could know better gets time to find out.
    if (pass > 2) await delay(Math.min(LONGEST_PAUSE, 2 ** pass), undefined, { signal });
    const before = copied;
    const errors: unknown[] = [];
    let [seen, skipped, failed] = [0, 0, 0];
    const move = async (id: string) => {
      if (id === CONTROL_ID) return;
      try {
        if ((await settle(id)).moved) copied += 1;
        else skipped += 1;
      } catch (error) {
        failed += 1;
        if (errors.length < MOST_ERRORS) errors.push(error);
      }
      seen += 1;
      onProgress({ pass, seen, copied, skipped, failed });
    };
    await forEach(from.all(), move, bounds);
    moved = copied - before;
    if (moved === 0 && failed > 0) {
      throw new AggregateError(errors, `copySessions: ${failed} sessions could not be moved; run it again`);
    }
  }
  return { copied, swept: await sweep(from, to, bounds), passes: pass };
}

/** Says in `from` that a copy has begun, before anything is read there: from now on new sessions begin in `to`. */
async function begin(from: SessionStore, to: SessionStore, now: number): Promise<void> {
  // Where `to` was once moved away from, that is over: the next move from there begins anew.
  if ((await readLatest(to, CONTROL_ID)) !== undefined) await to.delete(CONTROL_ID);
  const expiresAt = now + A_YEAR;
  if (!(await from.create(CONTROL_ID, control(expiresAt)))) await from.touch(CONTROL_ID, expiresAt);
}

/** Clears what killed processes have staged for nothing, so that `to` holds sessions only. */
async function sweep(from: SessionStore, to: SessionStore, bounds: ConcurrencyOptions): Promise<number> {
  if (to.all === undefined) return 0;
  const { settle } = handover(from, to);
  let swept = 0;
  const clear = async (id: string) => {
    const form = formOf(await readLatest(to, id));
    if (form !== "staged" && form !== "marker") return;
    const { stored } = await settle(id);
    if (stored === undefined && form === "marker") await to.delete(id);
    swept += 1;
  };
  await forEach(to.all(), clear, bounds);
  return swept;
}
