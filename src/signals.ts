import { setMaxListeners } from "node:events";
import { SessionError } from "./errors.ts";
import { loadLatest } from "./record/load.ts";
import type { Context } from "./context.ts";
import { forEach } from "./concurrency.ts";
import { Deadline } from "./deadline.ts";

/** How often sessions are looked at while nothing would be heard of their end, and how often in any case. */
const POLL_MS = 1000;
const CHECK_MS = 30_000;
const RETRY_MS = 5000;

/** One watcher's hold on a session. */
export interface Watching {
  readonly signal: AbortSignal;
  /** Lets go of it. */
  readonly release: () => void;
  /** Signing in has given the watcher's own session another id. */
  moveTo(id: string): void;
}

/** The signals that abort when their sessions end. */
export interface LiveHandles {
  /**
   * A signal for the session `id`, and the way to let go of it.
   *
   * @param epoch - the epoch that the watcher's token is of: signing in elsewhere ends what an older one holds.
   */
  watch(id: string, epoch: () => number | undefined): Watching;
  /** Somebody has found the session changed: its watchers are looked after now. */
  recheck(id: string): void;
  close(): void;
}

interface Watch {
  readonly controllers: Map<AbortController, () => number | undefined>;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Watches over the sessions that long-lived connections hold: what ends here is heard at once, what ends in another
 * process by the store's `subscribe`. While that is down, or where the store has none, all are looked at once a second, and
 * once more when it is back. Expiry, and whatever went unheard, is found by looking: at the beginning, at the end as it was
 * known, and now and then.
 */
export function createLiveHandles(context: Omit<Context, "live" | "moves" | "collector">): LiveHandles {
  const { store, emitter, now } = context;
  const watches = new Map<string, Watch>();
  let unsubscribe: (() => void) | undefined;
  let isSubscribed = false;
  let round: NodeJS.Timeout | undefined;
  let isChecking = false;
  let isDue = false;

  for (const name of ["signedOut", "revoked", "replayed"] as const) emitter.on(name, ({ id }) => end(id, name));
  // The token may be another now: whoever holds the old one is out.
  emitter.on("rotated", ({ id }) => recheck(id));
  emitter.on("signedIn", ({ previousId }) => {
    if (previousId !== undefined) recheck(previousId);
  });

  function recheck(id: string): void {
    const watch = watches.get(id);
    if (watch) void checkSession(id, watch).catch(() => {});
  }

  function end(id: string, why: string): void {
    const watch = watches.get(id);
    if (!watch) return;
    removeWatch(id, watch);
    for (const controller of watch.controllers.keys()) abort(controller, why);
  }

  function abort(controller: AbortController, why: string): void {
    controller.abort(new DOMException(`The session has ended: ${why}`, "AbortError"));
  }

  function removeWatch(id: string, watch: Watch): void {
    clearTimeout(watch.timer);
    watches.delete(id);
    if (watches.size > 0) return;
    unsubscribe?.();
    unsubscribe = undefined;
    isSubscribed = false;
    clearTimeout(round);
    round = undefined;
  }

  /** Looks at all, a few at a time: whoever has asked for it meanwhile is owed another round. */
  async function checkAll(): Promise<void> {
    isDue = true;
    if (isChecking) return;
    isChecking = true;
    let isAnswering = true;
    while (isDue) {
      isDue = false;
      isAnswering = await forEach([...watches], ([id, watch]) => checkSession(id, watch)).then(
        () => true,
        () => false,
      );
    }
    isChecking = false;
    if (!isAnswering) scheduleRound(RETRY_MS);
    else if (!isSubscribed) scheduleRound(POLL_MS);
  }

  function scheduleRound(ms: number): void {
    clearTimeout(round);
    if (watches.size > 0) round = setTimeout(() => void checkAll(), ms).unref();
  }

  function setSubscribed(is: boolean): void {
    isSubscribed = is;
    clearTimeout(round);
    round = undefined;
    if (watches.size > 0) void checkAll();
  }

  function scheduleCheck(id: string, watch: Watch, ms: number): void {
    clearTimeout(watch.timer);
    const bounded = Math.max(1, Math.min(ms, CHECK_MS));
    watch.timer = setTimeout(() => void checkSession(id, watch).catch(() => {}), bounded).unref();
  }

  /** @throws SessionError ERR_SESSION_STORE, once that is reported. */
  async function checkSession(id: string, watch: Watch): Promise<void> {
    if (watches.get(id) !== watch) return;
    try {
      const loaded = await loadLatest(context, id, new Deadline(context.storeTimeout));
      if (watches.get(id) !== watch) return;
      if (!loaded || loaded.expiresAt <= now()) {
        end(id, "expired or revoked");
        return;
      }
      for (const [controller, epoch] of watch.controllers) {
        if (epoch() === loaded.record.epoch) continue;
        watch.controllers.delete(controller);
        abort(controller, "signed in elsewhere");
      }
      if (watch.controllers.size === 0) removeWatch(id, watch);
      else scheduleCheck(id, watch, loaded.expiresAt - now());
    } catch (error) {
      emitter.emit("error", { id, error });
      if (watches.get(id) === watch) scheduleCheck(id, watch, RETRY_MS);
      // A record that can't be opened says nothing of the others.
      if (error instanceof SessionError && error.code === "ERR_SESSION_STORE") throw error;
    }
  }

  function add(id: string, controller: AbortController, epoch: () => number | undefined) {
    unsubscribe ??= store.subscribe?.({ ended: (ended) => end(ended, "revoked"), listening: setSubscribed });
    let watch = watches.get(id);
    if (!watch) watches.set(id, (watch = { controllers: new Map(), timer: undefined }));
    watch.controllers.set(controller, epoch);
    // It may have ended between being read and being watched.
    scheduleCheck(id, watch, 0);
    if (!isSubscribed && !round && !isChecking) scheduleRound(POLL_MS);
    return { id, watch };
  }

  return {
    watch(id, epoch) {
      const controller = new AbortController();
      setMaxListeners(0, controller.signal);
      let current = add(id, controller, epoch);
      const release = () => {
        current.watch.controllers.delete(controller);
        if (current.watch.controllers.size === 0 && watches.get(current.id) === current.watch)
          removeWatch(current.id, current.watch);
      };
      return {
        signal: controller.signal,
        release,
        moveTo(next) {
          if (!current.watch.controllers.has(controller)) return;
          release();
          current = add(next, controller, epoch);
        },
      };
    },

    recheck,

    close() {
      for (const [id, watch] of watches) removeWatch(id, watch);
    },
  };
}
