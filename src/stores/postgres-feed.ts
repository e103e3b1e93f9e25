import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { StoreListener } from "../store.ts";
import type { Listening, PostgresConnection } from "./postgres-client.ts";
import { CHANGED, ECHO, ENDED } from "./postgres-statements.ts";
import { decodeText } from "./postgres-text.ts";

export interface FeedOptions {
  readonly channel: string;
  /** Whose connection listens. */
  readonly connection: Pick<PostgresConnection, "listen">;
  /** Announces a text, the way the store does. */
  readonly announce: (text: string) => Promise<unknown>;
  /** Milliseconds between two looks whether the connection lives, and for which it may keep silent. */
  readonly interval?: number;
}

export interface Feed {
  subscribe(listener: StoreListener): () => void;
  /** Afterwards nothing is heard; fulfils once the client may be ended. */
  close(): Promise<void>;
}

/** A time in which somebody listens. */
interface Turn {
  ended: boolean;
  listening: Listening | undefined;
  /** Rejects when the connection is lost. */
  losing: Promise<never>;
  lose(): void;
  echo: string;
  echoed(): void;
}

const INTERVAL = 5000;
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 5000;
const LONGEST_ENDING = 1000;

/** Listens while anybody wants to hear, on one connection for all, and gets another when that is lost. */
export function postgresFeed({ channel, connection, announce, interval = INTERVAL }: FeedOptions): Feed {
  const listeners = new Set<StoreListener>();
  let turn: Turn | undefined;
  let isListening = false;
  let hasHeard = false;
  let hasWarned = false;
  const endings = new Set<Promise<void>>();

  function tell(is: boolean): void {
    if (isListening === is) return;
    isListening = is;
    for (const listener of listeners) listener.listening?.(is);
  }

  function hear(payload: string): void {
    if (payload === turn?.echo) turn.echoed();
    const id = decodeText(payload.slice(1));
    if (payload.startsWith(ENDED)) for (const listener of listeners) listener.ended?.(id);
    if (payload.startsWith(CHANGED)) for (const listener of listeners) listener.changed?.(id);
  }

  async function keepListening(mine: Turn): Promise<void> {
    for (let failures = 0; !mine.ended; failures += 1) {
      watch(mine);
      try {
        mine.listening ??= await opened(mine);
        if (mine.ended) return;
        await proveHearing(mine);
        if (mine.ended) return;
        tell(true);
        failures = 0;
        hasHeard = true;
        await stayUntilLost(mine, mine.listening);
      } catch {
        // The loss itself. Why is nobody's business: the operations that fail beside it say so.
      }
      if (mine.ended) return;
      tell(false);
      if (mine.listening?.heals !== true) {
        if (mine.listening !== undefined) end(mine.listening);
        mine.listening = undefined;
      }
      await rest(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures) * (0.5 + Math.random() / 2));
    }
  }

  async function opened(mine: Turn): Promise<Listening> {
    let isLate = false;
    const opening = connection.listen(channel, { heard: hear, lost: () => mine.lose() });
    opening.then(
      (listening) => {
        if (isLate || mine.ended) end(listening);
      },
      () => {},
    );
    return within(interval, opening).catch((error: unknown) => {
      isLate = true;
      throw error;
    });
  }

  // That LISTEN has succeeded says little: a pooler may have given the statement to anybody's connection.
  async function proveHearing(mine: Turn): Promise<void> {
    const echoing = new Promise<void>((resolve) => {
      mine.echo = ECHO + randomBytes(12).toString("base64url");
      mine.echoed = resolve;
    });
    await Promise.race([mine.losing, within(interval, announce(mine.echo))]);
    await within(interval, Promise.race([mine.losing, echoing])).catch((error: unknown) => {
      if (!mine.ended && error instanceof Silence && !hasHeard && !hasWarned) {
        hasWarned = true;
        process.emitWarning(
          "postgresStore announces on one connection and does not hear it on another: LISTEN needs a direct connection " +
            "to the primary, not one through a pooler. Pass one as the option listen.",
          { code: "SOJOURN_NOT_HEARD" },
        );
      }
      throw error;
    });
  }

  async function stayUntilLost(mine: Turn, { ping }: Listening): Promise<never> {
    for (;;) {
      await Promise.race([mine.losing, rest(interval)]);
      if (ping === undefined) await proveHearing(mine);
      else await Promise.race([mine.losing, within(interval, ping())]);
    }
  }

  function end(listening: Listening): void {
    const ending = listening
      .end()
      .catch(() => {})
      .finally(() => endings.delete(ending));
    endings.add(ending);
  }

  function stop(): void {
    if (turn === undefined) return;
    turn.ended = true;
    if (turn.listening !== undefined) end(turn.listening);
    turn.lose();
    turn = undefined;
    isListening = false;
  }

  return {
    subscribe(given) {
      // One may listen twice.
      const listener = { ...given };
      listeners.add(listener);
      listener.listening?.(isListening);
      if (turn === undefined) {
        turn = watch({ ended: false, listening: undefined, echo: "", echoed() {}, lose() {}, losing: NEVER });
        void keepListening(turn);
      }
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) stop();
      };
    },
    async close() {
      listeners.clear();
      stop();
      await within(LONGEST_ENDING, Promise.all(endings)).catch(() => {});
    },
  };
}

const NEVER = new Promise<never>(() => {});

function watch(turn: Turn): Turn {
  turn.losing = new Promise<never>((_, reject) => {
    turn.lose = () => reject(new Error("the connection is lost"));
  });
  turn.losing.catch(() => {});
  return turn;
}

class Silence extends Error {}

/** What comes in time; rejects where nothing does. */
async function within<T>(milliseconds: number, awaited: Promise<T>): Promise<T> {
  const giveUp = new AbortController();
  const silence = rest(milliseconds, giveUp.signal).then(() => {
    throw new Silence(`no answer within ${milliseconds} ms`);
  });
  silence.catch(() => {});
  awaited.catch(() => {});
  try {
    return await Promise.race([awaited, silence]);
  } finally {
    giveUp.abort();
  }
}

// It keeps no process alive.
const rest = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
  delay(milliseconds, undefined, { ref: false, ...(signal && { signal }) });
