import { setTimeout as delay } from "node:timers/promises";
import { withTimeout } from "../../deadline.ts";
import { createSubscribers } from "../shared/subscribers.ts";
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
  /** Ends the connection that is there, or about to be. */
  let running: AbortController | undefined;
  const subscribers = createSubscribers({
    start() {
      running = new AbortController();
      void run(running);
    },
    stop: () => running?.abort(),
  });

  function heard(message: string): void {
    const id = keys.idOf(message.slice(1));
    if (message.startsWith(ENDED)) subscribers.ended(id);
    else if (message.startsWith(CHANGED)) subscribers.changed(id);
  }

  /** One connection, from its opening to its end. Says whether it ever heard. */
  async function connection(signal: AbortSignal): Promise<boolean> {
    let isOpen = false;
    let giveUp!: () => void;
    const over = new Promise<void>((resolve) => (giveUp = resolve));
    const isOver = over.then(() => false);
    const channels = { plain: keys.channel, shards: client.isCluster ? keys.shardChannels() : [] };
    const listening = client.listen(channels, (message) => signal.aborted || heard(message), giveUp);
    const asked = setInterval(() => {
      if (isOpen) answered(listening.ping(), ANSWER_MS).catch(giveUp);
    }, PING_MS).unref();
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const opened = answered(listening.ready, OPENING_MS).then(() => true);
      // Whichever comes second is of no interest any more, not even its error.
      opened.catch(() => {});
      if (!(await Promise.race([opened, isOver]))) return false;
      isOpen = true;
      if (!signal.aborted) subscribers.listening(true);
      await over;
      return true;
    } finally {
      clearInterval(asked);
      signal.removeEventListener("abort", giveUp);
      if (!signal.aborted) subscribers.listening(false);
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

  return { subscribe: subscribers.subscribe, close: subscribers.close };
}

/** An answer that is waited for without keeping the process alive. */
const answered = <T>(promise: Promise<T>, milliseconds: number): Promise<T> =>
  withTimeout(() => promise, milliseconds, { keepAlive: false });
