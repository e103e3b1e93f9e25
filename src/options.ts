import type { Limits } from "./changes/codec.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "./checks.ts";
import { createCookie, type CookieOptions, type SessionCookie } from "./request/cookie.ts";
import { milliseconds, type Duration } from "./duration.ts";
import { ASSURANCE_LEVELS, type Timeouts } from "./lifecycle/timeouts.ts";
import { createKeyring, type Keyring, type SecretKey } from "./record/keyring.ts";
import { requireCapability, OPERATIONS } from "./capabilities.ts";
import type { UserLimit } from "./users.ts";
import type { Client } from "./record/record.ts";
import type { AnyRequest } from "./request/request.ts";
import type { RotationPolicy } from "./lifecycle/rotation.ts";
import type { SessionStore } from "./store.ts";

export interface SessionsOptions {
  /**
   * The application's secret: a string or bytes, at least 32 of them, or a list of the current key and the previous ones
   * that are still accepted. Required. `npx sojourn keygen` makes one. Drop a previous key when every session that it signed
   * has ended: after `absoluteTimeout`, or the longest `remember` of any sign-in where that is longer.
   */
  secretKey: SecretKey | undefined;
  /** Where records are kept. Required. */
  store: SessionStore;
  /** How long a session lives that nothing is heard of. Default `"1d"`. */
  idleTimeout?: Duration;
  /** How long a session lives whatever is heard of it, counted from signing in. Default `"30d"` (NIST AAL1). */
  absoluteTimeout?: Duration;
  /**
   * Reading extends a session at most once in this time, so that the idle timeout is exact to this much: a session may
   * end that much early, never late. Default a tenth of the idle timeout, at most `"5m"`.
   */
  touchInterval?: Duration;
  /**
   * The timeouts of an assurance level of NIST SP 800-63B-4, in place of the two above: `"aal1"` 30 days, `"aal2"` 24 hours
   * and 1 hour idle, `"aal3"` 12 hours and 15 minutes idle.
   */
  timeouts?: keyof typeof ASSURANCE_LEVELS;
  /**
   * Periodic rotation: a new token `every` so often, with the old one good for `grace` (default `"30s"`) after the new
   * one was first seen. Default none.
   */
  rotation?: { every: Duration; grace?: Duration };
  /** How many sessions a user may have, and what a further sign-in meets: `"evict"` (default) or `"refuse"`. */
  maxPerUser?: number | { sessions: number; whenFull?: "evict" | "refuse" };
  /** What to remember of the client that signs in, for `sessions.list` and the `replayed` event. Default nothing. */
  client?: (request: AnyRequest) => Client | undefined;
  /** How the cookie is set. */
  cookie?: CookieOptions;
  /** Whether `Forwarded` and `X-Forwarded-Proto` come from a proxy of yours. Default `false`. */
  trustProxy?: boolean;
  /** How long one open or one commit waits for the store, retries included. Default `"5s"`. */
  storeTimeout?: Duration;
  /** The bounds of one session's data: `bytes`, default 262144, and `depth`, default 32. */
  limits?: Partial<Limits>;
  /** The time in epoch milliseconds, for tests. Default `Date.now`. Give the store the same one. */
  clock?: () => number;
}

/** The options, checked and settled. */
export interface Settings {
  readonly keyring: Keyring;
  readonly store: SessionStore;
  readonly timeouts: Timeouts;
  readonly rotation: RotationPolicy | undefined;
  readonly maxPerUser: UserLimit | undefined;
  readonly client: (request: AnyRequest) => Client | undefined;
  readonly cookie: SessionCookie;
  readonly trustProxy: boolean;
  readonly storeTimeout: number;
  readonly limits: Limits;
  readonly now: () => number;
}

/** The longest wait that a timer can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @throws TypeError naming the option and the remedy. */
export function resolveOptions(options: SessionsOptions): Settings {
  checkOptions("createSessions", options, {
    secretKey: true,
    store: true,
    idleTimeout: true,
    absoluteTimeout: true,
    touchInterval: true,
    timeouts: true,
    rotation: true,
    maxPerUser: true,
    client: true,
    cookie: true,
    trustProxy: true,
    storeTimeout: true,
    limits: true,
    clock: true,
  });
  const {
    secretKey,
    store,
    cookie = {},
    trustProxy = false,
    limits = {},
    // Not `Date.now` itself: fake timers replace that property later.
    clock = () => Date.now(),
    client = () => undefined,
  } = options;
  checkOptions("cookie", cookie, {
    name: true,
    domain: true,
    path: true,
    sameSite: true,
    secure: true,
    partitioned: true,
    persistent: true,
  });
  checkOptions("limits", limits, { bytes: true, depth: true });
  const { bytes = 262_144, depth = 32 } = limits;
  checkPositiveInteger("limits.bytes", bytes);
  checkPositiveInteger("limits.depth", depth);
  checkClock("clock", clock);

  const timeouts = resolveTimeouts(options);
  const sessionCookie = createCookie(cookie, timeouts.absolute);
  const keyring = createKeyring(secretKey, sessionCookie.baseName);

  if (typeof store !== "object" || store === null) {
    throw new TypeError(
      'store is missing; give one, such as fileStore() of "sojourn/file" or memoryStore() of "sojourn/memory"',
    );
  }
  const missing = OPERATIONS.filter((method) => typeof store[method] !== "function");
  if (missing.length > 0) throw new TypeError(`store lacks ${missing.join(", ")}; see SessionStore for the contract`);
  if (typeof trustProxy !== "boolean") throw new TypeError("trustProxy must be true or false");

  if (typeof client !== "function") throw new TypeError("client must be a function that tells of a request's client");

  const storeTimeout = milliseconds(options.storeTimeout ?? "2s", "storeTimeout");
  if (storeTimeout > LONGEST_TIMER_MS) throw new TypeError("storeTimeout is longer than a timer can wait (24 days)");

  return {
    keyring,
    store,
    timeouts,
    rotation: resolveRotation(options, timeouts),
    maxPerUser: resolveLimit(options),
    client,
    cookie: sessionCookie,
    trustProxy,
    storeTimeout,
    limits: { bytes, depth },
    now: clock,
  };
}

function resolveTimeouts(options: SessionsOptions): Timeouts {
  const level = options.timeouts === undefined ? undefined : presetOf(options);
  const idle = milliseconds(options.idleTimeout ?? level?.idleTimeout ?? "1d", "idleTimeout");
  const absolute = milliseconds(options.absoluteTimeout ?? level?.absoluteTimeout ?? "30d", "absoluteTimeout");
  const touchInterval =
    options.touchInterval === undefined
      ? Math.min(idle / 10, 300_000)
      : milliseconds(options.touchInterval, "touchInterval");
  if (idle > absolute)
    throw new TypeError("idleTimeout is longer than absoluteTimeout; make it shorter, or that one longer");
  if (touchInterval >= idle)
    throw new TypeError("touchInterval must be shorter than idleTimeout, or reading would never extend a session");
  return { idle, absolute, touchInterval };
}

function presetOf({ timeouts, idleTimeout, absoluteTimeout }: SessionsOptions): {
  idleTimeout: Duration;
  absoluteTimeout: Duration;
} {
  if (!Object.hasOwn(ASSURANCE_LEVELS, timeouts!)) {
    throw new TypeError(`timeouts: ${String(timeouts)} is not one of ${Object.keys(ASSURANCE_LEVELS).join(", ")}`);
  }
  if (idleTimeout !== undefined || absoluteTimeout !== undefined) {
    throw new TypeError(
      "timeouts names a level with both timeouts; leave it out to set idleTimeout or absoluteTimeout",
    );
  }
  return ASSURANCE_LEVELS[timeouts!];
}

function resolveRotation({ rotation }: SessionsOptions, timeouts: Timeouts): RotationPolicy | undefined {
  if (rotation === undefined) return undefined;
  checkOptions("rotation", rotation, { every: true, grace: true });
  const every = milliseconds(rotation.every, "rotation.every");
  const grace = milliseconds(rotation.grace ?? "30s", "rotation.grace");
  if (grace >= every)
    throw new TypeError("rotation.grace must be shorter than rotation.every, or old tokens would never die");
  if (every >= timeouts.absolute)
    throw new TypeError("rotation.every must be shorter than absoluteTimeout, or nothing would rotate");
  return { every, grace };
}

function resolveLimit({ maxPerUser, store }: SessionsOptions): UserLimit | undefined {
  if (maxPerUser === undefined) return undefined;
  const limit = typeof maxPerUser === "number" ? { sessions: maxPerUser } : maxPerUser;
  checkOptions("maxPerUser", limit, { sessions: true, whenFull: true });
  const { sessions, whenFull = "evict" } = limit;
  checkPositiveInteger("maxPerUser", sessions);
  if (whenFull !== "evict" && whenFull !== "refuse")
    throw new TypeError('maxPerUser.whenFull must be "evict" or "refuse"');
  requireCapability(store, "idsOfUser", "maxPerUser");
  return { sessions, whenFull };
}
