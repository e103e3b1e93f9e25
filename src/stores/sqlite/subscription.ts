import { firstValue, textOf } from "./database.ts";
import { createSubscribers } from "../shared/subscribers.ts";
import type { Statements } from "./schema.ts";

/** How often the table is looked at while anybody listens. Where nothing is new, a look costs some microseconds. */
const POLL_MS = 100;
const AT_ONCE = 500;

interface News {
  readonly n: number;
  readonly id: string | Uint8Array;
  readonly ended: number;
}

/**
 * What has ended or changed, told to this process. News are numbered without gaps in the order they were committed,
 * because SQLite has one writer at a time: what is above the last number heard is new, whoever wrote it, and a gap means
 * that some were forgotten before they were heard.
 *
 * @param isInTransaction - whether the application has one open on the connection, which then shows an old state.
 */
export function sqliteSubscription(
  { lastNews, news }: Pick<Statements, "lastNews" | "news">,
  isInTransaction: () => boolean,
) {
  let timer: NodeJS.Timeout | undefined;
  let heard = 0;
  const subscribers = createSubscribers({
    start() {
      begin();
      timer = setInterval(look, POLL_MS).unref();
    },
    stop: () => clearInterval(timer),
  });

  const last = (): number => Number(firstValue(lastNews) ?? 0);

  function look(): void {
    if (isInTransaction()) {
      subscribers.listening(false);
      return;
    }
    let found: News[];
    try {
      const newest = last();
      found = newest > heard ? (news.all(heard, AT_ONCE) as News[]) : [];
      if (newest !== heard && found[0]?.n !== heard + 1) subscribers.listening(false);
      heard = found.at(-1)?.n ?? newest;
    } catch {
      subscribers.listening(false);
      return;
    }
    subscribers.listening(true);
    for (const { id, ended } of found) {
      if (ended) subscribers.ended(textOf(id));
      else subscribers.changed(textOf(id));
    }
    if (found.length === AT_ONCE) setImmediate(look).unref();
  }

  function begin(): void {
    try {
      // What was told before is not news.
      heard = last();
      subscribers.listening(!isInTransaction());
    } catch {
      // The next look that succeeds tells what is there.
      heard = -1;
    }
  }

  return { subscribe: subscribers.subscribe, close: subscribers.close };
}
