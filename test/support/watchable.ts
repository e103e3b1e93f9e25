import type { SessionStore } from "sojourn";
import { memoryStore } from "sojourn/memory";

/** A store that shows whether a session is watched: it has a subscriber for as long as one is. */
export function watchable(): { store: SessionStore; watching(): boolean; unwatched(): Promise<void> } {
  const memory = memoryStore();
  let count = 0;
  let wake: (() => void)[] = [];
  const store: SessionStore = {
    ...memory,
    subscribe(listener) {
      count += 1;
      const end = memory.subscribe(listener);
      return () => {
        count -= 1;
        end();
        if (count === 0) for (const one of wake.splice(0)) one();
      };
    },
  };
  return {
    store,
    watching: () => count > 0,
    unwatched: async () => (count === 0 ? undefined : new Promise<void>((resolve) => (wake = [...wake, resolve]))),
  };
}
