import type { StoreListener } from "../../store.ts";
import { firstValue, textOf } from "./database.ts";
import { notifyAll } from "../shared/listeners.ts";
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
  const listeners = new Set<StoreListener>();
  let timer: NodeJS.Timeout | undefined;
  let heard = 0;
  let listening = false;

  function nowListening(isListening: boolean): void {
    if (listening === isListening) return;
    listening = isListening;
    notifyAll(listeners, (listener) => listener.listening?.(isListening));
  }

  const last = (): number => Number(firstValue(lastNews) ?? 0);

  function look(): void {
    if (isInTransaction()) {
      nowListening(false);
      return;
    }
    let found: News[];
    try {
      const newest = last();
      found = newest > heard ? (news.all(heard, AT_ONCE) as News[]) : [];
      if (newest !== heard && found[0]?.n !== heard + 1) nowListening(false);
      heard = found.at(-1)?.n ?? newest;
    } catch {
      nowListening(false);
      return;
    }
    nowListening(true);
    for (const { id, ended } of found) {
      notifyAll(listeners, (listener) => (ended ? listener.ended?.(textOf(id)) : listener.changed?.(textOf(id))));
    }
    if (found.length === AT_ONCE) setImmediate(look).unref();
  }

  function begin(): void {
    try {
      // What was told before is not news.
      heard = last();
      listening = !isInTransaction();
    } catch {
      // The next look that succeeds tells what is there.
      heard = -1;
    }
  }

  function stop(): void {
    clearInterval(timer);
    timer = undefined;
    listening = false;
  }

  return {
    subscribe(listener: StoreListener): () => void {
      if (listeners.size === 0) {
        begin();
        timer = setInterval(look, POLL_MS).unref();
      }
      listeners.add(listener);
      listener.listening?.(listening);
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) stop();
      };
    },

    close(): void {
      listeners.clear();
      stop();
    },
  };
}
