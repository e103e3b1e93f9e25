import cluster from "node:cluster";
import { hkdfSync, KeyObject } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { types } from "node:util";
import type { AdapterOptions } from "../adapters/adapter.ts";
import type { OptionNames } from "../checks.ts";
import { resolveOptions, type SessionsOptions, type Settings } from "../options.ts";
import type { SessionStore } from "../store.ts";
import { memoryStore } from "../stores/memory.ts";
import { passportUser } from "../user-id.ts";
import { warnOnce } from "../warnings.ts";
import { formerSessions } from "./adoption.ts";
import { createCookieReader } from "./cookie-value.ts";
import { Cookie, settingsOf, type KeptSettings } from "./cookie.ts";
import { createExpressStore, originOf, type ExpressSessionStore, type ExpressStoreOptions } from "./express-store.ts";

/** The option `cookie`. */
export interface CookieSettings {
  /**
   * How long the browser keeps the cookie, in milliseconds. It is the idle timeout of the session as well. Default `null`: until
   * the browser is closed, and the server keeps the session for `idleTimeout`.
   */
  maxAge?: number | null | undefined;
  /** The end of the cookie, in place of `maxAge`. */
  expires?: Date | null | false | undefined;
  /** Whether scripts of a page can't read the cookie. Default `true`. */
  httpOnly?: boolean | undefined;
  /** The path below which the cookie is sent, and requests have a session. Default `"/"`. */
  path?: string | undefined;
  /** The domain whose hosts get the cookie. Default: only the host that set it. */
  domain?: string | undefined;
  /** Whether the cookie is set over HTTPS alone. `"auto"`: where the request came by HTTPS. Default `false`. */
  secure?: boolean | "auto" | undefined;
  /** Which requests of other sites carry the cookie. `"auto"`: `"none"` over HTTPS, otherwise `"lax"`. Default: as the browser does. */
  sameSite?: boolean | "lax" | "strict" | "none" | "auto" | undefined;
  /** Whether each top-level site has a cookie of its own (CHIPS). Default `false`. */
  partitioned?: boolean | undefined;
  /** Which cookies a browser forgets first. */
  priority?: "low" | "medium" | "high" | undefined;
  /** Does nothing, as in express-session: the cookie is always signed. */
  signed?: boolean | undefined;
  /** Does nothing, as in express-session. */
  encode?: ((value: string) => string) | undefined;
}

/** A secret: text, bytes, or a key of node:crypto. */
export type Secret = string | NodeJS.ArrayBufferView | ArrayBufferLike | KeyObject;

/** Options of Sojourn that may stand beside those of express-session. */
type CoreOptions = Partial<Omit<SessionsOptions, "secretKey" | "store" | "cookie">>;

/** Options of the adapters that may stand beside them too. */
export type RouteOptions = Omit<AdapterOptions<IncomingMessage>, "lazy">;

const CORE_OPTIONS: OptionNames<CoreOptions> = {
  idleTimeout: true,
  absoluteTimeout: true,
  anonymousTimeout: true,
  touchInterval: true,
  timeouts: true,
  rotation: true,
  maxPerUser: true,
  client: true,
  adopt: true,
  trustProxy: true,
  diagnostics: true,
  tracing: true,
  storeTimeout: true,
  limits: true,
  clock: true,
};

/** The options of `session()`: those of express-session, and those of `createSessions` but `secretKey`. */
export interface SessionOptions extends CoreOptions, RouteOptions {
  /** The secret, or a list: the first one signs, the others are still accepted. Default: that of `cookieParser(secret)`. */
  secret?: Secret | readonly Secret[] | undefined;
  /** A store of express-session, or one of Sojourn such as `redisStore()`. Default: the memory of this process. */
  store?: ExpressSessionStore | SessionStore | undefined;
  /** The attributes of the cookie, or a function that gives them for a request. Default: those of {@link CookieSettings}. */
  cookie?: CookieSettings | { of(req: IncomingMessage): CookieSettings }["of"] | undefined;
  /** The name of the cookie. Default `"connect.sid"`. */
  name?: string | undefined;
  /** An older word for `name`. Default `name`. */
  key?: string | undefined;
  /** Whether each response sets the cookie again, so that its lifetime begins anew. Default `false`. */
  rolling?: boolean | undefined;
  /** Whether a session is stored although nothing was put into it. Default `true`; `false` is better: a visitor then costs nothing. */
  saveUninitialized?: boolean | undefined;
  /** Whether `X-Forwarded-Proto` is trusted. Default: as Express's own setting `trust proxy` says. */
  proxy?: boolean | undefined;
  /** Whether `req.session = null` ends the session (`"destroy"`), or only forgets this request's changes. Default `"keep"`. */
  unset?: "destroy" | "keep" | undefined;
  /** Does nothing: a session that was not changed is never written, so that no request overwrites another one's changes. Default `false`. */
  resave?: boolean | undefined;
  /** Does nothing: the id is always random, because other parts of the cookie make it secret. */
  genid?(req: IncomingMessage): string;
  /**
   * Whether other processes use a store of express-session too: see {@link ExpressStoreOptions.processes}. Default `"one"`, and
   * `"several"` in a worker of `node:cluster`.
   */
  processes?: "one" | "several" | undefined;
  /** Gives the id of the user who is signed in, by the session's data. Default: passport's, `data.passport.user` or its `id`. */
  userId?(data: Readonly<Record<string, unknown>>): string | number | undefined | null;
  /**
   * What happens while the store has said that it is disconnected. `"wait"`: a request that has a session gets the store's
   * answer, or 503. `"skip"`: requests have no `req.session`, as in express-session. Default `"wait"`.
   */
  whenDisconnected?: "wait" | "skip" | undefined;
}

/** The options with all defaults applied. */
export interface Resolved {
  readonly name: string;
  readonly rolling: boolean;
  readonly saveUninitialized: boolean;
  readonly proxy: boolean | undefined;
  readonly unsetDestroys: boolean;
  readonly userId: (data: Readonly<Record<string, unknown>>) => string | undefined;
  readonly cookieFor: (req: IncomingMessage) => CookieSettings;
  /** What new sessions have, where nothing changes it. */
  readonly defaults: KeptSettings;
  /** The cookie's lifetime is known for each request only. */
  readonly isDynamic: boolean;
  readonly skipsDisconnected: boolean;
  /** The store that the application has given, if it is one of express-session. */
  readonly given: GivenStore | undefined;
  /** The settings of the core for a secret. `undefined`: there is no secret. */
  settings(secret: unknown): Settings | undefined;
}

/**
 * Checks the options and applies the defaults.
 *
 * @throws TypeError for an option that can't be meant.
 */
export function resolve(options: Omit<SessionOptions, keyof RouteOptions>): Resolved {
  const { secret, store, cookie = {}, name, key, genid, unset, proxy, resave: _resave, ...rest } = options;
  const { rolling, saveUninitialized = true, userId = passportUser, whenDisconnected = "wait", ...others } = rest;
  const { processes = cluster.isWorker ? "several" : "one", ...left } = others;
  const core = knownOf(left);
  if (genid !== undefined && typeof genid !== "function") throw new TypeError("genid option must be a function");
  if (genid !== undefined) {
    warnOnce(
      "SOJOURN_GENID",
      "",
      "sojourn/express-session does not call genid: the id of a session is random. Remove the option, or put its value into the data",
    );
  }
  if (unset !== undefined && unset !== "destroy" && unset !== "keep")
    throw new TypeError('unset option must be "destroy" or "keep"');
  if (whenDisconnected !== "wait" && whenDisconnected !== "skip")
    throw new TypeError('whenDisconnected option must be "wait" or "skip"');
  if (Array.isArray(secret) && secret.length === 0)
    throw new TypeError("secret option array must contain one or more strings");
  const cookieName = name || key || "connect.sid";
  const isFunction = typeof cookie === "function";
  const first = new Cookie(isFunction ? undefined : cookie);
  const usual = first.originalMaxAge;
  const userOf = (data: Readonly<Record<string, unknown>>) => textOf(userId(data));
  const given = isExpressStore(store) ? store : store && originOf(store);
  const sessionStore = storeOf(store, { processes, clock: core.clock });
  return {
    name: cookieName,
    rolling: Boolean(rolling),
    saveUninitialized,
    proxy,
    unsetDestroys: unset === "destroy",
    userId: userOf,
    cookieFor: isFunction ? (req) => cookie(req) : () => cookie,
    defaults: settingsOf(first),
    isDynamic: isFunction || Boolean(cookie.expires),
    skipsDisconnected: whenDisconnected === "skip",
    given,
    settings(requestSecret) {
      const secrets = secretsOf(secret || requestSecret);
      if (!secrets) return undefined;
      const fixed = isFunction || cookie.expires || usual === null ? undefined : Math.ceil(usual);
      const settings = resolveOptions({
        ...timeoutsFor(fixed, core),
        ...(given && { adopt: [formerSessions(given, { secrets, name: cookieName, usual, userId: userOf })] }),
        ...core,
        trustProxy: core.trustProxy ?? proxy === true,
        secretKey: secrets.map(keyOf),
        store: sessionStore,
        cookie: { name: cookieName, secure: false, persistent: false },
      });
      return {
        ...settings,
        cookie: createCookieReader(settings.cookie),
        limits: { ...settings.limits, asJson: true },
      };
    },
  };
}

/** A store of express-session. Most of them tell when they are connected. */
type GivenStore = ExpressSessionStore & { on?(event: string, listener: (...args: unknown[]) => void): unknown };

/** An application may have options that nobody has ever read. They must not stop it. */
function knownOf(options: CoreOptions): CoreOptions {
  const entries = Object.entries(options).filter(([name]) => {
    if (Object.hasOwn(CORE_OPTIONS, name)) return true;
    warnOnce(
      "SOJOURN_UNKNOWN_OPTION",
      name,
      `session() of sojourn/express-session has no option "${name}", which does nothing: remove it`,
    );
    return false;
  });
  return Object.fromEntries(entries);
}

const DAY = 86_400_000;

/** The cookie's lifetime is the idle timeout. The absolute one is never the shorter of both. */
function timeoutsFor(maxAge: number | undefined, core: CoreOptions): CoreOptions {
  if (maxAge === undefined || core.idleTimeout !== undefined || core.timeouts !== undefined) return {};
  const idleTimeout = `${Math.max(1, maxAge)}ms` as const;
  return maxAge > 30 * DAY && core.absoluteTimeout === undefined
    ? { idleTimeout, absoluteTimeout: idleTimeout }
    : { idleTimeout };
}

type AnyStore = ExpressSessionStore | SessionStore | undefined;

function isExpressStore(store: AnyStore): store is ExpressSessionStore {
  return typeof (store as Partial<ExpressSessionStore> | undefined)?.get === "function";
}

function storeOf(store: AnyStore, options: ExpressStoreOptions): SessionStore {
  if (store === undefined) return memoryStore({ clock: options.clock });
  return isExpressStore(store) ? createExpressStore(store, options, false) : store;
}

function textOf(userId: string | number | undefined | null): string | undefined {
  return userId === undefined || userId === null ? undefined : String(userId);
}

const KEY_BYTES = 32;

function secretsOf(given: unknown): Uint8Array[] | undefined {
  if (!given) return undefined;
  const secrets: unknown[] = Array.isArray(given) ? given : [given];
  const unique = new Map(secrets.map(bytesOf).map((bytes) => [bytes.toString("latin1"), bytes]));
  return [...unique.values()];
}

/** A key of full length from a secret of any length. */
function keyOf(secret: Uint8Array): Uint8Array {
  if (secret.length < KEY_BYTES) {
    warnOnce(
      "SOJOURN_SHORT_SECRET",
      "",
      "The option secret of sojourn/express-session is so short that it can be guessed: whoever guesses it can sign in as " +
        "anybody. Make one with npx sojourn keygen, and put the old one behind it: secret: [new, old]",
    );
  }
  return Buffer.from(hkdfSync("sha256", secret, "sojourn/express-session", "secret", KEY_BYTES));
}

function bytesOf(secret: unknown): Buffer {
  if (typeof secret === "string" && secret !== "") return Buffer.from(secret);
  if (secret instanceof KeyObject) return secret.export();
  if (ArrayBuffer.isView(secret)) return Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength);
  if (types.isAnyArrayBuffer(secret)) return Buffer.from(secret);
  throw new TypeError("secret option must be a string, bytes or a KeyObject, or an array of them");
}
