import { inTransaction, isBusy, type SqliteDatabase } from "./database.ts";

/** Runs tasks one after another when the database is free. Waiting does not block the event loop. */
export interface TransactionQueue {
  /** Runs the task now, or as soon as the database is free and earlier tasks are done. Rejects when the timeout is over. */
  run<T>(task: () => T): Promise<T>;
  /** Rejects all waiting tasks. */
  close(error: Error): void;
}

interface Waiting {
  /** Runs the task and settles its promise. Throws only if the database is busy. */
  tryRun(): void;
  reject(error: unknown): void;
  readonly until: number;
}

// Another process usually holds the lock for some microseconds, so the first attempts are made without a pause.
const IMMEDIATE_ATTEMPTS = 3;
const MAX_PAUSE_MS = 16;
const MAX_SLICE_MS = 3;

/** @param timeoutMs - the longest time that a task may wait. */
export function createTransactionQueue(db: SqliteDatabase, timeoutMs: number): TransactionQueue {
  const waiting: Waiting[] = [];
  let attempts = 0;

  function scheduleRetry(): void {
    const pause = Math.min(MAX_PAUSE_MS, 2 ** (attempts - IMMEDIATE_ATTEMPTS));
    if (attempts < IMMEDIATE_ATTEMPTS) setImmediate(runWaiting);
    // The pause is random, so that two waiting processes do not collide again and again.
    else setTimeout(runWaiting, pause * (0.5 + Math.random() / 2));
    attempts += 1;
  }

  function runWaiting(): void {
    const began = performance.now();
    try {
      for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
        assertNoTransaction();
        first.tryRun();
        waiting.shift();
        attempts = 0;
        if (performance.now() - began > MAX_SLICE_MS) break;
      }
    } catch (error) {
      const now = performance.now();
      while (waiting[0] !== undefined && waiting[0].until <= now) waiting.shift()?.reject(error);
    }
    if (waiting.length > 0) scheduleRetry();
  }

  /** Throws if the application has an open transaction on this connection: its rollback would undo the task. */
  function assertNoTransaction(): void {
    if (inTransaction(db)) throw new TransactionOpenError();
  }

  return {
    async run(task) {
      if (waiting.length === 0) {
        try {
          assertNoTransaction();
          return task();
        } catch (error) {
          if (!isTransient(error)) throw error;
        }
      }
      return new Promise((resolve, reject) => {
        waiting.push({
          tryRun() {
            try {
              resolve(task());
            } catch (error) {
              if (isTransient(error)) throw error;
              reject(error);
            }
          },
          reject,
          until: performance.now() + timeoutMs,
        });
        if (waiting.length === 1) {
          attempts = 0;
          scheduleRetry();
        }
      });
    },

    close(error) {
      for (const { reject } of waiting.splice(0)) reject(error);
    },
  };
}

class TransactionOpenError extends Error {
  constructor() {
    super(
      "the connection is in a transaction of the application's, which could undo what the session store writes: " +
        "end it, or give sqliteStore a connection of its own",
    );
  }
}

const isTransient = (error: unknown): boolean => isBusy(error) || error instanceof TransactionOpenError;
