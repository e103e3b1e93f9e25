import { checkOptions } from "./checks.ts";

/** A cookie of the former library, as it was set. */
export interface FormerCookie {
  /** The cookie's name. */
  readonly name: string;
  /** The path that it was set with. Default `"/"`. */
  readonly path?: string | undefined;
  /** The domain that it was set with. Default none. */
  readonly domain?: string | undefined;
}

/** An authentic cookie of the former library. */
export interface FoundSession {
  /**
   * Names the former session: its id, or a hash of a cookie that has the data itself. Two cookies of one session give the same
   * key. At most 512 characters.
   */
  readonly key: string;
}

/** A former session, as it was read. */
export interface FormerSession {
  /** The data of the new session: whatever `session.data` can keep. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The user who is signed in. Leave it out for a visitor's session. */
  readonly userId?: string | undefined;
  /** The end of the former session without further activity, in epoch milliseconds. */
  readonly expiresAt?: number | undefined;
  /**
   * The sign-in, or the beginning of a visitor's session, in epoch milliseconds. Default: half of `absoluteTimeout` ago for a
   * user, so that no guard takes it for a recent sign-in. The present time for a visitor.
   */
  readonly createdAt?: number | undefined;
  /** Messages that the next page shows once. */
  readonly flashes?: readonly { readonly category: string; readonly message: unknown }[] | undefined;
}

/**
 * The sessions of the library that the application used before. A request that has one of their cookies, and none of
 * Sojourn's, goes on with a new session that has the former one's user and data.
 */
export interface FormerSessions<Found extends FoundSession = FoundSession> {
  /** Names the source in events, errors and records. Do not change it while former cookies may come. */
  readonly name: string;
  /** The cookies that the response removes. */
  readonly cookies: readonly FormerCookie[];
  /** Whether the former cookies stay, so that you can go back to the former library. Default `false`. */
  readonly keepCookies?: boolean | undefined;
  /**
   * Gives the request's former sessions whose cookies are authentic. It asks no store. Compare signatures in constant time, and
   * check lengths first: anybody can send a cookie.
   *
   * @param valuesOf - gives the different values of the request's cookies of a name, as they were sent.
   */
  find(valuesOf: (name: string) => readonly string[]): readonly Found[];
  /** Reads a former session. `undefined` if it has ended. An outage is a rejection: the client gets a 503 and stays signed in. */
  read(found: Found): Promise<FormerSession | undefined>;
  /**
   * Ends a former session. It is called before a sign-out or revocation of the session that took its place, which fails if this
   * one rejects. A former session that is gone is no error.
   */
  end?(key: string): Promise<void>;
}

/**
 * Checks the option `adopt`.
 *
 * @throws TypeError for a source that is none, or that has the name of another one.
 */
export function checkFormer(sources: readonly FormerSessions[]): readonly FormerSessions[] | undefined {
  if (!Array.isArray(sources)) throw new TypeError(NO_LIST);
  const names = new Set<string>();
  for (const source of sources as readonly FormerSessions[]) {
    if (typeof source !== "object" || source === null || typeof source.find !== "function")
      throw new TypeError(NO_LIST);
    const { name, cookies } = source;
    if (typeof name !== "string" || name === "" || !Array.isArray(cookies) || typeof source.read !== "function") {
      throw new TypeError("adopt: a source has a name, a list of cookies, find and read");
    }
    if (names.has(name)) {
      throw new TypeError(`adopt: two sources have the name ${JSON.stringify(name)}; give each a name of its own`);
    }
    names.add(name);
    for (const cookie of cookies as readonly FormerCookie[]) checkOptions("adopt", cookie, COOKIE);
  }
  return sources.length > 0 ? sources : undefined;
}

const NO_LIST = 'adopt takes a list of sources, such as [expressSession({ secret, store })] of "sojourn/adopt"';

const COOKIE = { name: true, path: true, domain: true } as const;
