import { setImmediate as nextTurn } from "node:timers/promises";
import type { SessionStore } from "../store.ts";
import type { Bench } from "./store-contract.ts";

/** Two calls on one session, each through an instance of the store, and the check of their outcome. */
export interface Meeting {
  one(): Promise<boolean>;
  other(): Promise<boolean>;
  check(one: boolean, other: boolean): Promise<void>;
}

/** A duration, of a wait or a call, in fulfilled promises, in turns of the event loop, and in milliseconds. */
interface Span {
  readonly ticks: number;
  readonly turns: number;
  readonly time: number;
}

/** Each distance of up to this number of promises, or of turns, is tried. */
const MOST_TICKS = 32;
const MOST_TURNS = 24;
/** The number of moments of a longer call at which the other one begins. A slow call gets fewer, or it would take seconds. */
const MOMENTS = 16;
const FEWER_MOMENTS = 6;
const LONG_MS = 50;

/**
 * Runs two calls at many distances between their beginnings, in both orders, over one instance and over two. It finds an
 * engine that checks in one step and writes in another.
 *
 * Calls that take up to 32 fulfilled promises or 24 turns of the event loop meet at every distance. Longer calls, which go
 * to another process, meet at 16 moments of their duration, and at 16 moments between those over the other pair of
 * instances. A gap that is far shorter than the call may stay undetected.
 */
export async function staggered(
  bench: Bench,
  prepare: (one: SessionStore, other: SessionStore) => Promise<Meeting>,
): Promise<void> {
  const { store, second } = bench;
  for (const [other, shift] of second === store
    ? ([[store, 0.5]] as const)
    : ([
        [store, 0.75],
        [second, 0.25],
      ] as const)) {
    const first = await spanOf((await prepare(store, other)).one);
    const next = await spanOf((await prepare(store, other)).other);
    for (const wait of moments(first, shift)) {
      const meeting = await prepare(store, other);
      const [a, b] = await apart(meeting.one, meeting.other, wait);
      await meeting.check(a, b);
    }
    for (const wait of moments(next, shift)) {
      const meeting = await prepare(store, other);
      const [b, a] = await apart(meeting.other, meeting.one, wait);
      await meeting.check(a, b);
    }
  }
}

async function spanOf(call: () => Promise<unknown>): Promise<Span> {
  const began = performance.now();
  const span = { ticks: 0, turns: 0, time: 0, isOver: false };
  const over = () => Object.assign(span, { time: performance.now() - began, isOver: true });
  const called = call().then(over, over);
  for (; span.ticks < MOST_TICKS && !span.isOver; span.ticks += 1) await Promise.resolve();
  for (; span.turns <= MOST_TURNS && !span.isOver; span.turns += 1) await nextTurn();
  await called;
  return span;
}

/** The moments at which the other call begins. */
function moments({ ticks, turns, time }: Span, shift: number): Span[] {
  const early = Array.from({ length: (turns === 0 ? ticks : 3) + 1 }, (_, n) => ({ ticks: n, turns: 0, time: 0 }));
  if (turns <= MOST_TURNS) {
    return [...early, ...Array.from({ length: turns }, (_, n) => ({ ticks: n % 3, turns: n + 1, time: 0 }))];
  }
  const count = time > LONG_MS ? FEWER_MOMENTS : MOMENTS;
  return [
    ...early,
    ...Array.from({ length: count }, (_, n) => ({ ticks: 0, turns: 0, time: (time * (n + shift)) / count })),
  ];
}

async function apart(first: () => Promise<boolean>, next: () => Promise<boolean>, wait: Span) {
  const until = performance.now() + wait.time;
  const begun = first();
  // `Promise.all` below reports its rejection.
  begun.catch(() => {});
  while (performance.now() < until) await nextTurn();
  for (let turns = 0; turns < wait.turns; turns += 1) await nextTurn();
  for (let ticks = 0; ticks < wait.ticks; ticks += 1) await Promise.resolve();
  return Promise.all([begun, next()]);
}
