import { setTimeout as delay } from "node:timers/promises";
import { withTimeout } from "../../deadline.ts";
import { createSubscribers } from "../shared/subscribers.ts";
import type { RedisDriver } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { CHANGED, ENDED } from "./notifications.ts";

const OPEN_TIMEOUT_MS = 10_000;
const PING_TIMEOUT_MS = 5000;
const PING_INTERVAL_MS = 10_000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2000;

/**
 * Notifies listeners of sessions that have ended or changed. It keeps a listener connection while there are listeners, in
 * a cluster one to each primary. After any error all of them are closed and opened anew, so that every client reconnects
 * in the same way.
 */
export function redisSubscription(driver: Pick<RedisDriver, "openListener" | "isCluster">, keys: RedisKeys) {
  /** Aborting it closes the current connection, and opens no other. */
  let active: AbortController | undefined;
  const subscribers = createSubscribers({
    start() {
      active = new AbortController();
      void keepListening(active);
    },
    stop: () => active?.abort(),
  });

  function dispatchMessage(message: string): void {
    const id = keys.decodeId(message.slice(1));
    if (message.startsWith(ENDED)) subscribers.ended(id);
    else if (message.startsWith(CHANGED)) subscribers.changed(id);
  }

  /** Opens a connection and waits until it is lost. Returns whether it was ever subscribed. */
  async function listenOnce(signal: AbortSignal): Promise<boolean> {
    let isReady = false;
    let onLost!: () => void;
    const lost = new Promise<void>((resolve) => (onLost = resolve));
    const neverReady = lost.then(() => false);
    const channels = { plain: keys.channel, shards: driver.isCluster ? keys.shardChannels() : [] };
    const connection = driver.openListener(channels, (message) => signal.aborted || dispatchMessage(message), onLost);
    const pings = setInterval(() => {
      if (isReady) waitFor(connection.ping(), PING_TIMEOUT_MS).catch(onLost);
    }, PING_INTERVAL_MS).unref();
    signal.addEventListener("abort", onLost, { once: true });
    try {
      const ready = waitFor(connection.ready, OPEN_TIMEOUT_MS).then(() => true);
      // If the connection is lost first, this result is ignored, and so is its error.
      ready.catch(() => {});
      if (!(await Promise.race([ready, neverReady]))) return false;
      isReady = true;
      if (!signal.aborted) subscribers.listening(true);
      await lost;
      return true;
    } finally {
      clearInterval(pings);
      signal.removeEventListener("abort", onLost);
      if (!signal.aborted) subscribers.listening(false);
      connection.close();
    }
  }

  async function keepListening({ signal }: AbortController): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const wasSubscribed = await listenOnce(signal).catch(() => false);
      pause = wasSubscribed ? FIRST_PAUSE_MS : Math.min(2 * pause, MAX_PAUSE_MS);
      // A random part, so that processes that lost the same server do not reconnect at the same moment.
      await delay(pause * (0.5 + Math.random()), undefined, { ref: false, signal }).catch(() => {});
    }
  }

  return { subscribe: subscribers.subscribe, close: subscribers.close };
}

/** Waits for a limited time, without keeping the process alive. */
const waitFor = <T>(promise: Promise<T>, timeoutMs: number): Promise<T> =>
  withTimeout(() => promise, timeoutMs, { keepAlive: false });
