import { SessionError } from "./errors.ts";
import type { Emitter } from "./events.ts";
import type { SessionStore } from "./store.ts";
import { Deadline } from "./deadline.ts";

const INTERVAL_MS = 60_000;
/** A store that fails each time is asked less and less often: a call that never ends may hold a connection. */
const LONGEST_INTERVAL_MS = 3_600_000;
const BATCH = 500;

/** Has the store forget what has expired, now and then, behind requests that use it: without them there is nothing new. */
export interface Collector {
  /** Starts a round if one is due. Costs a comparison where none is. */
  runIfDue(): void;
  /** Ends after the batch under way, or after `storeTimeout`. */
  stop(): Promise<void>;
}

export interface CollectorOptions {
  readonly store: SessionStore;
  readonly emitter: Emitter;
  readonly now: () => number;
  readonly storeTimeout: number;
  /** Milliseconds that only grow, whatever is done to the clock. Default `performance.now`. */
  readonly elapsed?: () => number;
}

/** A moment by two clocks: the one that somebody may set, and the one that nobody can. */
interface Moment {
  readonly now: number;
  readonly elapsed: number;
}

interface Round {
  /** When the batch under way was asked for. */
  askedAt: Moment;
  ended: Promise<void>;
}

export function createCollector(options: CollectorOptions): Collector {
  const { store, emitter, now, storeTimeout, elapsed = () => performance.now() } = options;
  // Not `storeTimeout`: a batch of a store with a million files may take longer, and nobody waits for it.
  const longestBatch = Math.max(INTERVAL_MS, storeTimeout);
  let last: Moment | undefined;
  let failures = 0;
  let round: Round | undefined;
  let stopped = false;

  const readClocks = (): Moment => ({ now: now(), elapsed: elapsed() });

  // A clock that was set forward makes one round come early. One that was set back delays none.
  const isPast = (since: Moment, ms: number): boolean => now() - since.now >= ms || elapsed() - since.elapsed >= ms;

  function isDue(): boolean {
    const interval = Math.min(LONGEST_INTERVAL_MS, INTERVAL_MS * 2 ** Math.max(0, failures - 1));
    return last === undefined || isPast(last, interval);
  }

  async function collect(mine: Round): Promise<void> {
    const isCurrent = () => round === mine && !stopped;
    try {
      for (let more = true; more;) {
        mine.askedAt = readClocks();
        more = (await store.deleteExpired!(BATCH)) === BATCH && isCurrent();
      }
      if (round === mine) failures = 0;
    } catch (error) {
      if (round !== mine) return;
      failures += 1;
      emitter.emit("error", { error });
    }
    if (round === mine) end(readClocks());
  }

  function end(at: Moment): void {
    last = at;
    round = undefined;
  }

  /** The store may answer yet, or never: nobody waits for that any more. */
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
