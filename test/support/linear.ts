import type { StoredSession } from "../../src/store.ts";

// Checks whether a history of overlapping calls could have come from one store that runs one call after the other.

/** A call of a store. */
export type Asked =
  | { readonly call: "read" }
  | { readonly call: "create"; readonly stored: StoredSession }
  | { readonly call: "update"; readonly stored: StoredSession; readonly expected: number }
  | { readonly call: "touch"; readonly expiresAt: number }
  | { readonly call: "delete" }
  /** The clock advances. */
  | { readonly call: "advance"; readonly now: number };

/** A call of one session and its answer, with the moments at which the call began and ended. */
export interface Entry {
  readonly who: string;
  readonly asked: Asked;
  readonly began: number;
  /** `Infinity` if the caller was killed or the call failed. It may have had its effect, or may have it later. */
  ended: number;
  answer?: StoredSession | boolean | undefined;
  /** A call without an answer has its effect before this moment, or never. */
  readonly until?: number;
}

interface State {
  readonly now: number;
  readonly session?: { readonly text: string; readonly version: number; readonly expiresAt: number };
}

/**
 * Returns an order of the calls that explains every answer, or `undefined` if there is none.
 *
 * Two deviations are allowed, because they lose nothing. Two overlapping deletes may both return that they ended the session,
 * and a touch may have its effect twice before it returns.
 */
export function linearized(given: readonly Entry[], now: number): Entry[] | undefined {
  const entries = given.flatMap((entry) =>
    entry.asked.call === "touch" ? [entry, { ...entry, ended: Infinity, until: entry.ended }] : [entry],
  );
  const deadEnds = new Set<string>();
  const order: Entry[] = [];

  function from(done: readonly boolean[], state: State): boolean {
    const undone = entries.filter((_, index) => !done[index]);
    const known = undone.filter(({ ended }) => ended !== Infinity);
    if (known.length === 0) return true;
    const key = `${done.map(Number).join("")} ${JSON.stringify(state)}`;
    if (deadEnds.has(key)) return false;
    // A call that began after another had ended comes after it.
    const firstEnd = Math.min(...known.map(({ ended }) => ended));
    for (const [index, entry] of entries.entries()) {
      if (done[index] || entry.began > firstEnd) continue;
      const { until = Infinity } = entry;
      if (entries.some(({ began }, other) => done[other] && began > until)) continue;
      const next = stateAfter(state, entry, entries);
      if (next === undefined) continue;
      order.push(entry);
      if (from(done.with(index, true), next)) return true;
      order.pop();
    }
    deadEnds.add(key);
    return false;
  }

  return from(
    entries.map(() => false),
    { now },
  )
    ? order
    : undefined;
}

/** Returns the state after a call with this answer, or `undefined` if the answer is wrong. */
function stateAfter(state: State, entry: Entry, entries: readonly Entry[]): State | undefined {
  const { asked, answer, ended } = entry;
  const live = state.session !== undefined && state.session.expiresAt > state.now ? state.session : undefined;
  const isPossible = (result: boolean) => ended === Infinity || answer === result;
  switch (asked.call) {
    case "advance":
      return { ...state, now: asked.now };
    case "read": {
      if (ended === Infinity) return state;
      if (answer === undefined || typeof answer === "boolean") return live === undefined ? state : undefined;
      if (live === undefined || contentOf(answer) !== live.text || answer.version !== live.version) return undefined;
      // Until a touch returns, one read may see its effect and a later read may not.
      return answer.expiresAt >= live.expiresAt ? state : undefined;
    }
    case "create":
      if (live !== undefined) return isPossible(false) ? state : undefined;
      return isPossible(true) ? { now: state.now, session: sessionOf(asked.stored) } : undefined;
    case "update":
      if (live?.version !== asked.expected) return isPossible(false) ? state : undefined;
      return isPossible(true) ? { now: state.now, session: sessionOf(asked.stored) } : undefined;
    case "touch":
      if (live === undefined) return isPossible(false) ? state : undefined;
      return isPossible(true)
        ? { now: state.now, session: { ...live, expiresAt: Math.max(live.expiresAt, asked.expiresAt) } }
        : undefined;
    case "delete":
      if (live !== undefined) return isPossible(true) ? { now: state.now } : undefined;
      return isPossible(false) || entries.some((other) => other !== entry && bothEnd(other, entry)) ? state : undefined;
  }
}

function bothEnd(one: Entry, other: Entry): boolean {
  return one.asked.call === "delete" && one.answer !== false && one.began < other.ended && other.began < one.ended;
}

const sessionOf = (stored: StoredSession) => ({
  text: contentOf(stored),
  version: stored.version,
  expiresAt: stored.expiresAt,
});

/** Returns the payload and the user of a record: the parts that a write replaces. */
export const contentOf = ({ payload, userId }: StoredSession): string =>
  `${new TextDecoder().decode(payload)} ${String(userId)}`;
