import type { DataRules, Limits } from "./changes/codec.ts";
import { checkClock, checkOptions, checkPositiveInteger } from "./checks.ts";
import { createCookie, type CookieOptions, type SessionCookie } from "./request/cookie.ts";
import { resolveDiagnostics, type Diagnose } from "./diagnostics.ts";
import { milliseconds, type Duration } from "./duration.ts";
import { ASSURANCE_LEVELS, type Timeouts } from "./lifecycle/timeouts.ts";
import { createKeyring, type Keyring, type SecretKey } from "./record/keyring.ts";
import { isClientSide, requireCapability } from "./capabilities.ts";
import type { UserLimit } from "./users.ts";
import { checkFormer, type FormerSessions } from "./former.ts";
import type { Client } from "./record/record.ts";
import { describeBy, type ClientDetails, type ClientRequest } from "./request/client.ts";
import type { RotationPolicy } from "./lifecycle/rotation.ts";
import type { ClientSide, ClientSideStore } from "./request/client-side.ts";
import { checkStore } from "./store-check.ts";
import type { SessionTracing } from "./tracing.ts";
import type { SessionStore } from "./store.ts";

/** The options of `createSessions`. */
export interface SessionsOptions {
  /**
   * The secret key that signs tokens and encrypts records: a string or bytes, at least 32 bytes. A list contains the
   * current key and the previous ones that are still accepted. Required. `npx sojourn keygen` makes one. Remove a
   * previous key after `absoluteTimeout`, or after the longest `remember` of a sign-in if that is longer.
   */
  secretKey: SecretKey | undefined;
  /** The store that keeps the records, such as `fileStore()`. Required. */
  store: SessionStore;
  /** Maximum time without activity. Then the session ends. Default `"1d"`. */
  idleTimeout?: Duration;
  /**
   * Maximum time since signing in, or since the beginning for a visitor. Then the session ends. Default `"30d"` (NIST
   * AAL1).
   */
  absoluteTimeout?: Duration;
  /**
   * Maximum time without activity of a session that nobody has signed in to, such as a visitor's cart. A short one keeps
   * bots from filling the store. Default `idleTimeout`.
   */
  anonymousTimeout?: Duration;
  /**
   * Minimum time between two extensions of a session that is only read. A session may end this much before its idle
   * timeout, never after it. Default: a tenth of the idle timeout, at most `"5m"`.
   */
  touchInterval?: Duration;
  /**
   * An assurance level of NIST SP 800-63B-4 that sets both timeouts: `"aal1"` 30 days, `"aal2"` 24 hours and 1 hour
   * idle, `"aal3"` 12 hours and 15 minutes idle. Default none.
   */
  timeouts?: "aal1" | "aal2" | "aal3";
  /**
   * Periodic rotation: the interval `every` after which a session gets a new token, and the time `grace` (default
   * `"30s"`) for which the old token stays valid after the first request with the new one. Default: no rotation.
   */
  rotation?: { every: Duration; grace?: Duration };
  /**
   * Maximum number of sessions of a user. A further sign-in ends the oldest one (`whenFull: "evict"`, the default), or
   * fails with `ERR_SESSION_LIMIT` (`"refuse"`). Default: no limit.
   */
  maxPerUser?: number | { sessions: number; whenFull?: "evict" | "refuse" };
  /**
   * The details of the client that signs in, for `sessions.list` and the `replayed` event: `{ userAgent: true, address: true
   * }`, or a function of the request. Default: none are kept.
   */
  client?: ClientDetails | ((request: ClientRequest) => Client | undefined);
  /**
   * The sessions of the library that the application used before, such as `[expressSession({ secret, store })]` of
   * "sojourn/adopt". Their users stay signed in. Default: none.
   */
  adopt?: readonly FormerSessions[];
  /** The name and the attributes of the cookie. Default: those of {@link CookieOptions}. */
  cookie?: CookieOptions;
  /**
   * Whether `Forwarded` (RFC 7239), `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-For` are trusted, because a proxy of yours sets
   * them. Default `false`: only the framework's own setting counts (Express, Fastify).
   */
  trustProxy?: boolean;
  /**
   * Whether a warning tells why a cookie is missing or refused, once for each reason. Default: unless `NODE_ENV` is
   * `"production"`.
   */
  diagnostics?: boolean;
  /** `tracing` of "sojourn/tracing": publishes each operation by `node:diagnostics_channel`. Default: none. */
  tracing?: SessionTracing;
  /**
   * Maximum time that one request waits for the store when it reads, and again when it stores, retries included. Default
   * `"2s"`. To undo what has failed, a request may wait for another quarter of it.
   */
  storeTimeout?: Duration;
  /** Maximum size of one session's data, and of its nesting. Default `{ bytes: 262144, depth: 32 }`. */
  limits?: Partial<Limits>;
  /** Returns the time in epoch milliseconds, for tests. Default `Date.now`. Pass the same function to the store. */
  clock?: () => number;
}

/** The options with all defaults applied. */
export interface Settings {
  readonly keyring: Keyring;
  readonly store: SessionStore;
  readonly clientSide: ClientSide | undefined;
  readonly timeouts: Timeouts;
  readonly rotation: RotationPolicy | undefined;
  readonly maxPerUser: UserLimit | undefined;
  readonly client: ((request: ClientRequest) => Client | undefined) | undefined;
  /** The sources of former sessions. */
  readonly former: readonly FormerSessions[] | undefined;
  readonly cookie: SessionCookie;
  readonly trustProxy: boolean;
  readonly diagnose: Diagnose | undefined;
  readonly tracing: SessionTracing | undefined;
  readonly storeTimeout: number;
  readonly limits: DataRules;
  readonly now: () => number;
}

/** The longest delay of setTimeout. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Checks the options and applies the defaults.
 *
 * @throws TypeError for a wrong option. The message names the option and the remedy.
 */
export function resolveOptions(options: SessionsOptions): Settings {
  checkOptions("createSessions", options, {
    secretKey: true,
    store: true,
    idleTimeout: true,
    absoluteTimeout: true,
    anonymousTimeout: true,
    touchInterval: true,
    timeouts: true,
    rotation: true,
    maxPerUser: true,
    client: true,
    adopt: true,
    cookie: true,
    trustProxy: true,
    diagnostics: true,
    tracing: true,
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
    client = {},
    tracing,
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

  checkStore(store);
  if (typeof trustProxy !== "boolean") throw new TypeError("trustProxy must be true or false");

  const clientSide = isClientSide(store)
    ? (store as ClientSideStore).clientSide(options, sessionCookie, timeouts)
    : undefined;

  const storeTimeout = milliseconds(options.storeTimeout ?? "2s", "storeTimeout");
  if (storeTimeout > LONGEST_TIMER_MS) throw new TypeError("storeTimeout is longer than a timer can wait (24 days)");

  if (tracing !== undefined && typeof tracing.store !== "function") {
    throw new TypeError('tracing takes tracing of "sojourn/tracing"');
  }

  return {
    keyring,
    store: tracing && !clientSide ? tracing.store(store) : store,
    clientSide,
    timeouts,
    rotation: resolveRotation(options, timeouts),
    maxPerUser: resolveLimit(options),
    client: resolveClient(client),
    former: resolveAdopt(options, clientSide),
    cookie: sessionCookie,
    trustProxy,
    diagnose: resolveDiagnostics(options.diagnostics),
    tracing,
    storeTimeout,
    limits: { bytes, depth },
    now: clock,
  };
}

function resolveClient(client: NonNullable<SessionsOptions["client"]>): Settings["client"] {
  if (typeof client === "function") return client;
  checkOptions("client", client, { userAgent: true, address: true });
  return client.userAgent || client.address ? describeBy(client) : undefined;
}

function resolveAdopt({ adopt }: SessionsOptions, clientSide: ClientSide | undefined): Settings["former"] {
  const former = adopt === undefined ? undefined : checkFormer(adopt);
  if (former && clientSide) {
    throw new TypeError("adopt needs a store on the server: cookieStore() can't keep that a former session has ended");
  }
  return former;
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
  const { anonymousTimeout } = options;
  const anonymous = anonymousTimeout === undefined ? undefined : milliseconds(anonymousTimeout, "anonymousTimeout");
  if (anonymous !== undefined && anonymous > idle)
    throw new TypeError("anonymousTimeout is longer than idleTimeout; make it shorter, or leave it out");
  return { idle, anonymous, absolute, touchInterval };
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
    throw new TypeError("rotation.grace must be shorter than rotation.every, or old tokens would never become invalid");
  if (every >= timeouts.absolute)
    throw new TypeError("rotation.every must be shorter than absoluteTimeout, or nothing would rotate");
  return { every, grace };
}

function resolveLimit({ maxPerUser, store }: SessionsOptions): UserLimit | undefined {
  if (maxPerUser === undefined) return undefined;
  const limit = typeof maxPerUser === "number" ? { sessions: maxPerUser } : maxPerUser;
  if (typeof limit !== "object" || limit === null) {
    const given = typeof limit === "string" ? JSON.stringify(limit) : String(limit);
    throw new TypeError(`maxPerUser takes a number, or an object with sessions and whenFull, not ${given}`);
  }
  checkOptions("maxPerUser", limit, { sessions: true, whenFull: true });
  const { sessions, whenFull = "evict" } = limit;
  checkPositiveInteger("maxPerUser", sessions);
  if (whenFull !== "evict" && whenFull !== "refuse")
    throw new TypeError('maxPerUser.whenFull must be "evict" or "refuse"');
  requireCapability(store, "idsOfUser", "maxPerUser");
  return { sessions, whenFull };
}
