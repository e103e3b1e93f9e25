import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, unlinkSync } from "node:fs";
import { undefinedIfMissing } from "./files.ts";
import { quietly } from "../shared/quietly.ts";
import { createSubscribers } from "../shared/subscribers.ts";

/** The interval between two polls for other processes' notifications, while there are listeners. */
const POLL_MS = 100;
/** Each span of time has its own file of notifications. A file is deleted when it is two spans old. */
const SPAN_MS = 60_000;
/** The pause before notifications that could not be written are tried again. */
const RETRY_MS = 1000;
/** The most characters of unsent notifications that are kept. */
const MAX_UNSENT_LENGTH = 1_000_000;

/** The position up to which a file has been read. `file` is its inode. */
interface ReadPosition {
  readonly file: number;
  readonly read: number;
}

/**
 * Notifies the processes that share a directory of sessions that have ended. Each notification is a line with the id as
 * JSON, which also preserves a lone surrogate, appended to the file of the current minute. On a local file system the
 * append is atomic. The files are polled ten times a second, which costs very little. `fs.watch` is not used, because it
 * behaves differently on each operating system.
 */
export function fileSubscription(directory: string) {
  const folder = `${directory}/ended`;
  const subscribers = createSubscribers({
    start() {
      // Skips the notifications from before the subscription.
      readNotifications();
      timer = setInterval(poll, POLL_MS).unref();
    },
    stop() {
      clearInterval(timer);
      positions.clear();
      polledAt = 0;
      polledSpans = [];
    },
  });
  const positions = new Map<string, ReadPosition>();
  let timer: NodeJS.Timeout | undefined;
  let polledAt = 0;
  /** The spans that the last poll read. */
  let polledSpans: readonly string[] = [];
  let lastWrittenSpan = "";
  let unsent = "";
  let retry: NodeJS.Timeout | undefined;

  const spanAt = (time: number): string => `${Math.floor(time / SPAN_MS)}`;
  /** Includes the previous span: a writer may have read the clock just before the current one began. */
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
      // If the process was suspended in between, it has written to a file that is no longer read. Then it writes again.
    } while (!spansNow().includes(span));
    if (span === lastWrittenSpan) return;
    lastWrittenSpan = span;
    const kept = spansNow();
    for (const name of readdirSync(folder)) {
      if (!kept.includes(name)) quietly(() => unlinkSync(`${folder}/${name}`));
    }
  }

  /** Does not throw: the session has ended even if the disk is too full for the notification. */
  function sendUnsent(): void {
    clearTimeout(retry);
    retry = undefined;
    try {
      append(unsent);
      unsent = "";
    } catch {
      if (unsent.length > MAX_UNSENT_LENGTH) unsent = unsent.slice(-MAX_UNSENT_LENGTH);
      retry = setTimeout(sendUnsent, RETRY_MS).unref();
    }
  }

  /** Adds the ids that a span's file got since the last poll. Returns whether some may have been missed. */
  function readNewIds(span: string, ids: string[]): boolean {
    const known = positions.get(span);
    const file = undefinedIfMissing(() => openSync(`${folder}/${span}`, "r"));
    if (file === undefined) {
      positions.delete(span);
      return known !== undefined && spansNow().includes(span);
    }
    try {
      const { ino, size } = fstatSync(file);
      const isSame = known?.file === ino && size >= known.read;
      const from = isSame ? known.read : 0;
      const bytes = Buffer.allocUnsafe(size - from);
      const text = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from));
      // The next poll reads a line that is not complete yet.
      const whole = text.subarray(0, text.lastIndexOf("\n") + 1);
      positions.set(span, { file: ino, read: from + whole.length });
      for (const line of whole.toString().split("\n")) {
        const id = parseId(line);
        if (id !== undefined) ids.push(id);
      }
      return known !== undefined && !isSame;
    } finally {
      closeSync(file);
    }
  }

  /** Returns the ids since the last poll. If some may have been missed, listeners are notified of that first. */
  function readNotifications(): string[] {
    const ids: string[] = [];
    const now = Date.now();
    try {
      // A process that polls in each span reads every file to its end before it is deleted.
      let isMissing = polledAt !== 0 && Math.abs(now - polledAt) > SPAN_MS;
      const spans = spansNow();
      for (const span of new Set([...polledSpans, ...spans])) {
        if (readNewIds(span, ids)) isMissing = true;
        if (!spans.includes(span)) positions.delete(span);
      }
      polledAt = now;
      polledSpans = spans;
      if (isMissing) subscribers.listening(false);
      subscribers.listening(true);
    } catch {
      subscribers.listening(false);
    }
    return ids;
  }

  function poll(): void {
    for (const id of readNotifications()) subscribers.ended(id);
  }

  return {
    /** Notifies every process, including this one, that a session has ended. */
    notifyEnded(id: string): void {
      // Also begins with an end of line: another process may have died while it wrote a line.
      unsent += `\n${JSON.stringify(id)}\n`;
      if (retry === undefined) sendUnsent();
    },

    subscribe: subscribers.subscribe,

    close(): void {
      subscribers.close();
      clearTimeout(retry);
    },
  };
}

/** Returns `undefined` if the line is empty or incomplete. */
function parseId(line: string): string | undefined {
  try {
    const id: unknown = JSON.parse(line);
    return typeof id === "string" ? id : undefined;
  } catch {
    return undefined;
  }
}
