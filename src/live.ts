import { setMaxListeners } from "node:events";
import type { Emitter } from "./events.ts";
import type { SessionStore } from "./store.ts";

/** How often a session is looked at whose store tells nothing of itself. */
const POLL_MS = 1000;
const RETRY_MS = 5000;
/** The longest wait that a timer can hold: longer ones are waited for in pieces. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The signals that abort when their sessions end. */
export interface LiveHandles {
  /** A signal for the session `id`, which will end at `expiresAt` as far as is known; and the way to let go of it. */
  watch(id: string, expiresAt: number): { signal: AbortSignal; release: () => void };
  close(): void;
}

interface Watch {
  readonly controllers: Set<AbortController>;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Watches over the sessions that long-lived connections hold: what ends here is heard at once, what ends in another
 * process by the store's `subscribe` (or by looking once a second, where the store has none), and expiry by a timer
 * that asks the store, since somebody may have extended the session meanwhile.
 */
export function createLiveHandles(store: SessionStore, emitter: Emitter, now: () => number): LiveHandles {
  const watches = new Map<string, Watch>();
  let unsubscribe: (() => void) | undefined;

  for (const name of ["signedOut", "revoked", "replayed"] as const) emitter.on(name, ({ id }) => end(id, name));

  function end(id: string, why: string): void {
    const watch = watches.get(id);
    if (!watch) return;
    forget(id, watch);
    const reason = new DOMException(`The session has ended: ${why}`, "AbortError");
    for (const controller of watch.controllers) controller.abort(reason);
  }

  function forget(id: string, watch: Watch): void {
    clearTimeout(watch.timer);
    watches.delete(id);
    if (watches.size > 0) return;
    unsubscribe?.();
    unsubscribe = undefined;
  }

  function wait(id: string, watch: Watch, ms: number): void {
    const bounded = Math.max(1, Math.min(ms, store.subscribe ? MAX_TIMER_MS : POLL_MS));
    watch.timer = setTimeout(() => void look(id, watch), bounded).unref();
  }

  async function look(id: string, watch: Watch): Promise<void> {
    try {
      const stored = await store.read(id);
      if (watches.get(id) !== watch) return;
      if (!stored || stored.expiresAt <= now()) end(id, "expired or revoked");
      else wait(id, watch, stored.expiresAt - now());
    } catch (error) {
      emitter.emit("fault", { id, error });
      if (watches.get(id) === watch) wait(id, watch, RETRY_MS);
    }
  }

  return {
    watch(id, expiresAt) {
      unsubscribe ??= store.subscribe?.((ended) => end(ended, "revoked"));
      let watch = watches.get(id);
      if (!watch) {
        watch = { controllers: new Set(), timer: undefined };
        watches.set(id, watch);
        wait(id, watch, expiresAt - now());
      }
      const { controllers } = watch;
      const controller = new AbortController();
      setMaxListeners(0, controller.signal);
      controllers.add(controller);
      const held = watch;
      return {
        signal: controller.signal,
        release() {
          controllers.delete(controller);
          if (controllers.size === 0 && watches.get(id) === held) forget(id, held);
        },
      };
    },

    close() {
      for (const [id, watch] of watches) forget(id, watch);
    },
  };
}
