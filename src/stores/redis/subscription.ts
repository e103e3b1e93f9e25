import { setTimeout as delay } from "node:timers/promises";
import type { StoreListener } from "../../store.ts";
import { notifyAll } from "../shared/listeners.ts";
import type { RedisClient } from "./client.ts";
import type { RedisKeys } from "./keys.ts";
import { CHANGED, ENDED } from "./notifications.ts";

/** How long a connection may take to open, or to answer, and how often it is asked whether it is still there. */
const OPENING_MS = 10_000;
const ANSWER_MS = 5000;
const PING_MS = 10_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/**
 * Hears what sessions have ended or changed, over a connection that is there while anybody listens, in a cluster over one
 * to each primary. When one shows any trouble all are given up, and opened anew: so there is one way to be connected,
 * whichever the client.
 */
export function redisSubscription(client: Pick<RedisClient, "listen" | "isCluster">, keys: RedisKeys) {
  const listeners = new Set<StoreListener>();
  let isListening = false;
  /** Ends the connection that is there, or about to be. */
  let running: AbortController | undefined;

  function turn(is: boolean): void {
    if (isListening === is) return;
    isListening = is;
    notifyAll(listeners, (listener) => listener.listening?.(is));
  }

  function heard(message: string): void {
    const id = keys.idOf(message.slice(1));
    if (message.startsWith(ENDED)) notifyAll(listeners, (listener) => listener.ended?.(id));
    else if (message.startsWith(CHANGED)) notifyAll(listeners, (listener) => listener.changed?.(id));
  }

  /** One connection, from its opening to its end. Says whether it ever heard. */
  async function connection(signal: AbortSignal): Promise<boolean> {
    let giveUp!: () => void;
    const over = new Promise<void>((resolve) => (giveUp = resolve));
    const isOver = over.then(() => false);
    const channels = { plain: keys.channel, shards: client.isCluster ? keys.shardChannels() : [] };
    const listening = client.listen(channels, (message) => signal.aborted || heard(message), giveUp);
    const asked = setInterval(() => {
      if (isListening) answered(listening.ping(), ANSWER_MS).catch(giveUp);
    }, PING_MS).unref();
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const opened = answered(listening.ready, OPENING_MS).then(() => true);
      // Whichever comes second is of no interest any more, not even its error.
      opened.catch(() => {});
      if (!(await Promise.race([opened, isOver]))) return false;
      if (!signal.aborted) turn(true);
      await over;
      return true;
    } finally {
      clearInterval(asked);
      signal.removeEventListener("abort", giveUp);
      if (!signal.aborted) turn(false);
      listening.close();
    }
  }

  async function run({ signal }: AbortController): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const hadHeard = await connection(signal).catch(() => false);
      pause = hadHeard ? FIRST_PAUSE_MS : Math.min(2 * pause, LONGEST_PAUSE_MS);
      // Processes that lost the same server do not come back at the same moment.
      await delay(pause * (0.5 + Math.random()), undefined, { ref: false, signal }).catch(() => {});
    }
  }

  function stop(): void {
    running?.abort();
    running = undefined;
    isListening = false;
  }

  return {
    subscribe(listener: StoreListener): () => void {
      const held = { ...boundTo(listener) };
      listeners.add(held);
      held.listening?.(isListening);
      if (!running) {
        running = new AbortController();
        void run(running);
      }
      return () => {
        if (listeners.delete(held) && listeners.size === 0) stop();
      };
    },

    close(): void {
      listeners.clear();
      stop();
    },
  };
}

/** The same listener may be there twice, and each is ended by itself. */
function boundTo(listener: StoreListener): StoreListener {
  return {
    ended: (id) => listener.ended?.(id),
    changed: (id) => listener.changed?.(id),
    listening: (is) => listener.listening?.(is),
  };
}

async function answered<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds).unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
