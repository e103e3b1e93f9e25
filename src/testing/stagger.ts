import { setImmediate as nextTurn } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import type { Bench } from "./store-contract.ts";

/** Two calls on one session, through an instance of the store each, and how it must end. */
export interface Meeting {
  one(): Promise<boolean>;
  other(): Promise<boolean>;
  check(one: boolean, other: boolean): Promise<void>;
}

/** How long a call takes: in turns of the event loop, or, where it needs none, in promises that are fulfilled. */
interface Span {
  readonly ticks: number;
  readonly turns: number;
}

const MOST_TICKS = 32;
const MOST_TURNS = 20_000;
/** At how many moments of a call that takes many turns the other one begins. */
const MOMENTS = 10;

/**
 * Has two calls meet at every distance at which one can begin while the other is under way, over one instance and over
 * two: an engine that checks in one step and writes in another is caught between them.
 *
 * Exact where calls take up to 32 fulfilled promises or 10 turns of the event loop. Of longer calls it tries ten moments,
 * spread over the time that they take: a gap far shorter than the call may stay unseen.
 */
export async function staggered(
  bench: Bench,
  prepare: (one: SessionStore, other: SessionStore) => Promise<Meeting>,
): Promise<void> {
  const { store, second } = bench;
  for (const other of second === store ? [store] : [store, second]) {
    const alone = await prepare(store, other);
    const first = await spanOf(alone.one);
    const next = await spanOf((await prepare(store, other)).other);
    for (const wait of moments(first)) {
      const meeting = await prepare(store, other);
      const [a, b] = await apart(meeting.one, meeting.other, wait);
      await meeting.check(a, b);
    }
    for (const wait of moments(next)) {
      const meeting = await prepare(store, other);
      const [b, a] = await apart(meeting.other, meeting.one, wait);
      await meeting.check(a, b);
    }
  }
}

async function spanOf(call: () => Promise<unknown>): Promise<Span> {
  const state = { isOver: false };
  const over = () => void (state.isOver = true);
  call().then(over, over);
  let ticks = 0;
  for (; ticks < MOST_TICKS && !state.isOver; ticks += 1) await Promise.resolve();
  let turns = 0;
  for (; turns < MOST_TURNS && !state.isOver; turns += 1) await nextTurn();
  return { ticks, turns };
}

/** Each moment of a short call; of a long one some, a few promises after the turn has begun. */
function moments({ ticks, turns }: Span): Span[] {
  if (turns === 0) return Array.from({ length: ticks + 1 }, (_, n) => ({ ticks: n, turns: 0 }));
  const early = Array.from({ length: 4 }, (_, n) => ({ ticks: n, turns: 0 }));
  const count = Math.min(turns, MOMENTS);
  const late = Array.from({ length: count }, (_, n) => ({ turns: Math.ceil(((n + 1) * turns) / count), ticks: n % 3 }));
  return [...early, ...late];
}

async function apart(first: () => Promise<boolean>, next: () => Promise<boolean>, wait: Span) {
  const begun = first();
  // Its failure is reported once it is waited for.
  begun.catch(() => {});
  for (let turns = 0; turns < wait.turns; turns += 1) await nextTurn();
  for (let ticks = 0; ticks < wait.ticks; ticks += 1) await Promise.resolve();
  return Promise.all([begun, next()]);
}
