/** The timeouts of all sessions, in milliseconds. */
export interface Timeouts {
  readonly idle: number;
  /** The idle timeout of a session that nobody has signed in to. Default: `idle`. */
  readonly anonymous?: number | undefined;
  readonly absolute: number;
  /** Reading extends a session at most once in this time. */
  readonly touchInterval: number;
}

/** The times from which a session's timeouts count, and its own timeouts where a sign-in has set them. */
export interface SessionStart {
  readonly createdAt: number;
  readonly signedInAt: number | undefined;
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
}

/** The overall and the inactivity timeout of NIST SP 800-63B-4, sections 2.1.3, 2.2.3 and 2.3.3. */
export const ASSURANCE_LEVELS = {
  aal1: { idleTimeout: "1d", absoluteTimeout: "30d" },
  aal2: { idleTimeout: "1h", absoluteTimeout: "24h" },
  aal3: { idleTimeout: "15m", absoluteTimeout: "12h" },
} as const;

/** The end that no activity moves. Signing in starts this timeout anew (NIST SP 800-63B-4, section 5.2). */
export function absoluteEnd(session: SessionStart, timeouts: Timeouts): number {
  return (session.signedInAt ?? session.createdAt) + (session.absolute ?? timeouts.absolute);
}

function idleTimeoutOf({ idle, signedInAt }: SessionStart, timeouts: Timeouts): number {
  return idle ?? (signedInAt === undefined ? timeouts.anonymous : undefined) ?? timeouts.idle;
}

/** The end of a session that is active now, without further activity. */
export function extendedEnd(now: number, session: SessionStart, timeouts: Timeouts): number {
  return Math.min(now + idleTimeoutOf(session, timeouts), absoluteEnd(session, timeouts));
}

/** The time of the last activity, as exactly as touching records it. */
export function lastSeenAt(expiresAt: number, session: SessionStart, timeouts: Timeouts): number {
  return Math.max(expiresAt - idleTimeoutOf(session, timeouts), session.signedInAt ?? session.createdAt);
}

/** Whether extending now would move the end by at least the touch interval. */
export function touchIsDue(now: number, expiresAt: number, session: SessionStart, timeouts: Timeouts): boolean {
  const gain = extendedEnd(now, session, timeouts) - expiresAt;
  // In the last stretch before the absolute end there is less than an interval left to gain: take it once, whole.
  const rest = absoluteEnd(session, timeouts) - expiresAt;
  // A session with a shorter idle timeout of its own has to be extended more often.
  const interval = Math.min(timeouts.touchInterval, idleTimeoutOf(session, timeouts) / 2);
  return gain > 0 && gain >= Math.min(interval, rest);
}
