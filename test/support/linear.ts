import type { StoredSession } from "../../src/store.ts";

// Whether a history of calls, some of which met, could have come from one store that does one thing after the other.

/** What somebody asked of a store. */
export type Asked =
  | { readonly call: "read" }
  | { readonly call: "create"; readonly stored: StoredSession }
  | { readonly call: "update"; readonly stored: StoredSession; readonly expected: number }
  | { readonly call: "touch"; readonly expiresAt: number }
  | { readonly call: "delete" }
  /** The clock goes on. */
  | { readonly call: "advance"; readonly now: number };

/** A call and its answer, on one session, with the moments at which they were seen. */
export interface Entry {
  readonly who: string;
  readonly asked: Asked;
  readonly began: number;
  /** `Infinity` where it was killed or failed: it may have had its effect, or may yet. */
  ended: number;
  answer?: StoredSession | boolean | undefined;
  /** What has no answer has its effect before this moment, or never. */
  readonly until?: number;
}

interface State {
  readonly now: number;
  readonly session?: { readonly text: string; readonly version: number; readonly expiresAt: number };
}

/**
 * An order of the calls that explains every answer; `undefined` where there is none.
 *
 * Two liberties, neither of which loses anything: of two deletes that met, both may have been told that they ended the
 * session; and a touch may have its effect twice while it is under way.
 */
export function linearized(given: readonly Entry[], now: number): Entry[] | undefined {
  const entries = given.flatMap((entry) =>
    entry.asked.call === "touch" ? [entry, { ...entry, ended: Infinity, until: entry.ended }] : [entry],
  );
  const dead = new Set<string>();
  const order: Entry[] = [];

  function from(done: readonly boolean[], state: State): boolean {
    const undone = entries.filter((_, index) => !done[index]);
    const known = undone.filter(({ ended }) => ended !== Infinity);
    if (known.length === 0) return true;
    const key = `${done.map(Number).join("")} ${JSON.stringify(state)}`;
    if (dead.has(key)) return false;
    // Nothing can come before what had ended when it began.
    const soonest = Math.min(...known.map(({ ended }) => ended));
    for (const [index, entry] of entries.entries()) {
      if (done[index] || entry.began > soonest) continue;
      const { until = Infinity } = entry;
      if (entries.some(({ began }, other) => done[other] && began > until)) continue;
      const next = after(state, entry, entries);
      if (next === undefined) continue;
      order.push(entry);
      if (from(done.with(index, true), next)) return true;
      order.pop();
    }
    dead.add(key);
    return false;
  }

  return from(
    entries.map(() => false),
    { now },
  )
    ? order
    : undefined;
}

/** The state after a call that had this answer; `undefined` where the answer is wrong. */
function after(state: State, entry: Entry, entries: readonly Entry[]): State | undefined {
  const { asked, answer, ended } = entry;
  const live = state.session !== undefined && state.session.expiresAt > state.now ? state.session : undefined;
  const isSaid = (said: boolean) => ended === Infinity || answer === said;
  switch (asked.call) {
    case "advance":
      return { ...state, now: asked.now };
    case "read": {
      if (ended === Infinity) return state;
      if (answer === undefined || typeof answer === "boolean") return live === undefined ? state : undefined;
      if (live === undefined || textOf(answer) !== live.text || answer.version !== live.version) return undefined;
      // A touch may be seen before it is acknowledged, and unseen again until it is.
      return answer.expiresAt >= live.expiresAt ? state : undefined;
    }
    case "create":
      if (live !== undefined) return isSaid(false) ? state : undefined;
      return isSaid(true) ? { now: state.now, session: kept(asked.stored) } : undefined;
    case "update":
      if (live?.version !== asked.expected) return isSaid(false) ? state : undefined;
      return isSaid(true) ? { now: state.now, session: kept(asked.stored) } : undefined;
    case "touch":
      if (live === undefined) return isSaid(false) ? state : undefined;
      return isSaid(true)
        ? { now: state.now, session: { ...live, expiresAt: Math.max(live.expiresAt, asked.expiresAt) } }
        : undefined;
    case "delete":
      if (live !== undefined) return isSaid(true) ? { now: state.now } : undefined;
      return isSaid(false) || entries.some((other) => other !== entry && bothEnd(other, entry)) ? state : undefined;
  }
}

function bothEnd(one: Entry, other: Entry): boolean {
  return one.asked.call === "delete" && one.answer !== false && one.began < other.ended && other.began < one.ended;
}

const kept = (stored: StoredSession) => ({
  text: textOf(stored),
  version: stored.version,
  expiresAt: stored.expiresAt,
});

/** Payload and user: what a write puts in another's place. */
export const textOf = ({ payload, userId }: StoredSession): string =>
  `${new TextDecoder().decode(payload)} ${String(userId)}`;
