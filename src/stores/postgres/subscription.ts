import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { StoreListener } from "../../store.ts";
import { withTimeout } from "../../deadline.ts";
import { createSubscribers } from "../shared/subscribers.ts";
import type { Listening, PostgresConnection } from "./client.ts";
import { CHANGED, ECHO, ENDED } from "./statements.ts";
import { decodeText } from "./text.ts";

export interface FeedOptions {
  readonly channel: string;
  /** Whose connection listens. */
  readonly connection: Pick<PostgresConnection, "listen" | "reserve">;
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
  isLost: boolean;
  /** Called when the connection is lost; what is waited for meanwhile puts its own in its place. */
  lose(): void;
  echo: string;
  echoed(): void;
}

const INTERVAL = 5000;
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 5000;
const LONGEST_ENDING = 1000;

/** Listens while anybody wants to hear, on one connection for all, and gets another when that is lost. */
export function postgresSubscription({ channel, connection, announce, interval = INTERVAL }: FeedOptions): Feed {
  const subscribers = createSubscribers({ start, stop });
  let turn: Turn | undefined;
  let unreserve: (() => void) | undefined;
  let hasHeard = false;
  let hasWarned = false;
  const endings = new Set<Promise<void>>();

  function hear(payload: string): void {
    if (payload === turn?.echo) turn.echoed();
    const id = decodeText(payload.slice(1));
    if (payload.startsWith(ENDED)) subscribers.ended(id);
    if (payload.startsWith(CHANGED)) subscribers.changed(id);
  }

  async function keepListening(mine: Turn): Promise<void> {
    for (let failures = 0; !mine.ended; failures += 1) {
      mine.isLost = false;
      try {
        mine.listening ??= await opened(mine);
        if (mine.ended) return;
        await proveHearing(mine);
        if (mine.ended) return;
        subscribers.listening(true);
        failures = 0;
        hasHeard = true;
        await stayUntilLost(mine, mine.listening);
      } catch {
        // The loss itself. Why is nobody's business: the operations that fail beside it say so.
      }
      if (mine.ended) return;
      subscribers.listening(false);
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
    // Who closes the store meanwhile waits for it: a client that is ended while it connects may leave that connection.
    hold(
      opening.then((listening) => {
        if (isLate || mine.ended) return listening.end();
        mine.listening = listening;
      }),
    );
    return withTimeout(() => opening, interval, { keepAlive: false }).catch((error: unknown) => {
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
    await unlessLost(mine, interval, announce(mine.echo));
    await unlessLost(mine, interval, echoing).catch((error: unknown) => {
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
      await unlessLost(mine, interval);
      if (ping === undefined) await proveHearing(mine);
      else await unlessLost(mine, interval, ping());
    }
  }

  const end = (listening: Listening): void => hold(listening.end());

  /** What the client may not be ended before. */
  function hold(given: Promise<unknown>): void {
    const ending = given
      .then(
        () => {},
        () => {},
      )
      .finally(() => endings.delete(ending));
    endings.add(ending);
  }

  function start(): void {
    unreserve = connection.reserve();
    turn = newTurn();
    void keepListening(turn);
  }

  function stop(): void {
    if (turn === undefined) return;
    turn.ended = true;
    if (turn.listening !== undefined) end(turn.listening);
    turn.lose();
    turn = undefined;
    unreserve?.();
  }

  return {
    subscribe: subscribers.subscribe,
    async close() {
      subscribers.close();
      await withTimeout(() => Promise.all(endings), LONGEST_ENDING).catch(() => {});
    },
  };
}

function newTurn(): Turn {
  const turn: Turn = {
    ended: false,
    listening: undefined,
    isLost: false,
    lose: () => void (turn.isLost = true),
    echo: "",
    echoed() {},
  };
  return turn;
}

/**
 * Waits for something, at most so long, or just so long. Unlike a plain timeout it rejects when the connection is lost.
 * There is one place for who waits: a promise that rejects some day would keep all who ever have.
 */
function unlessLost(turn: Turn, milliseconds: number, awaited?: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const over = (): void => (awaited === undefined ? resolve(undefined) : reject(new Silence()));
    const timer = setTimeout(over, milliseconds).unref();
    turn.lose = () => {
      turn.isLost = true;
      clearTimeout(timer);
      reject(new Error("the connection is lost"));
    };
    if (turn.isLost) turn.lose();
    awaited?.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

class Silence extends Error {
  override message = "no answer in time";
}

// It keeps no process alive.
const rest = (milliseconds: number): Promise<void> => delay(milliseconds, undefined, { ref: false });
