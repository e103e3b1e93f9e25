import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, unlinkSync } from "node:fs";
import type { StoreListener } from "../store.ts";
import { quietly } from "./file-system.ts";
import { tellAll } from "./listeners.ts";

/** How often the other processes' news are looked for, while anybody listens. */
const POLL_MS = 100;
/** News are kept in a file for each of these spans, and forgotten when they are two spans old. */
const SPAN_MS = 60_000;

/**
 * What has ended, told between the processes that share a directory: an id a line, appended to a file of the minute.
 * Appending a line is atomic on a local file system. There is no watching by the kernel: it is told differently on every
 * system, and a look at a file's length ten times a second costs next to nothing.
 */
export function fileFeed(directory: string) {
  const folder = `${directory}/ended`;
  const listeners = new Set<StoreListener>();
  /** How much of each file has been read. */
  const offsets = new Map<string, number>();
  /** The spans of the last look. */
  let looked: readonly string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let lastTold = "";

  const spanAt = (time: number): string => `${Math.floor(time / SPAN_MS)}`;
  /** A writer may have looked at the clock just before the turn of the span. */
  const spansNow = (): string[] => [spanAt(Date.now() - SPAN_MS), spanAt(Date.now())];

  function tell(id: string): void {
    const span = spanAt(Date.now());
    const line = `${Buffer.from(id).toString("base64url")}\n`;
    try {
      appendFileSync(`${folder}/${span}`, line, { mode: 0o600 });
    } catch {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      appendFileSync(`${folder}/${span}`, line, { mode: 0o600 });
    }
    if (span === lastTold) return;
    lastTold = span;
    const kept = spansNow();
    for (const name of readdirSync(folder)) {
      if (!kept.includes(name)) quietly(() => unlinkSync(`${folder}/${name}`));
    }
  }

  /** The ids told since the last look, and whether the others may have cleared some away unread. */
  function news(): { ids: string[]; mayLack: boolean } {
    const ids: string[] = [];
    const spans = spansNow();
    // The clock was set, or this process has slept.
    const mayLack = looked.length > 0 && !spans.some((span) => looked.includes(span));
    for (const span of new Set([...looked, ...spans])) {
      const from = offsets.get(span) ?? 0;
      const text = readFrom(`${folder}/${span}`, from);
      // A line that is not whole yet is read the next time.
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      offsets.set(span, from + whole.length);
      for (const line of whole.split("\n")) if (line) ids.push(Buffer.from(line, "base64url").toString());
    }
    looked = spans;
    for (const span of offsets.keys()) if (!spans.includes(span)) offsets.delete(span);
    return { ids, mayLack };
  }

  function look(): void {
    quietly(() => {
      const { ids, mayLack } = news();
      for (const id of ids) tellAll(listeners, (listener) => listener.ended?.(id));
      if (!mayLack) return;
      for (const is of [false, true]) tellAll(listeners, (listener) => listener.listening?.(is));
    });
  }

  return {
    /** Tells every process, this one included, that a session has ended. */
    tell(id: string): void {
      quietly(() => tell(id));
    },

    subscribe(listener: StoreListener): () => void {
      if (listeners.size === 0) {
        // What was told before is not news.
        looked = [];
        quietly(() => news());
        timer = setInterval(look, POLL_MS).unref();
      }
      listeners.add(listener);
      listener.listening?.(true);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) clearInterval(timer);
      };
    },

    close(): void {
      listeners.clear();
      clearInterval(timer);
    },
  };
}

function readFrom(path: string, from: number): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const length = fstatSync(file).size - from;
    if (length <= 0) return "";
    const bytes = Buffer.allocUnsafe(length);
    return bytes.toString("latin1", 0, readSync(file, bytes, 0, length, from));
  } finally {
    closeSync(file);
  }
}
