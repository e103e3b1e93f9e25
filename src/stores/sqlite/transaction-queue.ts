import { inTransaction, isBusy, type SqliteDatabase } from "./database.ts";

/** Gives each piece of work its turn once the database is free for it, without holding up the event loop meanwhile. */
export interface Turns {
  /** Does the work now, or in the order of arrival as soon as it can be done. Rejects where that is not soon enough. */
  take<T>(work: () => T): Promise<T>;
  close(error: Error): void;
}

interface Waiting {
  /** Does the work and settles its promise; throws only where the database is busy. */
  attempt(): void;
  reject(error: unknown): void;
  readonly until: number;
}

// Another process holds the lock for some microseconds: the next turn of the event loop is soon enough, at first.
const IMMEDIATE_TRIES = 3;
const LONGEST_PAUSE = 16;
const LONGEST_SLICE = 3;

/** @param deadline - how many milliseconds work may wait for its turn. */
export function turns(db: SqliteDatabase, deadline: number): Turns {
  const waiting: Waiting[] = [];
  let tries = 0;

  function plan(): void {
    const pause = Math.min(LONGEST_PAUSE, 2 ** (tries - IMMEDIATE_TRIES));
    if (tries < IMMEDIATE_TRIES) setImmediate(serve);
    // Of processes that wait, no two come at the same time twice.
    else setTimeout(serve, pause * (0.5 + Math.random() / 2));
    tries += 1;
  }

  function serve(): void {
    const began = performance.now();
    try {
      for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
        free();
        first.attempt();
        waiting.shift();
        tries = 0;
        if (performance.now() - began > LONGEST_SLICE) break;
      }
    } catch (error) {
      const now = performance.now();
      while (waiting[0] !== undefined && waiting[0].until <= now) waiting.shift()?.reject(error);
    }
    if (waiting.length > 0) plan();
  }

  /** A transaction of the application's on this connection would take in what is done now, and could undo it. */
  function free(): void {
    if (inTransaction(db)) throw new TransactionOpen();
  }

  return {
    async take(work) {
      if (waiting.length === 0) {
        try {
          free();
          return work();
        } catch (error) {
          if (!mayPass(error)) throw error;
        }
      }
      return new Promise((resolve, reject) => {
        waiting.push({
          attempt() {
            try {
              resolve(work());
            } catch (error) {
              if (mayPass(error)) throw error;
              reject(error);
            }
          },
          reject,
          until: performance.now() + deadline,
        });
        if (waiting.length === 1) {
          tries = 0;
          plan();
        }
      });
    },

    close(error) {
      for (const { reject } of waiting.splice(0)) reject(error);
    },
  };
}

class TransactionOpen extends Error {
  constructor() {
    super(
      "the connection is in a transaction of the application's, which could undo what the session store writes: " +
        "end it, or give sqliteStore a connection of its own",
    );
  }
}

const mayPass = (error: unknown): boolean => isBusy(error) || error instanceof TransactionOpen;
