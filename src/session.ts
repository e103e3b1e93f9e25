import { checkOptions } from "./checks.ts";
import type { SessionData } from "./index.ts";
import type { Dictionary } from "./changes/codec.ts";
import { commit } from "./lifecycle/commit.ts";
import { isAnotherUser } from "./lifecycle/plan.ts";
import { MAX_LIFETIME } from "./request/cookie.ts";
import { SessionError } from "./errors.ts";
import { milliseconds, type Duration } from "./duration.ts";
import type { Flash } from "./record/record.ts";
import { protectPrototype } from "./request/shared-handle.ts";
import type { RequestSession } from "./request/request-session.ts";
import type { SignIn } from "./request/pending-changes.ts";

/**
 * `SessionData`; where the program has declared no key, a type whose only key is the remedy: the compiler shows it with
 * every error.
 */
export type DeclaredData = keyof SessionData extends never
  ? // The compiler would show the name of a type that has one, not its keys.
    { 'Declare the keys first: declare module "sojourn" { interface SessionData { username?: string } }': never }
  : SessionData;

/** What may be said of a sign-in. */
export interface SignInOptions<Data extends object = DeclaredData> {
  /**
   * "Remember me": the timeouts of this session, in place of those of the options. A single duration is both. The
   * cookie is kept as long, even where others end with the browser's session.
   */
  remember?: Duration | { idleTimeout?: Duration; absoluteTimeout?: Duration } | undefined;
  /**
   * The keys of `data` that may come along from before the sign-in; what this request has set comes along anyway. Default:
   * all. Whoever could plant a session on the client could plant data in it: name what does no harm. Where the session
   * belonged to another user, nothing of before comes along, whatever is named.
   */
  keep?: readonly (keyof Data & string)[] | undefined;
  /** Anything worth showing in `sessions.list`, at most 512 bytes: how somebody signed in, or on what device. */
  note?: string | undefined;
}

/**
 * The session that a handler holds. Everything that is not data is a member beside `data`, so that no key is reserved.
 *
 * @typeParam Data - what the application keeps; any key may be missing, since every session begins empty.
 */
export interface Session<Data extends object = DeclaredData> {
  /**
   * The session's data: an ordinary dictionary, without a prototype. Set, read and delete keys; changes deep inside are
   * noticed too. Kept are JSON's values and Date, Map, Set, BigInt, Uint8Array, URL and undefined.
   *
   * @throws TypeError before a session of a lazy route has been loaded, and for writing after `signOut()`.
   */
  readonly data: Partial<Data>;

  /** Takes a key out of the data and gives its value, or `fallback` where there is none. */
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

  /** Keeps a message until `flashes()` shows it: in this request or in the next. */
  flash(category: string, message: unknown): void;

  /** Removes every key of the data. */
  clear(): void;

  /** The messages not yet shown, of one category or of all, oldest first; they are gone once this request is stored. */
  takeFlashes(category?: string): Flash[];

  /** The public name of the session: safe to log, to list and to revoke by. Alone it opens nothing. */
  readonly id: string;
  /** Whether the session has not been stored yet. */
  readonly isNew: boolean;
  /** Who signed in, or `undefined`. */
  readonly userId: string | undefined;
  /** Epoch milliseconds; of a new session, now. */
  readonly createdAt: number;
  /** Epoch milliseconds, or `undefined` where nobody signed in. */
  readonly signedInAt: number | undefined;
  /** Epoch milliseconds: when the session ends if nothing more is heard of it. */
  readonly expiresAt: number;

  /**
   * Binds the session to its user: gives it a new id and a new token, kills the old one at once, and starts both clocks
   * anew. Where the session belonged to somebody else, it ends, and a new one begins with what this request has set.
   */
  signIn(userId: string, options?: SignInOptions<Data>): void;

  /**
   * Whether somebody signed in no longer ago than this: ask before what needs a fresh proof (a change of password, a
   * payment), and where it is false have them sign in again.
   */
  signedInWithin(duration: Duration): boolean;

  /** Let this request extend nothing: polling and other signs of a machine, not of somebody there. */
  passive: boolean;

  /** Ends the session on the server and clears the cookie. Afterwards reading is empty and writing is an error. */
  signOut(): void;

  /** Gives the session a new token and invalidates the old one at once: for a change of privileges. */
  rotate(): void;

  /**
   * Stores the session now instead of with the response. Needed only after the response's headers were sent, and to handle
   * a failure oneself: if you catch its error, the response goes on without these changes, and without a sign-in or
   * sign-out that was among them. Another call tries all of them again.
   *
   * @throws TypeError for a value that can't be kept.
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_CONFLICT and ERR_SESSION_SUPERSEDED (409),
   * ERR_SESSION_HEADERS_SENT (500)
   */
  save(): Promise<void>;

  /**
   * Reads the session from the store, once. Only routes that were declared lazy need it: anywhere else that has been
   * done before the handler runs.
   *
   * @throws SessionError ERR_SESSION_STORE (503), ERR_SESSION_DECODE (500)
   */
  load(): Promise<this>;
  /**
   * Reads the session anew, for a connection that lives long: what others have stored shows, what this one has not
   * saved is forgotten, and the session is extended as by a request. Once it has ended, it is empty.
   *
   * @throws SessionError ERR_SESSION_STORE (503)
   */
  reload(): Promise<this>;

  /** Aborts when the session is signed out, revoked or expires, in whatever process, within about a second. */
  readonly signal: AbortSignal;

  /** Whether the members above may be used: at once for a visitor without a cookie, otherwise after `load()`. */
  readonly isLoaded: boolean;
}

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

class SessionHandle implements Session<Dictionary> {
  readonly #requestSession: RequestSession;

  constructor(requestSession: RequestSession) {
    this.#requestSession = requestSession;
  }

  static isHandle(value: unknown): value is SessionHandle {
    return typeof value === "object" && value !== null && #requestSession in value;
  }

  static requestSessionOf(session: unknown): RequestSession {
    if (SessionHandle.isHandle(session)) return session.#requestSession;
    throw new TypeError("This is not a session; pass what sessions.open(request) gave");
  }

  get #seen(): RequestSession {
    const requestSession = this.#requestSession;
    if (!requestSession.isLoaded) {
      if (requestSession.loadError !== undefined) throw requestSession.loadError;
      throw new TypeError("The session is not loaded yet: this route is lazy, so await session.load() first");
    }
    requestSession.access();
    return requestSession;
  }

  get data(): Dictionary {
    return this.#seen.changes.journal.data;
  }

  pop(key: string, fallback?: unknown): unknown {
    const { data } = this;
    if (!Object.hasOwn(data, key)) return fallback;
    const value = data[key];
    delete data[key];
    return value;
  }

  update(key: string, apply: (value: unknown) => unknown): unknown {
    return this.#seen.changes.journal.update(key, (value) => {
      const changed = apply(value);
      if (changed instanceof Promise) throw new TypeError(`update("${key}", …) needs a synchronous function`);
      if (changed === undefined && value !== undefined) {
        throw new TypeError(
          `update("${key}", …): the function returned nothing. Return the new value, also where you changed it in place; to remove the key, delete session.data.${key}`,
        );
      }
      return changed;
    });
  }

  clear(): void {
    const { data } = this;
    for (const key of Object.keys(data)) delete data[key];
  }

  flash(category: string, message: unknown): void {
    if (typeof category !== "string") throw new TypeError("flash(category, message): the category must be a string");
    this.#seen.changes.journal.flash({ category, message });
  }

  takeFlashes(category?: string): Flash[] {
    return this.#seen.changes.journal.takeFlashes(category);
  }

  get id(): string {
    return this.#seen.id;
  }

  get isNew(): boolean {
    return this.#seen.visibleRecord === undefined;
  }

  get userId(): string | undefined {
    const { changes, visibleRecord } = this.#seen;
    return changes.requested.signIn?.userId ?? visibleRecord?.userId;
  }

  get createdAt(): number {
    const { visibleRecord, context } = this.#seen;
    return visibleRecord?.createdAt ?? context.now();
  }

  get signedInAt(): number | undefined {
    const { changes, visibleRecord, context } = this.#seen;
    return changes.requested.signIn ? context.now() : visibleRecord?.signedInAt;
  }

  get expiresAt(): number {
    return this.#seen.expiresAt;
  }

  signedInWithin(duration: Duration): boolean {
    const since = this.signedInAt;
    return (
      since !== undefined && this.#requestSession.context.now() - since <= milliseconds(duration, "signedInWithin")
    );
  }

  get passive(): boolean {
    return this.#requestSession.passive;
  }

  set passive(passive: boolean) {
    this.#requestSession.passive = passive;
  }

  signIn(userId: string, options: SignInOptions<Dictionary> = {}): void {
    if (
      typeof userId !== "string" ||
      userId === "" ||
      Buffer.byteLength(userId) > 512 ||
      /\p{Surrogate}/u.test(userId)
    ) {
      throw new TypeError("signIn(userId) takes the user's id, a string of 1 to 512 bytes");
    }
    const requestSession = this.#withCookie("sign in");
    const asked = resolveSignIn(options);
    // Nothing that the user before has left may be seen by the next one.
    const keep = isAnotherUser(requestSession, userId) ? [] : asked.keep;
    if (keep) requestSession.changes.journal.restrict(keep);
    requestSession.signIn({ userId, ...asked, keep });
  }

  signOut(): void {
    const { token, changes } = this.#seen;
    if (token || changes.requested.signIn) this.#withCookie("sign out");
    this.#requestSession.signOut();
  }

  rotate(): void {
    this.#withCookie("rotate").changes.request({ rotate: {} });
  }

  #withCookie(what: string): RequestSession {
    const requestSession = this.#seen;
    if (!requestSession.canSetCookie) {
      throw new SessionError(
        "ERR_SESSION_HEADERS_SENT",
        `Too late to ${what}: the response's headers, and the cookie with them, were sent`,
      );
    }
    return requestSession;
  }

  save(...callback: unknown[]): Promise<void> {
    refuseCallback("save", callback);
    return this.#save();
  }

  async #save(): Promise<void> {
    await commit(this.#seen, "save");
  }

  reload(...callback: unknown[]): Promise<this> {
    refuseCallback("reload", callback);
    return this.#reload();
  }

  async #reload(): Promise<this> {
    await this.#seen.reload();
    await commit(this.#requestSession, "save");
    return this;
  }

  get signal(): AbortSignal {
    return this.#seen.signal;
  }

  get isLoaded(): boolean {
    return this.#requestSession.isLoaded;
  }

  get [Symbol.toStringTag](): string {
    return "Session";
  }

  /** For `console.log`: never the token. */
  [INSPECT](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    const requestSession = this.#requestSession;
    if (!requestSession.isLoaded) return "Session (not loaded)";
    const { id, expiresAt, changes, visibleRecord } = requestSession;
    const { createdAt, signedInAt } = visibleRecord ?? {};
    const userId = changes.requested.signIn?.userId ?? visibleRecord?.userId;
    const times = { createdAt, signedInAt, expiresAt };
    const dates = Object.entries(times).map(([name, at]) => [name, at === undefined ? undefined : new Date(at)]);
    return `Session ${inspect({ id, userId, data: { ...changes.journal.data }, ...Object.fromEntries(dates) }, options)}`;
  }

  async load(): Promise<this> {
    await this.#requestSession.load();
    return this;
  }
}

/**
 * Other libraries call a function back. Thrown at once: nobody takes a rejection there, and it would end the process, as
 * passport's `req.logout` did.
 */
function refuseCallback(name: string, args: readonly unknown[]): void {
  if (args.length > 0) throw new TypeError(`session.${name}() takes no callback: await session.${name}()`);
}

protectPrototype(SessionHandle.prototype, (value) => SessionHandle.isHandle(value));

/** @throws TypeError for what can't be said of a sign-in. */
function resolveSignIn(options: SignInOptions<Dictionary>): Omit<SignIn, "userId" | "id"> {
  checkOptions("signIn", options, { remember: true, note: true, keep: true });
  const { remember, note, keep } = options;
  if (keep !== undefined && !(Array.isArray(keep) && keep.every((key) => typeof key === "string"))) {
    throw new TypeError('signIn: keep lists the keys of data that may come along, as in { keep: ["cart"] }');
  }
  if (note !== undefined && (typeof note !== "string" || Buffer.byteLength(note) > 512)) {
    throw new TypeError("signIn: the note must be a string of at most 512 bytes");
  }
  if (remember === undefined) return { note, keep };
  const both = typeof remember === "object" ? remember : { idleTimeout: remember, absoluteTimeout: remember };
  checkOptions("signIn: remember", both, { idleTimeout: true, absoluteTimeout: true });
  const idle = both.idleTimeout && milliseconds(both.idleTimeout, "remember.idleTimeout");
  const absolute = both.absoluteTimeout && milliseconds(both.absoluteTimeout, "remember.absoluteTimeout");
  if (absolute && absolute > MAX_LIFETIME)
    throw new TypeError("signIn: browsers keep no cookie for more than 400 days; remember for less");
  return { note, keep, idle, absolute };
}

export function sessionOf<Data extends object>(requestSession: RequestSession): Session<Data> {
  return new SessionHandle(requestSession) as unknown as Session<Data>;
}

/** @throws TypeError for anything but a session. */
export function requestSessionOf(session: unknown): RequestSession {
  return SessionHandle.requestSessionOf(session);
}
