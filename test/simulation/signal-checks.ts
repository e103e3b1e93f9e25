import type { Session } from "sojourn";
import { lasting, type RequestModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { Scenario } from "./scenario.ts";
import type { Timeline } from "./virtual-time.ts";

/** A connection that watches its session. */
export interface Held {
  readonly model: RequestModel;
  readonly session: Session<Record<string, unknown>>;
  readonly signal: AbortSignal;
  isClosed: boolean;
}

/** Connections are told of the end of their sessions, in the end by a look each half a minute. */
export async function checkSignals(
  held: readonly Held[],
  scenario: Scenario,
  timeline: Timeline,
  observer: Observer,
): Promise<void> {
  const open = held.filter(({ isClosed, model, signal }) => !isClosed && !signal.aborted && model.session);
  const verdict = ({ model: { token } }: Held, now: number) =>
    token && observer.model.verdict(lasting(token.session, token.epoch), now);
  const dead = open.filter((one) => verdict(one, timeline.now));
  if (dead.length === 0) return;
  const late = (one: Held) => observer.breach("signal too late", `connection ${one.model.number} was not told`);
  // Without notifications each session is checked once a second. What has ended before this time is known by now.
  const pollsSince = scenario.isFaulty || scenario.notifies ? -1 : timeline.now - 1500;
  for (const one of dead) if (isDueSoon(one, scenario, timeline.now) || verdict(one, pollsSince)) late(one);
  await timeline.run(timeline.now + 36_000, false);
  for (const one of dead) if (!one.signal.aborted) late(one);
}

/**
 * Whether a notification has told of the end: one of a session that was deleted, and did not only expire. A sign-in deletes
 * nothing: it is found by a check.
 */
function isDueSoon(
  { model: { token } }: Held,
  { isFaulty, notifies, notice, skew, turns }: Scenario,
  now: number,
): boolean {
  if (!token || isFaulty || !notifies || skew > 0 || turns.some(({ kind }) => kind === "deaf")) return false;
  if (token.session.endings.some(({ kind }) => kind === "sign-in")) return false;
  return token.session.endings.some(
    ({ kind, ackedAt }) =>
      (kind === "sign-out" || kind === "revoke") && ackedAt !== undefined && ackedAt + notice < now,
  );
}
