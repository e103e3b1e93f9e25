import { setMaxListeners } from "node:events";
import { SessionError } from "./errors.ts";
import { loadLatest } from "./record/load.ts";
import type { Context } from "./context.ts";
import { forEach } from "./concurrency.ts";
import { Deadline } from "./deadline.ts";

/** The interval of checks while the store sends no notifications, and the longest interval in any case. */
const POLL_MS = 1000;
const CHECK_MS = 30_000;
const RETRY_MS = 5000;

/** The signal of one request for its session. */
export interface WatchedSignal {
  readonly signal: AbortSignal;
  /** Stops watching. */
  readonly release: () => void;
  /** Watches another id, because the request's own sign-in has changed it. */
  moveTo(id: string): void;
}

/** The signals that abort when their sessions end. */
export interface SessionSignals {
  /**
   * Creates a signal for the session `id`, and the function that stops watching.
   *
   * @param epoch - returns the epoch of the request's token. The signal aborts when a sign-in elsewhere begins a later
   *   one.
   */
  watch(id: string, epoch: () => number | undefined): WatchedSignal;
  /** Checks a session now, because a request has found it changed. */
  recheck(id: string): void;
  close(): void;
}

interface Watch {
  readonly controllers: Map<AbortController, () => number | undefined>;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Watches the sessions of long-lived connections, and aborts their signals when the sessions end.
 *
 * The end in this process is known at once. The end in another process is notified by the store's `subscribe`. While
 * the subscription is lost, or if the store has none, all sessions are checked once a second, and once more when it is
 * back. Expiry, and an end whose notification was lost, is found by checks: at the beginning, at the known expiry, and
 * every 30 seconds.
 */
export function createSessionSignals(context: Omit<Context, "live" | "moves" | "collector">): SessionSignals {
  const { store, emitter, now } = context;
  const watches = new Map<string, Watch>();
  let isListening = false;
  let unsubscribe: (() => void) | undefined;
  let isSubscribed = false;
  let round: NodeJS.Timeout | undefined;
  let isChecking = false;
  let isDue = false;

  /** From the first watch on: an event that nobody listens to costs nothing. */
  function listenToEvents(): void {
    if (isListening) return;
    isListening = true;
    for (const name of ["signedOut", "revoked", "replayed"] as const) emitter.on(name, ({ id }) => end(id, name));
    // The token may have changed: signals of requests with the old one abort.
    emitter.on("rotated", ({ id }) => recheck(id));
    emitter.on("signedIn", ({ previousId }) => {
      if (previousId !== undefined) recheck(previousId);
    });
  }

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

  /** Checks all sessions, a few at a time. If it is called again meanwhile, it begins another round afterwards. */
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

  /** @throws SessionError `ERR_SESSION_STORE`, after it was reported by an `error` event. */
  async function checkSession(id: string, watch: Watch): Promise<void> {
    if (watches.get(id) !== watch) return;
    // The answer may be late: it says nothing of a token that is newer than the question, nor of an expiry since then.
    const began = now();
    const asked = Array.from(watch.controllers, ([controller, epoch]) => ({ controller, epoch, before: epoch() }));
    try {
      const loaded = await loadLatest(context, id, new Deadline(context.storeTimeout));
      if (watches.get(id) !== watch) return;
      if (!loaded || loaded.expiresAt <= began) {
        end(id, "expired or revoked");
        return;
      }
      for (const { controller, epoch, before } of asked) {
        if (before === loaded.record.epoch || before !== epoch()) continue;
        if (!watch.controllers.has(controller)) continue;
        watch.controllers.delete(controller);
        abort(controller, "signed in elsewhere");
      }
      if (watch.controllers.size === 0) removeWatch(id, watch);
      else scheduleCheck(id, watch, loaded.expiresAt - now());
    } catch (error) {
      emitter.emit("error", { id, error });
      if (watches.get(id) === watch) scheduleCheck(id, watch, RETRY_MS);
      // If one record can't be decrypted, the others still have to be checked.
      if (error instanceof SessionError && error.code === "ERR_SESSION_STORE") throw error;
    }
  }

  function add(id: string, controller: AbortController, epoch: () => number | undefined) {
    listenToEvents();
    unsubscribe ??= store.subscribe?.({ ended: (ended) => end(ended, "revoked"), listening: setSubscribed });
    let watch = watches.get(id);
    if (!watch) watches.set(id, (watch = { controllers: new Map(), timer: undefined }));
    watch.controllers.set(controller, epoch);
    // The session may have ended after it was read and before it was watched.
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
