/** A length of time: a number of seconds, or a number with its unit, such as `"30m"`, `"12h"` or `"7d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The milliseconds of a duration; `option` names it in the error. */
export function milliseconds(duration: Duration, option: string): number {
  let ms = Number.NaN;
  if (typeof duration === "number") ms = duration * 1000;
  else {
    const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration);
    if (parts) ms = Number(parts[1]) * UNIT_MS[parts[2] as keyof typeof UNIT_MS];
  }
  if (!(ms > 0 && Number.isFinite(ms))) {
    throw new TypeError(
      `${option}: ${String(duration)} is not a duration; give seconds (1800) or a number with its unit ("30m", "12h", "7d")`,
    );
  }
  return Math.round(ms);
}

/** The clocks of a session, all in milliseconds. */
export interface Timeouts {
  readonly idle: number;
  readonly absolute: number;
  /** Reading extends a session at most once in this time. */
  readonly touchInterval: number;
}

/** What the two clocks are counted from. */
export interface Beginning {
  readonly createdAt: number;
  readonly signedInAt: number | undefined;
}

/** The end that no activity moves: signing in starts this clock anew (NIST SP 800-63B-4, section 5.2). */
export function absoluteEnd(session: Beginning, timeouts: Timeouts): number {
  return (session.signedInAt ?? session.createdAt) + timeouts.absolute;
}

/** When a session that is active now will end if nothing more is heard of it. */
export function extendedEnd(now: number, session: Beginning, timeouts: Timeouts): number {
  return Math.min(now + timeouts.idle, absoluteEnd(session, timeouts));
}

/** Whether extending now would move the end by at least the touch interval. */
export function touchIsDue(now: number, expiresAt: number, session: Beginning, timeouts: Timeouts): boolean {
  const gain = extendedEnd(now, session, timeouts) - expiresAt;
  // In the last stretch before the absolute end there is less than an interval left to gain: take it once, whole.
  const rest = absoluteEnd(session, timeouts) - expiresAt;
  return gain > 0 && gain >= Math.min(timeouts.touchInterval, rest);
}
