import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, unlinkSync } from "node:fs";
import { orMissing } from "./files.ts";
import { quietly } from "../shared/quietly.ts";
import { createSubscribers } from "../shared/subscribers.ts";

/** How often the other processes' news are looked for, while anybody listens. */
const POLL_MS = 100;
/** News are kept in a file for each of these spans, and forgotten when they are two spans old. */
const SPAN_MS = 60_000;
/** How often news that could not be written are tried again, and how many characters of them are kept. */
const RETRY_MS = 1000;
const MOST_UNTOLD = 1_000_000;

/** How far a file has been read. */
interface Followed {
  readonly file: number;
  readonly read: number;
}

/**
 * What has ended, told between the processes that share a directory: an id a line, as JSON, which has half a surrogate
 * pair too, appended to a file of the minute.
 * Appending a line is atomic on a local file system. There is no watching by the kernel: it is told differently on every
 * system, and a look at a file's length ten times a second costs next to nothing.
 */
export function fileSubscription(directory: string) {
  const folder = `${directory}/ended`;
  const subscribers = createSubscribers({
    start() {
      // What was told before is not news.
      news();
      timer = setInterval(look, POLL_MS).unref();
    },
    stop() {
      clearInterval(timer);
      followed.clear();
      lookedAt = 0;
      looked = [];
    },
  });
  const followed = new Map<string, Followed>();
  let timer: NodeJS.Timeout | undefined;
  let lookedAt = 0;
  /** The spans of the last look. */
  let looked: readonly string[] = [];
  let lastTold = "";
  let untold = "";
  let retry: NodeJS.Timeout | undefined;

  const spanAt = (time: number): string => `${Math.floor(time / SPAN_MS)}`;
  /** A writer may have looked at the clock just before the turn of the span. */
  const spansNow = (): string[] => [spanAt(Date.now() - SPAN_MS), spanAt(Date.now())];

  function append(lines: string): void {
    let span: string;
    do {
      span = spanAt(Date.now());
      try {
        appendFileSync(`${folder}/${span}`, lines, { mode: 0o600 });
      } catch {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        appendFileSync(`${folder}/${span}`, lines, { mode: 0o600 });
      }
      // A process that was stopped in between has written where nobody looks any more.
    } while (!spansNow().includes(span));
    if (span === lastTold) return;
    lastTold = span;
    const kept = spansNow();
    for (const name of readdirSync(folder)) {
      if (!kept.includes(name)) quietly(() => unlinkSync(`${folder}/${name}`));
    }
  }

  /** The session has ended, whether that can be told or not: a full disk must not undo it. */
  function tellUntold(): void {
    clearTimeout(retry);
    retry = undefined;
    try {
      append(untold);
      untold = "";
    } catch {
      if (untold.length > MOST_UNTOLD) untold = untold.slice(-MOST_UNTOLD);
      retry = setTimeout(tellUntold, RETRY_MS).unref();
    }
  }

  /** Adds the ids that a span's file tells of since the last look, and says whether any can have been missed. */
  function readOn(span: string, ids: string[]): boolean {
    const known = followed.get(span);
    const file = orMissing(() => openSync(`${folder}/${span}`, "r"));
    if (file === undefined) {
      followed.delete(span);
      return known !== undefined && spansNow().includes(span);
    }
    try {
      const { ino, size } = fstatSync(file);
      const isSame = known?.file === ino && size >= known.read;
      const from = isSame ? known.read : 0;
      const bytes = Buffer.allocUnsafe(size - from);
      const text = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from));
      // A line that is not whole yet is read the next time.
      const whole = text.subarray(0, text.lastIndexOf("\n") + 1);
      followed.set(span, { file: ino, read: from + whole.length });
      for (const line of whole.toString().split("\n")) {
        const id = idIn(line);
        if (id !== undefined) ids.push(id);
      }
      return known !== undefined && !isSame;
    } finally {
      closeSync(file);
    }
  }

  /** The ids told since the last look. Listeners hear beforehand where some can have been missed. */
  function news(): string[] {
    const ids: string[] = [];
    const now = Date.now();
    try {
      // Whoever looks in each span reads a file to its end before anybody forgets it.
      let isMissing = lookedAt !== 0 && Math.abs(now - lookedAt) > SPAN_MS;
      const spans = spansNow();
      for (const span of new Set([...looked, ...spans])) {
        if (readOn(span, ids)) isMissing = true;
        if (!spans.includes(span)) followed.delete(span);
      }
      lookedAt = now;
      looked = spans;
      if (isMissing) subscribers.listening(false);
      subscribers.listening(true);
    } catch {
      subscribers.listening(false);
    }
    return ids;
  }

  function look(): void {
    for (const id of news()) subscribers.ended(id);
  }

  return {
    /** Tells every process, this one included, that a session has ended. */
    tell(id: string): void {
      // It begins with an end of line too: somebody may have died in the middle of one.
      untold += `\n${JSON.stringify(id)}\n`;
      if (retry === undefined) tellUntold();
    },

    subscribe: subscribers.subscribe,

    close(): void {
      subscribers.close();
      clearTimeout(retry);
    },
  };
}

/** Nothing where the line is empty, or was cut off. */
function idIn(line: string): string | undefined {
  try {
    const id: unknown = JSON.parse(line);
    return typeof id === "string" ? id : undefined;
  } catch {
    return undefined;
  }
}
