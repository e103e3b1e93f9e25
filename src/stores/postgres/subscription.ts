import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { StoreListener } from "../../store.ts";
import { withTimeout } from "../../deadline.ts";
import { createSubscribers } from "../shared/subscribers.ts";
import type { PostgresDriver, PostgresListenerConnection } from "./driver.ts";
import { unescapeText } from "./escaping.ts";
import { CHANGED, ENDED, PROBE } from "./statements.ts";

export interface PostgresSubscriptionOptions {
  readonly channel: string;
  /** Opens the listener connection. */
  readonly driver: Pick<PostgresDriver, "listen" | "reserveConnection">;
  /** Sends a notification over the connections that the store writes with. */
  readonly notify: (payload: string) => Promise<unknown>;
  /** Milliseconds between two checks of the connection, and the longest wait for a reply. Default 5000. */
  readonly interval?: number;
}

export interface PostgresSubscription {
  subscribe(listener: StoreListener): () => void;
  /** Calls no listener any more from now on. Fulfilled when the application may end the client. */
  close(): Promise<void>;
}

/** The time from the first listener to the last, over any number of connections. */
interface ListeningPeriod {
  isOver: boolean;
  connection: PostgresListenerConnection | undefined;
  isLost: boolean;
  /** Called when the connection is lost. `waitUnlessLost` replaces it while it waits. */
  onLost(): void;
  probe: string;
  onProbeReturned(): void;
}

const CHECK_INTERVAL_MS = 5000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;

/**
 * Notifies listeners of sessions that have ended or changed. It keeps one connection while there are listeners, and
 * reconnects when that is lost.
 */
export function postgresSubscription({
  channel,
  driver,
  notify,
  interval = CHECK_INTERVAL_MS,
}: PostgresSubscriptionOptions): PostgresSubscription {
  const subscribers = createSubscribers({ start: startListening, stop: stopListening });
  let current: ListeningPeriod | undefined;
  let releaseConnection: (() => void) | undefined;
  let hasEverListened = false;
  let hasWarned = false;
  /** Connections that are being opened or closed. The application may not end the client before. */
  const pendingConnections = new Set<Promise<void>>();

  function dispatchNotification(payload: string): void {
    if (payload === current?.probe) current.onProbeReturned();
    const id = unescapeText(payload.slice(1));
    if (payload.startsWith(ENDED)) subscribers.ended(id);
    if (payload.startsWith(CHANGED)) subscribers.changed(id);
  }

  async function keepListening(period: ListeningPeriod): Promise<void> {
    for (let failures = 0; !period.isOver; failures += 1) {
      period.isLost = false;
      try {
        period.connection ??= await openConnection(period);
        if (period.isOver) return;
        await verifyDelivery(period);
        if (period.isOver) return;
        subscribers.listening(true);
        failures = 0;
        hasEverListened = true;
        await checkUntilLost(period, period.connection);
      } catch {
        // The connection is lost. The reason is not reported here: operations fail for the same reason and report it.
      }
      if (period.isOver) return;
      subscribers.listening(false);
      if (period.connection?.reconnects !== true) {
        if (period.connection !== undefined) trackPending(period.connection.close());
        period.connection = undefined;
      }
      const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
      await delay(pause, undefined, { ref: false });
    }
  }

  async function openConnection(period: ListeningPeriod): Promise<PostgresListenerConnection> {
    let isTooLate = false;
    const opening = driver.listen(channel, {
      onNotification: dispatchNotification,
      onLost: () => period.onLost(),
    });
    // `close` waits for this: a client that is ended while it connects may leave the connection open.
    trackPending(
      opening.then((connection) => {
        if (isTooLate || period.isOver) return connection.close();
        period.connection = connection;
      }),
    );
    return withTimeout(() => opening, interval, { keepAlive: false }).catch((error: unknown) => {
      isTooLate = true;
      throw error;
    });
  }

  // LISTEN can succeed and be useless: a pooler may have sent it over a connection that others use. So a notification is
  // sent, and must come back.
  async function verifyDelivery(period: ListeningPeriod): Promise<void> {
    const returned = new Promise<void>((resolve) => {
      period.probe = PROBE + randomBytes(12).toString("base64url");
      period.onProbeReturned = resolve;
    });
    await waitUnlessLost(period, interval, notify(period.probe));
    await waitUnlessLost(period, interval, returned).catch((error: unknown) => {
      if (!period.isOver && error instanceof NoReply && !hasEverListened && !hasWarned) {
        hasWarned = true;
        process.emitWarning(
          "postgresStore sent a notification and did not receive it on its listener connection: LISTEN needs a direct " +
            "connection to the primary, not one through a pooler. Pass one as the option listen.",
          { code: "SOJOURN_NOT_NOTIFIED" },
        );
      }
      throw error;
    });
  }

  async function checkUntilLost(period: ListeningPeriod, { ping }: PostgresListenerConnection): Promise<never> {
    for (;;) {
      await waitUnlessLost(period, interval);
      if (ping === undefined) await verifyDelivery(period);
      else await waitUnlessLost(period, interval, ping());
    }
  }

  function trackPending(promise: Promise<unknown>): void {
    const pending = promise
      .then(
        () => {},
        () => {},
      )
      .finally(() => pendingConnections.delete(pending));
    pendingConnections.add(pending);
  }

  function startListening(): void {
    releaseConnection = driver.reserveConnection();
    current = createPeriod();
    void keepListening(current);
  }

  function stopListening(): void {
    if (current === undefined) return;
    current.isOver = true;
    if (current.connection !== undefined) trackPending(current.connection.close());
    current.onLost();
    current = undefined;
    releaseConnection?.();
  }

  return {
    subscribe: subscribers.subscribe,
    async close() {
      subscribers.close();
      await withTimeout(() => Promise.all(pendingConnections), CLOSE_TIMEOUT_MS).catch(() => {});
    },
  };
}

function createPeriod(): ListeningPeriod {
  const period: ListeningPeriod = {
    isOver: false,
    connection: undefined,
    isLost: false,
    onLost: () => void (period.isLost = true),
    probe: "",
    onProbeReturned() {},
  };
  return period;
}

/**
 * Waits for a promise, or for the whole time if there is none. Rejects if the promise does not settle in time, or if the
 * connection is lost. The period has one callback for a loss, not one promise: every wait that had ever begun would stay
 * in memory with that promise.
 */
function waitUnlessLost(period: ListeningPeriod, timeoutMs: number, awaited?: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onTimeout = (): void => (awaited === undefined ? resolve(undefined) : reject(new NoReply()));
    const timer = setTimeout(onTimeout, timeoutMs).unref();
    period.onLost = () => {
      period.isLost = true;
      clearTimeout(timer);
      reject(new Error("the connection is lost"));
    };
    if (period.isLost) period.onLost();
    awaited?.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

class NoReply extends Error {
  override message = "no reply in time";
}
