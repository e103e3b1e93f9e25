import { firstValue, decodeText } from "./database.ts";
import { createSubscribers } from "../shared/subscribers.ts";
import type { Statements } from "./schema.ts";

/** The interval between two polls of the table, while there are listeners. A poll without result takes some microseconds. */
const POLL_MS = 100;
const BATCH_SIZE = 500;

interface NotificationRow {
  readonly n: number;
  readonly id: string | Uint8Array;
  readonly ended: number;
}

/**
 * Notifies this process of sessions that have ended or changed. SQLite has one writer at a time, so notifications have
 * numbers without gaps, in the order in which they were committed. Every number above the last one read is new. A gap means
 * that notifications were deleted before they were read.
 *
 * @param isInTransaction - whether the application has an open transaction on the connection. Such a transaction sees an
 *   old state of the table.
 */
export function sqliteSubscription(
  { lastNotification, notifications }: Pick<Statements, "lastNotification" | "notifications">,
  isInTransaction: () => boolean,
) {
  let timer: NodeJS.Timeout | undefined;
  let lastReadNumber = 0;
  const subscribers = createSubscribers({
    start() {
      skipExisting();
      timer = setInterval(poll, POLL_MS).unref();
    },
    stop: () => clearInterval(timer),
  });

  const readNewestNumber = (): number => Number(firstValue(lastNotification) ?? 0);

  function poll(): void {
    if (isInTransaction()) {
      subscribers.listening(false);
      return;
    }
    let found: NotificationRow[];
    try {
      const newest = readNewestNumber();
      found = newest > lastReadNumber ? (notifications.all(lastReadNumber, BATCH_SIZE) as NotificationRow[]) : [];
      if (newest !== lastReadNumber && found[0]?.n !== lastReadNumber + 1) subscribers.listening(false);
      lastReadNumber = found.at(-1)?.n ?? newest;
    } catch {
      subscribers.listening(false);
      return;
    }
    subscribers.listening(true);
    for (const { id, ended } of found) {
      if (ended) subscribers.ended(decodeText(id));
      else subscribers.changed(decodeText(id));
    }
    if (found.length === BATCH_SIZE) setImmediate(poll).unref();
  }

  function skipExisting(): void {
    try {
      // Skips the notifications from before the subscription.
      lastReadNumber = readNewestNumber();
      subscribers.listening(!isInTransaction());
    } catch {
      // The next poll that succeeds sets the number.
      lastReadNumber = -1;
    }
  }

  return { subscribe: subscribers.subscribe, close: subscribers.close };
}
