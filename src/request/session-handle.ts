import { checkOptions } from "../checks.ts";
import type { Dictionary } from "../changes/codec.ts";
import { milliseconds, type Duration } from "../duration.ts";
import { SessionError } from "../errors.ts";
import { isPromise } from "../coroutine.ts";
import { commit } from "../lifecycle/commit.ts";
import type { Flash } from "../record/record.ts";
import type { SaveOptions, Session, SignInOptions } from "../session.ts";
import { MAX_LIFETIME } from "./cookie.ts";
import { dropUndeliverable } from "./closed-response.ts";
import { warnOfMisplacedRead } from "./misplaced-read.ts";
import type { SignIn } from "./pending-changes.ts";
import { reload } from "./reload.ts";
import type { RequestSession } from "./request-session.ts";
import { protectPrototype } from "./protect-prototype.ts";
import { isUserId } from "../user-id.ts";

const INSPECT = Symbol.for("nodejs.util.inspect.custom");
/** Where the session of "sojourn/context" has the one that it stands for. */
export const CURRENT = Symbol("sojourn.current");

/** The session that a handler is given. Everything is kept in its request session. */
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
    const current = (session as { [CURRENT]?: unknown } | null | undefined)?.[CURRENT];
    if (SessionHandle.isHandle(current)) return current.#requestSession;
    throw new TypeError("This is not a session; pass what sessions.open(request) gave");
  }

  /** The session of this request, which the handler accesses. */
  get #accessed(): RequestSession {
    const requestSession = this.#requestSession;
    if (!requestSession.isLoaded) {
      if (requestSession.loadError !== undefined) throw requestSession.loadError;
      throw new TypeError("The session is not loaded yet: this route is lazy, so await session.load() first");
    }
    requestSession.access();
    return requestSession;
  }

  get data(): Dictionary {
    return this.#accessed.changes.journal.data;
  }

  pop(key: string, fallback?: unknown): unknown {
    const { data } = this;
    if (!Object.hasOwn(data, key)) return fallback;
    const value = data[key];
    delete data[key];
    return value;
  }

  update(key: string, apply: (value: unknown) => unknown): unknown {
    const { changes } = this.#accessed;
    changes.refuseInUpdate("called update()");
    let isFirst = true;
    return changes.journal.update(key, (value) => {
      const changed = changes.runUpdate(key, () => apply(value));
      if (isPromise(changed)) throw new TypeError(`update("${key}", …) needs a synchronous function`);
      // Over a newer record, where another request has removed the key meanwhile, nothing is what the function may give.
      if (changed === undefined && (value !== undefined || isFirst)) {
        throw new TypeError(
          `update("${key}", …): the function returned nothing. Return the new value, also where you changed it in place; to remove the key, delete session.data.${key}`,
        );
      }
      isFirst = false;
      return changed;
    });
  }

  toJSON(): Dictionary {
    return this.#accessed.changes.journal.toJSON();
  }

  clear(): void {
    const { data } = this;
    for (const key of Object.keys(data)) delete data[key];
  }

  flash(category: string, message: unknown): void {
    if (typeof category !== "string") throw new TypeError("flash(category, message): the category must be a string");
    if (message === undefined)
      throw new TypeError("flash(category, message): the message is missing; takeFlashes(category) takes messages");
    const requestSession = this.#accessed;
    requestSession.changes.refuseInUpdate("called flash()");
    requestSession.watchClose();
    requestSession.changes.journal.flash({ category, message });
  }

  takeFlashes(category?: string): Flash[] {
    const requestSession = this.#accessed;
    requestSession.changes.refuseInUpdate("called takeFlashes()");
    requestSession.watchClose();
    return requestSession.changes.journal.takeFlashes(category);
  }

  get id(): string {
    return this.#accessed.id;
  }

  get isNew(): boolean {
    return this.#accessed.visibleRecord === undefined;
  }

  get userId(): string | undefined {
    const { changes, visibleRecord } = this.#accessed;
    return changes.requested.signIn?.userId ?? visibleRecord?.userId;
  }

  get createdAt(): number {
    const { visibleRecord, context } = this.#accessed;
    return visibleRecord?.createdAt ?? context.now();
  }

  get signedInAt(): number | undefined {
    const { changes, visibleRecord, context } = this.#accessed;
    return changes.requested.signIn ? context.now() : visibleRecord?.signedInAt;
  }

  get expiresAt(): number {
    return this.#accessed.expiresAt;
  }

  signedInWithin(duration: Duration): boolean {
    const within = milliseconds(duration, "signedInWithin");
    const since = this.signedInAt;
    return since !== undefined && this.#requestSession.context.now() - since <= within;
  }

  get passive(): boolean {
    return this.#requestSession.passive;
  }

  set passive(passive: boolean) {
    this.#requestSession.passive = passive;
  }

  signIn(userId: string, options: SignInOptions<Dictionary> = {}): void {
    if (!isUserId(userId))
      throw new TypeError(`signIn(userId) takes the user's id, a string of 1 to 512 bytes${butGiven(userId)}`);
    const requestSession = this.#withCookie("sign in");
    requestSession.changes.refuseInUpdate("called signIn()");
    requestSession.signIn(userId, resolveSignIn(options));
  }

  signOut(): void {
    const { token, changes } = this.#accessed;
    changes.refuseInUpdate("called signOut()");
    if (token || changes.requested.signIn) this.#withCookie("sign out");
    this.#requestSession.signOut();
  }

  rotate(): void {
    this.#requestSession.context.clientSide?.requireRevocations("session.rotate()");
    const requestSession = this.#withCookie("rotate");
    requestSession.changes.refuseInUpdate("called rotate()");
    requestSession.rotate();
  }

  #withCookie(what: string): RequestSession {
    const requestSession = this.#accessed;
    const { progress } = requestSession;
    progress.reopenUnsent();
    if (progress.canSetCookie) return requestSession;
    throw new SessionError(
      "ERR_SESSION_HEADERS_SENT",
      progress.isAttached
        ? `This connection can't ${what}, since it sets no cookie: let the client send a request, or end the session by sessions.revoke(session.id)`
        : `Too late to ${what}: the response's headers, and the cookie with them, were sent`,
    );
  }

  save(options: SaveOptions = {}, ...callback: unknown[]): Promise<void> {
    refuseCallback("save", typeof options === "function" ? [options] : callback);
    return this.#save(options);
  }

  async #save(options: SaveOptions): Promise<void> {
    checkOptions("session.save", options, { onConflict: true });
    const { onConflict = "merge" } = options;
    if (onConflict !== "merge" && onConflict !== "fail") {
      throw new TypeError('session.save: onConflict is "merge" or "fail"');
    }
    const requestSession = this.#accessed;
    requestSession.changes.refuseInUpdate("called save()");
    if (onConflict === "fail") requestSession.context.clientSide?.refuse('session.save({ onConflict: "fail" })');
    const { progress } = requestSession;
    const isGone = progress.canSetCookie && progress.isClosed && !requestSession.committing;
    // The commit takes them back by itself.
    if (isGone) requestSession.changes.takeBack();
    const isDropped = isGone && dropUndeliverable(requestSession);
    await commit(requestSession, "save", progress.canSetCookie, onConflict);
    if (isDropped) {
      throw new SessionError(
        "ERR_SESSION_HEADERS_SENT",
        "The client has gone, and these changes give it a new cookie, which it would never get: they are dropped",
      );
    }
  }

  reload(...callback: unknown[]): Promise<this> {
    refuseCallback("reload", callback);
    return this.#reload();
  }

  async #reload(): Promise<this> {
    const requestSession = this.#accessed;
    requestSession.changes.refuseInUpdate("called reload()");
    await reload(requestSession);
    await commit(this.#requestSession, "save");
    return this;
  }

  get signal(): AbortSignal {
    return this.#accessed.signal;
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

function butGiven(userId: unknown): string {
  if (typeof userId === "string") return "";
  if (typeof userId === "object" && userId !== null) return ", not an object: give its id";
  return `, not ${String(userId)}${typeof userId === "number" ? ": give String(user.id)" : ""}`;
}

const onUnknownRead = protectPrototype(SessionHandle.prototype, (value) => SessionHandle.isHandle(value));

/** From now on it is looked whether the data of a session have a name that was read of the session itself. */
export function watchMisplacedReads(): void {
  onUnknownRead((handle, name) => {
    if (SessionHandle.isHandle(handle)) warnOfMisplacedRead(requestSessionOf(handle), name);
  });
}

/** @throws TypeError for an option that a sign-in does not have or can't use. */
function resolveSignIn(options: SignInOptions<Dictionary>): Omit<SignIn, "userId" | "id"> {
  checkOptions("signIn", options, { remember: true, note: true, keep: true });
  const { remember, note, keep } = options;
  if (keep !== undefined && !(Array.isArray(keep) && keep.every((key) => typeof key === "string"))) {
    throw new TypeError('signIn: keep lists the keys of data that may stay, as in { keep: ["cart"] }');
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

export const isSession = (value: unknown): boolean => SessionHandle.isHandle(value);
