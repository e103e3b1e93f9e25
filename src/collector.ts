import type { Emitter } from "./events.ts";
import type { SessionStore } from "./store.ts";

const INTERVAL_MS = 60_000;
const BATCH = 500;

/** Has the store forget what has expired, now and then, behind requests that use it: without them there is nothing new. */
export interface Collector {
  /** Starts a round if one is due. Costs a comparison where none is. */
  nudge(): void;
  /** Ends after the batch under way. */
  stop(): Promise<void>;
}

export function createCollector(store: SessionStore, emitter: Emitter, now: () => number): Collector {
  let due = now();
  let round: Promise<void> | undefined;
  let stopped = false;

  async function collect(): Promise<void> {
    try {
      let more = true;
      while (more) more = (await store.deleteExpired!(BATCH)) === BATCH && !stopped;
    } catch (error) {
      emitter.emit("fault", { error });
    }
    due = now() + INTERVAL_MS;
    round = undefined;
  }

  return {
    nudge() {
      if (!store.deleteExpired || stopped || round || now() < due) return;
      round = collect();
    },
    async stop() {
      stopped = true;
      await round;
    },
  };
}
