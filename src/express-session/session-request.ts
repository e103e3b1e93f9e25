import type { IncomingMessage } from "node:http";
import { decode, type Dictionary } from "../changes/codec.ts";
import type { Context } from "../context.ts";
import { commit } from "../lifecycle/commit.ts";
import { isAnotherUser } from "../lifecycle/plan.ts";
import type { Lifetime } from "../request/pending-changes.ts";
import type { RequestSession } from "../request/request-session.ts";
import { renewId } from "../request/sign-in-and-out.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { Session as CoreSession } from "../session.ts";
import { storedUsers } from "../users.ts";
import { Cookie, setCookie, settingsOf, type KeptSettings } from "./cookie.ts";
import { diagnoseFormerCookie } from "./former-cookie.ts";
import type { Resolved } from "./options.ts";
import { isEncrypted, SessionCookie } from "./response-cookie.ts";
import { createSession, findBacking, NOT_FOUND, type Backing, type Session } from "./session.ts";

/** A request with the members that express-session gives it. */
export type SessionRequest = IncomingMessage & {
  session?: Session | null;
  sessionID?: unknown;
  sessionStore?: unknown;
};

/** The key of the data under which a session keeps the settings of its cookie, where they differ from the options. */
const COOKIE_KEY = "cookie";

/** What one request does with its session, in the words of express-session. */
export class RequestState {
  readonly req: SessionRequest;
  readonly options: Resolved;
  readonly core: CoreSession<Dictionary>;
  readonly inner: RequestSession;
  readonly isSecure: boolean;
  /** The cookie, once somebody has asked for it, and its settings at that moment. */
  #cookie: Cookie | undefined;
  #settings = "";
  /** The id of a session that is to be ended after the headers were sent. */
  #revoked: string | undefined;
  #current!: RequestBacking;
  /** An error has told that a browser would refuse an attribute of the cookie. */
  hasBadCookie = false;
  /** This request has signed in a user whom the data named. */
  #hasSignedInByData = false;
  /** The version of the record that the request has begun with. */
  versionBefore: number | undefined;

  constructor(req: SessionRequest, core: CoreSession<Dictionary>, options: Resolved) {
    this.req = req;
    this.core = core;
    this.options = options;
    this.inner = requestSessionOf(core);
    this.isSecure = isEncrypted(req, options.proxy);
    this.inner.cookie = new SessionCookie(this);
  }

  get context(): Context {
    return this.inner.context;
  }

  /** The session is read. */
  start(): void {
    const { inner } = this;
    if (this.context.diagnose && !inner.token) diagnoseFormerCookie(inner, this.options);
    this.versionBefore = inner.loaded?.version;
    this.install();
    if (inner.hasAdopted) inner.changes.request({ lifetime: this.#formerLifetime });
  }

  /** Puts a session object into the request. The one before keeps the data that it has now. */
  install(backing = new RequestBacking(this)): void {
    this.#cookie = undefined;
    this.#current = backing;
    this.req.session = createSession(backing);
    this.req.sessionID = this.inner.id;
  }

  get cookie(): Cookie {
    if (this.#cookie) return this.#cookie;
    const kept = this.#keptSettings;
    const cookie = new Cookie({ ...this.options.cookieFor(this.req), ...kept });
    if (cookie.secure === "auto") cookie.secure = this.isSecure;
    if (cookie.sameSite === "auto") cookie.sameSite = this.isSecure ? "none" : "lax";
    this.#settings = JSON.stringify(settingsOf(cookie));
    return (this.#cookie = cookie);
  }

  set cookie(cookie: Cookie) {
    void this.cookie;
    this.#cookie = cookie;
  }

  /** Most sessions have no data under that key: to look for it must not look like a use of the session. */
  get #keptSettings(): KeptSettings | undefined {
    const { loaded } = this.inner;
    if (loaded && !loaded.record.data.includes(`"${COOKIE_KEY}":`)) return undefined;
    const { data } = this.inner.changes.journal;
    const kept = Object.hasOwn(data, COOKIE_KEY) ? (data[COOKIE_KEY] as KeptSettings) : undefined;
    // Adopted data may have anything under that key.
    return kept && isCookie(kept) ? kept : undefined;
  }

  // What the methods of a session ask for

  /** Stores the session, although nothing has changed. */
  keep(): void {
    const { inner, options } = this;
    if (!inner.token && !options.saveUninitialized && !inner.changes.hasDataChanges) return;
    inner.watchClose();
    inner.changes.request({ lifetime: this.#lifetime });
  }

  /** Ends the session. The request has none from then on. */
  end(): void {
    const kept = this.#current.snapshot();
    const { core, inner } = this;
    // After the headers were sent no cookie can be removed. The session ends all the same.
    if (inner.token && !inner.progress.canSetCookie) this.#revoked = inner.token.id;
    else core.signOut();
    this.#current.detach(kept);
    // An id is for one session, also where nothing of it was stored.
    renewId(inner, undefined);
  }

  async reload(): Promise<void> {
    const { inner } = this;
    if (!inner.token || inner.isSignedOut) throw new Error(NOT_FOUND);
    await this.core.reload();
    if (!inner.token) throw new Error(NOT_FOUND);
    // The object before stays one of this session: who has kept it may go on with it, or end the session by it.
    this.install(this.#current);
  }

  async store(isAwaited: boolean): Promise<void> {
    const revoked = this.#revoked;
    this.#revoked = undefined;
    if (this.req.session && !revoked) this.#applyChanges();
    try {
      if (revoked) return void (await storedUsers.revoke(this.context, revoked, undefined));
      if (isAwaited) await this.core.save();
      else await commit(this.inner, "unawaited");
    } catch (error) {
      if (!isAwaited) this.context.emitter.emit("error", { id: this.inner.id, error });
      throw error;
    }
  }

  // Before the response

  /** Called when the headers are about to be sent: the commit follows. */
  beforeStoring(): void {
    const { inner, options } = this;
    if (!inner.isLoaded) return;
    const { session, sessionID } = this.req;
    if (session === null || session === undefined) {
      if (options.unsetDestroys && (inner.token || inner.changes.hasDataChanges)) this.core.signOut();
      else if (!inner.isSignedOut) this.#forget();
      return;
    }
    // Another session's object would look stored, and is not.
    if (findBacking(session) !== this.#current) throw new TypeError(REPLACED);
    if (typeof sessionID !== "string") return this.#forget();
    if (inner.changes.isSetAside) return;
    // A user in data that are not stored is not signed in.
    inner.changes.dropSetAside();
    if (inner.progress.isAccessed || this.#cookie) this.#applyChanges();
    const isNew = !inner.token && inner.tokenStatus !== "superseded";
    if (isNew && options.saveUninitialized) {
      this.#checkCookie();
      inner.progress.markAccessed();
      this.#keepCookie();
      inner.changes.request({ lifetime: this.#lifetime });
    }
  }

  /** The request has no session any more: nothing of it is stored. */
  #forget(): void {
    this.inner.changes.forget();
    this.core.passive = true;
  }

  #applyChanges(): void {
    const { core, inner, options } = this;
    this.#checkCookie();
    const isChanged = this.#keepCookie();
    const isNew = core.isNew;
    const userId = options.userId(core.data);
    if (userId !== core.userId && !this.#isKeptUser(userId)) {
      if (userId === undefined) {
        // Nobody is signed in any more: the data go on in another session, which nobody's list shows.
        const data = core.toJSON();
        core.signOut();
        Object.assign(core.data, data);
        inner.changes.request({ lifetime: this.#lifetime });
      } else {
        const changed = isAnotherUser(inner, userId) ? this.#changedData : {};
        this.#hasSignedInByData = true;
        core.signIn(userId);
        const { signIn } = inner.changes.requested;
        inner.changes.request({ signIn: { ...signIn!, ...this.#lifetime } });
        // Another user is in an object of before, of which that user sees nothing else.
        if (options.userId(core.data) !== userId) Object.assign(core.data, changed);
      }
      this.req.sessionID = inner.id;
    } else if (isChanged || (isNew && this.#hasOwnLifetime && inner.changes.hasDataChanges)) {
      inner.changes.request({ lifetime: this.#lifetime });
    }
  }

  /** Who has signed in by `signIn()` alone, and not by the data, goes on being signed in. */
  #isKeptUser(userId: string | undefined): boolean {
    const { loaded } = this.inner;
    if (userId !== undefined || this.#hasSignedInByData) return false;
    return !loaded || this.options.userId(decode(loaded.record.data)) === undefined;
  }

  /** The data under the keys that this request has changed. */
  get #changedData(): Dictionary {
    const stored = decode(this.inner.loaded!.record.data);
    const isChanged = ([key, value]: [string, unknown]) => JSON.stringify(value) !== JSON.stringify(stored[key]);
    return Object.fromEntries(Object.entries(this.core.toJSON()).filter(isChanged));
  }

  /** @throws TypeError for an attribute that a browser would refuse, before anything is stored. */
  #checkCookie(): void {
    if (!this.#cookie && !this.options.isDynamic) return;
    this.hasBadCookie = true;
    setCookie(this.options.name, "", this.cookie);
    this.hasBadCookie = false;
  }

  /** Keeps the settings of the cookie with the data, if the handler has changed them. */
  #keepCookie(): boolean {
    const cookie = this.#cookie;
    if (!cookie) return false;
    const settings = settingsOf(cookie);
    const text = JSON.stringify(settings);
    if (text === this.#settings) return false;
    this.#settings = text;
    this.inner.access();
    const { data } = this.inner.changes.journal;
    const differing = Object.entries(settings).filter(
      ([name, value]) => this.options.defaults[name as never] !== value,
    );
    if (differing.length > 0) data[COOKIE_KEY] = Object.fromEntries(differing);
    else delete data[COOKIE_KEY];
    return true;
  }

  /** The timeouts of this session: its cookie's lifetime is the idle timeout. */
  get #lifetime(): Lifetime {
    const { originalMaxAge } = this.cookie;
    const { idle, absolute } = this.context.timeouts;
    if (originalMaxAge === null || originalMaxAge === this.options.defaults.originalMaxAge)
      return { idle: undefined, absolute: undefined };
    const own = Math.max(1, Math.ceil(originalMaxAge) || 1);
    if (own === idle) return { idle: undefined, absolute: undefined };
    return { idle: own, absolute: own > absolute ? own : undefined };
  }

  /** An adopted session lives on as long as its cookie, though nobody knows how long ago it has begun. */
  get #formerLifetime(): Lifetime {
    const { idle } = this.#lifetime;
    const { timeouts, now } = this.context;
    const { signedInAt, createdAt } = this.inner.loaded!.record;
    const needed = now() - (signedInAt ?? createdAt) + (idle ?? timeouts.idle);
    return { idle, absolute: needed > timeouts.absolute ? needed : undefined };
  }

  get #hasOwnLifetime(): boolean {
    return (this.#cookie !== undefined || this.options.isDynamic) && this.#lifetime.idle !== undefined;
  }
}

/** Whether a cookie can have these settings. */
function isCookie(settings: KeptSettings): boolean {
  try {
    return setCookie("cookie", "", new Cookie(settings)) !== "";
  } catch {
    return false;
  }
}

const REPLACED =
  'req.session was replaced by an object that is not the session of this request: req.session = null ends it under unset: "destroy"; put data into req.session';

interface Kept {
  readonly data: Dictionary;
  readonly id: string;
  cookie: Cookie;
}

/** One object of `req.session`. After another has taken its place, it has the data of that moment. */
class RequestBacking implements Backing {
  readonly #state: RequestState;
  #kept: Kept | undefined;

  constructor(state: RequestState) {
    this.#state = state;
  }

  get request(): SessionRequest {
    return this.#state.req;
  }

  get id(): string {
    return this.#kept?.id ?? this.#state.core.id;
  }

  get data(): Dictionary {
    return this.#kept?.data ?? this.#state.core.data;
  }

  get cookie(): Cookie {
    return this.#kept?.cookie ?? this.#state.cookie;
  }

  set cookie(cookie: Cookie) {
    if (this.#kept) this.#kept.cookie = cookie;
    else this.#state.cookie = cookie;
  }

  snapshot(): Kept {
    const { inner, cookie } = this.#state;
    // It is no use of the session, which would be too late after the headers.
    const data = inner.changes.journal.toJSON();
    return { data: Object.assign(Object.create(null) as Dictionary, data), cookie, id: inner.id };
  }

  detach(kept: Kept): void {
    this.#kept ??= kept;
  }

  keep(): void {
    if (!this.#kept) this.#state.keep();
  }

  /** The request's session ends, also by an object of before `regenerate()`: nobody may take a live session for an ended one. */
  destroy(): void {
    this.#state.end();
    delete this.#state.req.session;
  }

  regenerate(): void {
    this.#state.end();
    this.#state.install();
  }

  reload(): Promise<void> {
    return this.#state.reload();
  }

  store(isAwaited: boolean): Promise<void> {
    return this.#state.store(isAwaited);
  }
}
