import type { OnConflict } from "./lifecycle/commit.ts";
import type { Duration } from "./duration.ts";
import type { SessionData } from "./index.ts";
import type { Flash } from "./record/record.ts";

/**
 * `SessionData`. Where the program has declared no key, it is a type whose only key is the remedy, so that the compiler
 * shows it with every error.
 */
export type DeclaredData = keyof SessionData extends never
  ? // The compiler would show the name of a type that has one, not its keys.
    { 'Declare the keys first: declare module "sojourn" { interface SessionData { username?: string } }': never }
  : SessionData;

/** The options of `session.save`. */
export interface SaveOptions {
  /**
   * What happens if another request has changed the data since this one read them. `"merge"` applies the changes of both,
   * `"fail"` rejects with ERR_SESSION_CONFLICT. Default `"merge"`.
   */
  onConflict?: OnConflict | undefined;
}

/** The options of a sign-in. */
export interface SignInOptions<Data extends object = DeclaredData> {
  /**
   * "Remember me": the timeouts of this session, instead of those of `createSessions`. One duration sets both. The browser
   * keeps the cookie as long, even where other cookies end with its session. Default: the timeouts of `createSessions`.
   */
  remember?: Duration | { idleTimeout?: Duration; absoluteTimeout?: Duration } | undefined;
  /**
   * The keys of `data` that stay from before the sign-in. Keys that this request has set stay anyway. Default: all. An
   * attacker who planted a session on the client could have planted data in it: name only keys that do no harm. If the
   * session belonged to another user, nothing stays.
   */
  keep?: readonly (keyof Data & string)[] | undefined;
  /** A text for `sessions.list`, at most 512 bytes: the way of signing in, or the device. Default: none. */
  note?: string | undefined;
}

/**
 * The session that a handler holds. Everything that is not data is a member beside `data`, so that no key is reserved.
 *
 * @typeParam Data - the application's data. Any key may be missing, because every session begins empty.
 */
export interface Session<Data extends object = DeclaredData> {
  /**
   * The session's data: a dictionary without a prototype. Set, read and delete keys. Changes deep inside are noticed too.
   * Values can be those of JSON, and Date, Map, Set, BigInt, Uint8Array, URL and undefined. After `signOut()` it is empty,
   * and a key that is set begins a new session.
   *
   * @example
   * session.data.cart = { items: [] };
   * session.data.cart.items.push("tea");
   *
   * @throws TypeError where the route is lazy and the session was not loaded.
   * @throws SessionError ERR_SESSION_HEADERS_SENT (500) at the first use of the session after the headers were sent, unless
   * the route is `personal`.
   */
  readonly data: Partial<Data>;

  /** Removes a key from the data and gives its value, or `fallback` if it is missing. */
  pop<Key extends keyof Data>(key: Key): Data[Key] | undefined;
  pop<Key extends keyof Data, Fallback>(key: Key, fallback: Fallback): Exclude<Data[Key], undefined> | Fallback;

  /**
   * Changes one key by a function, at once. If another request stores the session first, the function is applied again to
   * the value of that request. It must be synchronous and depend on nothing but the value.
   *
   * @example
   * session.update("visits", (count = 0) => count + 1);
   *
   * @throws TypeError for a function that returns `undefined` for a value: `delete session.data.key` removes a key.
   */
  update<Key extends keyof Data>(
    key: Key,
    apply: (value: Data[Key] | undefined) => Exclude<Data[Key], undefined>,
  ): Exclude<Data[Key], undefined>;

  /** Keeps a message until `takeFlashes()` takes it, in this request or a later one. A session keeps the latest 100. */
  flash(category: string, message: unknown): void;

  /**
   * A deep copy of the data as a plain object, for `structuredClone`, a worker or JSON. `structuredClone(session.data)`
   * throws, because `session.data` notices changes by a Proxy.
   */
  toJSON(): Partial<Data>;

  /** Removes every key of the data. */
  clear(): void;

  /** Takes the messages of one category, or all, oldest first. They are removed when this request is stored. */
  takeFlashes(category?: string): Flash[];

  /** The public name of the session. It is safe to log, to list, and to revoke by. It opens nothing. */
  readonly id: string;
  /** Whether the session is not stored yet. */
  readonly isNew: boolean;
  /** The id of the user who signed in, or `undefined`. */
  readonly userId: string | undefined;
  /** The beginning of the session, in epoch milliseconds. Of a new session: now. */
  readonly createdAt: number;
  /** The time of the sign-in, in epoch milliseconds, or `undefined`. */
  readonly signedInAt: number | undefined;
  /** The end of the session without further activity, in epoch milliseconds. */
  readonly expiresAt: number;

  /**
   * Signs a user in. The session gets a new id and a new token, the old token becomes invalid, and both timeouts start anew.
   * If the session belonged to another user, it ends, and a new one begins with the data that this request has set.
   *
   * @example
   * session.signIn(user.id, { remember: "30d", note: "by password" });
   *
   * @throws TypeError for a user id that is no string of 1 to 512 bytes, and for an unknown option.
   * @throws SessionError ERR_SESSION_HEADERS_SENT (500) after the response's headers were sent.
   */
  signIn(userId: string, options?: SignInOptions<Data>): void;

  /**
   * Whether the user signed in within this time. Ask before a change of password or a payment, and let the user sign in again
   * if it is false.
   */
  signedInWithin(duration: Duration): boolean;

  /** `true`: this request does not extend the session. For polling and other requests without a person. Default `false`. */
  passive: boolean;

  /**
   * Ends the session on the server and clears the cookie. After it the request has a new, empty session, which is stored only
   * if something is written to it: a flash, or another sign-in.
   *
   * @throws SessionError ERR_SESSION_HEADERS_SENT (500) after the response's headers were sent.
   */
  signOut(): void;

  /**
   * Gives the session a new token and invalidates the old one, for a change of privileges.
   *
   * @throws SessionError ERR_SESSION_HEADERS_SENT (500) after the response's headers were sent.
   */
  rotate(): void;

  /**
   * Stores the session now instead of with the response. You need it only after the response, or to handle a failure
   * yourself: if you catch the error, the response goes on without these changes, including a sign-in or sign-out among
   * them. Another call tries all of them again.
   *
   * @throws TypeError for a value that can't be kept.
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_CONFLICT, ERR_SESSION_SUPERSEDED and ERR_SESSION_LIMIT (409),
   * ERR_SESSION_TOO_LARGE and ERR_SESSION_COOKIE_TOO_LARGE (413), ERR_SESSION_HEADERS_SENT and ERR_SESSION_DECODE (500).
   */
  save(options?: SaveOptions): Promise<void>;

  /**
   * Reads the session from the store, once. Only lazy routes need it: elsewhere the adapter has read it before the handler.
   *
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500).
   */
  load(): Promise<this>;
  /**
   * Reads the session anew, for a long connection. It shows the changes of others, forgets changes that were not saved, and
   * extends the session as a request does. A session that has ended is empty.
   *
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500).
   */
  reload(): Promise<this>;

  /** Aborts when the session is signed out, revoked or expires, in any process, within about a second. */
  readonly signal: AbortSignal;

  /** Whether the session was read: at once for a visitor without a cookie, otherwise after `load()`. */
  readonly isLoaded: boolean;
}
