import { setTimeout as delay } from "node:timers/promises";
import type { SessionStore } from "../../store.ts";
import { type ConcurrencyOptions, forEach } from "../../concurrency.ts";
import { readLatest } from "../../capabilities.ts";
import { checkStores, CONTROL_ID, createControlRecord, recordKindOf } from "./migration-records.ts";
import { sessionMigration } from "./session-migration.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "../../checks.ts";

/** The progress of a copy, as `onProgress` gets it. */
export interface CopyProgress {
  /** The number of the pass through the old store, from 1. The first pass copies; the last one finds nothing to copy. */
  readonly pass: number;
  /** The number of sessions that this pass has processed so far. */
  readonly seen: number;
  /** The number of sessions that this call has moved, in all passes. */
  readonly copied: number;
  /** The number of sessions in this pass that had been moved already or had ended. */
  readonly skipped: number;
  /** The number of sessions in this pass that could not be moved. */
  readonly failed: number;
}

/** The result of a complete copy. */
export interface CopySummary {
  /** The number of sessions that this call has moved. */
  readonly copied: number;
  /** The number of staged copies and markers of earlier, interrupted copies that were removed from the new store. */
  readonly swept: number;
  /** The number of passes through the old store, at least 2. */
  readonly passes: number;
}

/** Options of {@link copySessions}. */
export interface CopyOptions {
  /** The number of sessions that are moved at the same time, from 1 to 1024. Default 16. */
  concurrency?: number | undefined;
  /** Called after each session. If it throws, the copy rejects with that error. Default: nothing is called. */
  onProgress?: ((progress: CopyProgress) => void) | undefined;
  /**
   * Stops the copy when it is aborted. Sessions whose move has begun are moved completely. Another call continues the copy.
   * Default: the copy can't be stopped.
   */
  signal?: AbortSignal | undefined;
  /** The current time in epoch milliseconds, for tests. Default: `Date.now`. */
  clock?: (() => number) | undefined;
}

const MAX_CONCURRENCY = 1024;
const MAX_PASSES = 10;
const MAX_ERRORS = 10;
const MAX_PAUSE_MS = 1000;
const YEAR_MS = 366 * 86_400_000;

/**
 * Moves every session from one store to another. The application may be stopped, or may be running with
 * `movingStore({ from, to })`.
 *
 * Tokens stay valid, because records are not changed. The process may be killed at any moment and the copy run again, and
 * two copies may run at the same time. After a complete copy, `from` contains only markers, which expire with their
 * sessions. A process that still uses `from` alone then can't decode these and fails with `ERR_SESSION_DECODE`.
 *
 * @param from - the old store. It must have `all`.
 * @param to - the new store.
 * @returns a promise that resolves when every session has been moved.
 * @throws TypeError if `from` can't list its sessions, and for an option that it does not know or can't use.
 * @throws AggregateError if some sessions could not be moved. All others have been moved. Run it again.
 * @throws Error if new sessions keep appearing in `from`, because a process still uses it alone.
 * @throws the signal's reason if the signal is aborted, and the error of a store that fails to list its sessions.
 *
 * @example
 * ```ts
 * const [from, to] = [await openStore("file:"), await openStore(process.env.REDIS_URL!)];
 * const { copied } = await copySessions(from, to);
 * console.log(`${copied} sessions moved`);
 * ```
 */
export async function copySessions(
  from: SessionStore,
  to: SessionStore,
  options: CopyOptions = {},
): Promise<CopySummary> {
  checkOptions("copySessions", options, { concurrency: true, onProgress: true, signal: true, clock: true });
  checkClock("copySessions: clock", options.clock);
  checkStores("copySessions", from, to);
  const { concurrency = 16, onProgress = () => undefined, signal, clock = () => Date.now() } = options;
  checkPositiveInteger("copySessions: concurrency", concurrency, MAX_CONCURRENCY);
  if (typeof onProgress !== "function") throw new TypeError("copySessions: onProgress must be a function");
  if (typeof from.all !== "function") {
    throw new TypeError("copySessions: from has no all(), so its sessions can't be listed; give a store that has it");
  }
  signal?.throwIfAborted();
  const { migrate } = sessionMigration(from, to);
  const bounds = { concurrency, maxFailures: 1, signal };

  await markBegun(from, to, clock());
  let copied = 0;
  let pass = 0;
  for (let moved = -1; moved !== 0 || pass < 2;) {
    pass += 1;
    if (pass > MAX_PASSES) {
      throw new Error(
        "copySessions: new sessions keep coming into the old store, so some process still uses it alone; " +
          "deploy movingStore to every process, and run this again",
      );
    }
    // A process may have begun to create a session in `from` before it knew of the copy. The pause gives it time to move it.
    if (pass > 2) await delay(Math.min(MAX_PAUSE_MS, 2 ** pass), undefined, { signal });
    const before = copied;
    const errors: unknown[] = [];
    let [seen, skipped, failed] = [0, 0, 0];
    const moveSession = async (id: string) => {
      if (id === CONTROL_ID) return;
      try {
        if ((await migrate(id)).moved) copied += 1;
        else skipped += 1;
      } catch (error) {
        failed += 1;
        if (errors.length < MAX_ERRORS) errors.push(error);
      }
      seen += 1;
      onProgress({ pass, seen, copied, skipped, failed });
    };
    await forEach(from.all(), moveSession, bounds);
    moved = copied - before;
    if (moved === 0 && failed > 0) {
      throw new AggregateError(errors, `copySessions: ${failed} sessions could not be moved; run it again`);
    }
  }
  return { copied, swept: await removeLeftovers(from, to, bounds), passes: pass };
}

/** Records in `from` that a copy has begun, before sessions are read there. From now on, new sessions are created in `to`. */
async function markBegun(from: SessionStore, to: SessionStore, now: number): Promise<void> {
  // The sessions of `to` may once have been moved to another store. That copy must not count for a later one.
  if ((await readLatest(to, CONTROL_ID)) !== undefined) await to.delete(CONTROL_ID);
  const expiresAt = now + YEAR_MS;
  if (!(await from.create(CONTROL_ID, createControlRecord(expiresAt)))) await from.touch(CONTROL_ID, expiresAt);
}

/** Removes the staged copies and markers that killed processes have left, so that `to` contains only sessions. */
async function removeLeftovers(from: SessionStore, to: SessionStore, bounds: ConcurrencyOptions): Promise<number> {
  if (to.all === undefined) return 0;
  const { migrate } = sessionMigration(from, to);
  let swept = 0;
  const removeLeftover = async (id: string) => {
    const kind = recordKindOf(await readLatest(to, id));
    if (kind !== "staged" && kind !== "marker") return;
    const { stored } = await migrate(id);
    if (stored === undefined && kind === "marker") await to.delete(id);
    swept += 1;
  };
  await forEach(to.all(), removeLeftover, bounds);
  return swept;
}
