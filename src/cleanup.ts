import { setImmediate as nextTurn } from "node:timers/promises";
import { SessionError } from "./errors.ts";
import type { Emitter } from "./events.ts";
import type { SessionStore } from "./store.ts";
import { Deadline } from "./deadline.ts";

const INTERVAL_MS = 60_000;
/** The interval grows up to this while the store fails: a call that never ends may occupy a connection. */
const LONGEST_INTERVAL_MS = 3_600_000;
const BATCH = 500;

/** Deletes expired sessions from the store now and then, after a request that stores something. It needs no timer. */
export interface Cleanup {
  /** Starts a round if one is due. Otherwise it costs one comparison. */
  runIfDue(): void;
  /** Stops after the current batch, or after `storeTimeout`. */
  stop(): Promise<void>;
}

export interface CleanupOptions {
  readonly store: SessionStore;
  readonly emitter: Emitter;
  readonly now: () => number;
  readonly storeTimeout: number;
  /** Returns milliseconds that only grow, even if the system's clock is set back. Default `performance.now`. */
  readonly elapsed?: () => number;
}

/** A moment by two clocks: the system's clock, which can be set, and a monotonic one, which can't. */
interface CleanupTime {
  readonly now: number;
  readonly elapsed: number;
}

interface Round {
  /** When the current batch was requested. */
  askedAt: CleanupTime;
  ended: Promise<void>;
}

export function createCleanup(options: CleanupOptions): Cleanup {
  const { store, emitter, now, storeTimeout, elapsed = () => performance.now() } = options;
  // `storeTimeout` would be too short: a batch may take longer in a store with a million files, and nobody waits for
  // it.
  const longestBatch = Math.max(INTERVAL_MS, storeTimeout);
  let last: CleanupTime | undefined;
  let failures = 0;
  let round: Round | undefined;
  let stopped = false;

  const readClocks = (): CleanupTime => ({ now: now(), elapsed: elapsed() });

  // If the clock was set forward, one round comes early. If it was set back, no round is delayed.
  const isPast = (since: CleanupTime, ms: number): boolean =>
    now() - since.now >= ms || elapsed() - since.elapsed >= ms;

  function isDue(): boolean {
    const interval = Math.min(LONGEST_INTERVAL_MS, INTERVAL_MS * 2 ** Math.max(0, failures - 1));
    return last === undefined || isPast(last, interval);
  }

  async function collect(mine: Round): Promise<void> {
    const isCurrent = () => round === mine && !stopped;
    try {
      for (let more = true; more && isCurrent();) {
        mine.askedAt = readClocks();
        more = (await store.deleteExpired!(BATCH)) === BATCH;
        // A store may answer at once. Requests must not wait for all batches of it.
        if (more) await nextTurn();
      }
      if (round === mine) failures = 0;
    } catch (error) {
      if (round !== mine) return;
      failures += 1;
      emitter.emit("error", { error });
    }
    if (round === mine) end(readClocks());
  }

  function end(at: CleanupTime): void {
    last = at;
    round = undefined;
  }

  /** Stops waiting for a batch. The store may still answer later, or never. */
  function abandonRound({ askedAt }: Round): void {
    failures += 1;
    end(askedAt);
    const message = `The session store did not forget expired sessions within ${longestBatch} ms`;
    emitter.emit("error", { error: new SessionError("ERR_SESSION_STORE", message) });
  }

  return {
    runIfDue() {
      if (!store.deleteExpired || stopped) return;
      if (round) {
        if (!isPast(round.askedAt, longestBatch)) return;
        abandonRound(round);
      }
      if (!isDue()) return;
      round = { askedAt: readClocks(), ended: Promise.resolve() };
      round.ended = collect(round);
    },
    async stop() {
      stopped = true;
      const underWay = round?.ended;
      if (!underWay) return;
      await new Deadline(storeTimeout)
        .run("collect", () => underWay)
        .catch((error: unknown) => emitter.emit("error", { error }));
    },
  };
}
