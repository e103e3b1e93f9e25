import { timingSafeEqual } from "node:crypto";
import { EMPTY } from "../changes/journal.ts";
import type { Context } from "../context.ts";
import { SessionError } from "../errors.ts";
import { tokenStatus, type TokenStatus } from "../lifecycle/decisions.ts";
import { keptBy } from "../lifecycle/plan.ts";
import type { Match } from "../lifecycle/rotation.ts";
import { extendedEnd } from "../lifecycle/timeouts.ts";
import { loadLatest } from "../record/load.ts";
import type { Client, LoadedRecord, SessionRecord } from "../record/record.ts";
import { hashSecret, type Token } from "../record/token.ts";
import { createRandomPart } from "../random.ts";
import type { WatchedSignal } from "../signals.ts";
import { Deadline } from "../deadline.ts";
import { rejecting, run, type Answer, type Coroutine } from "../coroutine.ts";
import { warnOnce } from "../warnings.ts";
import { clientRequest } from "./client.ts";
import { OutgoingCookie } from "./outgoing-cookie.ts";
import { PendingChanges, type Requested, type SignIn } from "./pending-changes.ts";
import {
  matchOf,
  openSession,
  hasTokenLike,
  isAccepted,
  presentedIn,
  type OpenedSession,
  type Presented,
} from "./presented-tokens.ts";
import {
  claimsHttps,
  cookieHeader,
  canHaveBody,
  hasResponseEnded,
  isSecure,
  isWebSocketRequest,
  onResponseEnd,
  routeOf,
  reportsNormalEnd,
  type AnyRequest,
  type CloseSource,
} from "./request.ts";
import { canSetCookie, isAttached, isWritten, type LiveState, type ResponseState, type SessionState } from "./state.ts";

/** Requests that signed in and never ended are forgotten beyond this many. */
const MAX_MOVES = 1000;

/** Time after an access to an answered request's session, within which `save()` has to be called. */
const LATE_CHECK_MS = 1000;

/** Checks of one request, after which a response that has not told its end is left alone: its own end stores the changes. */
const MAX_LATE_CHECKS = 60;

const DONE = Promise.resolve();

/** One request's session, from the cookie that came to the cookie that goes. All transitions of its states are here. */
export class RequestSession {
  readonly context: Context;
  readonly changes: PendingChanges;
  readonly cookie: OutgoingCookie;
  readonly #request: AnyRequest;
  #state: SessionState;
  #response: ResponseState = "open";
  #loading: Promise<void> | undefined;
  #committing: Promise<void> | undefined;
  #watching: WatchedSignal | undefined;
  /** The first id that the cookie named, for events about a session that is not live. */
  #presentedId: string | undefined;
  /** The id that a new session will have. */
  #newId: string | undefined;
  #isAccessed = false;
  #isPersonal = false;
  #isClaimed = false;
  /** Somebody waits for the end of a connection of its own. */
  #expectsClose = false;
  #isClosed = false;
  #lateCheck: NodeJS.Timeout | undefined;
  #lateChecks = 0;

  /** The request does not extend its session: polling, for example. */
  passive = false;
  /** Its `close` event says that the response is done. An adapter sets it. */
  response: CloseSource | undefined;
  /** Gives the client's address, where a server of fetch handlers tells it. An adapter sets it. */
  besideAddress: (() => string | undefined) | undefined;

  constructor(context: Context, request: AnyRequest) {
    this.context = context;
    this.#request = request;
    this.changes = new PendingChanges(
      () => this.loaded?.record ?? EMPTY,
      context.limits,
      (isWrite, isForgotten) => this.#useData(isWrite, isForgotten),
      (signIn) => keptBy(this, signIn),
    );
    this.cookie = new OutgoingCookie(context);
    const header = cookieHeader(request);
    const presented = header ? presentedIn(context, header, this.isSecure) : undefined;
    this.#state = presented ? { kind: "unread", presented } : { kind: "none", tokenStatus: "anonymous" };
  }

  // The session's state

  get tokenStatus(): TokenStatus {
    const state = this.#state;
    if (state.kind === "live") return "live";
    return state.kind === "none" ? state.tokenStatus : "anonymous";
  }

  get isLoaded(): boolean {
    return this.#state.kind !== "unread" && this.#state.kind !== "unreadable";
  }

  /** The error of a store that could not be read. */
  get loadError(): unknown {
    return this.#state.kind === "unreadable" ? this.#state.error : undefined;
  }

  get #live(): LiveState | undefined {
    return this.#state.kind === "live" ? this.#state : undefined;
  }

  /** The token of the live session. */
  get token(): Token | undefined {
    return this.#live?.token;
  }

  get loaded(): LoadedRecord | undefined {
    return this.#live?.loaded;
  }

  get isTokenByPreviousKey(): boolean {
    return this.#live?.isTokenByPreviousKey === true;
  }

  /** The handler has signed out: from then on it has a new session, which is stored if it changes. */
  get isSignedOut(): boolean {
    return this.#state.kind === "signedOut" || this.changes.requested.signOut !== undefined;
  }

  /** The record that the handler sees. */
  get visibleRecord(): SessionRecord | undefined {
    return this.changes.requested.signOut ? undefined : this.loaded?.record;
  }

  /** The id of the live session, or the one that a new session will have. */
  get id(): string {
    const { signIn, signOut } = this.changes.requested;
    return signIn?.id ?? (signOut ? this.#idOfNew : this.storedId);
  }

  /** The id under which the store has the session, or will have a new one. */
  get storedId(): string {
    return this.token?.id ?? this.#idOfNew;
  }

  get #idOfNew(): string {
    return (this.#newId ??= createRandomPart());
  }

  /** The id that the request came with. */
  get presentedId(): string {
    return this.token?.id ?? this.#presentedId ?? this.id;
  }

  get expiresAt(): number {
    const { signIn } = this.changes.requested;
    if (this.visibleRecord && !signIn) return this.loaded!.expiresAt;
    const now = this.context.now();
    return extendedEnd(now, { createdAt: now, ...signIn, signedInAt: signIn && now }, this.context.timeouts);
  }

  /**
   * Reads the session. Several layers of an application may call it: the store is asked once. `undefined` where there is
   * nothing to wait for.
   *
   * @throws only by the promise.
   */
  load(): Promise<void> | undefined {
    const state = this.#state;
    if (state.kind === "unreadable") return Promise.reject(state.error);
    if (state.kind !== "unread") return undefined;
    return (this.#loading ??= rejecting(() => run(this.#load(state.presented))) as Promise<void> | undefined);
  }

  *#load(presented: readonly Presented[]): Coroutine<void> {
    this.#presentedId = presented[0]!.token.id;
    try {
      this.#state = yield* this.#read(presented);
    } catch (error) {
      this.#state = { kind: "unreadable", error };
      throw error;
    }
  }

  *#read(presented: readonly Presented[]): Coroutine<SessionState> {
    const deadline = new Deadline(this.context.storeTimeout);
    const ids = new Set(presented.map(({ token }) => token.id));
    const live: OpenedSession[] = [];
    let status: Exclude<TokenStatus, "live"> = "anonymous";
    for (const id of ids) {
      const own = presented.filter(({ token }) => token.id === id);
      const opened = yield* openSession(this.context, id, own, deadline, () => this.client);
      if (opened?.tokenStatus === "live") live.push(opened);
      else if (opened && status === "anonymous") status = opened.tokenStatus;
    }
    this.#isPersonal = live.length > 0;
    const [one, another] = live;
    if (one && !another) return liveState(one);
    // Two live sessions in one request: somebody planted one. Neither is believed.
    return { kind: "none", tokenStatus: another ? "anonymous" : status };
  }

  /** Reads the session anew. Changes that were not stored are forgotten. */
  async reload(): Promise<void> {
    await this.#committing?.catch(() => {});
    const { context, token } = this;
    this.changes.forget();
    if (!token) return;
    const loaded = await loadLatest(context, token.id, new Deadline(context.storeTimeout));
    // A connection may outlive its token's rotation, but not a sign-in that invalidated the token.
    const isSame = loaded?.record.epoch === token.epoch;
    const now = context.now();
    if (isSame && tokenStatus(loaded.record, loaded.expiresAt, "current", now, context.timeouts) === "live") {
      this.#updateLoaded(loaded);
      return;
    }
    this.detach();
    context.live.recheck(token.id);
  }

  /** The session was stored like this. */
  continueFrom(token: Token, loaded: LoadedRecord): void {
    if (token.id !== this.token?.id) this.#watching?.moveTo(token.id);
    const before = token === this.token ? this.#live : undefined;
    this.#state = { kind: "live", isTokenByPreviousKey: false, ...before, token, loaded };
    // An id is never used twice: after a sign-out another session may begin.
    this.#newId = undefined;
  }

  /** The store has extended the session. */
  extended(expiresAt: number): void {
    this.#updateLoaded({ ...this.loaded!, expiresAt });
  }

  #updateLoaded(loaded: LoadedRecord): void {
    if (this.#live) this.#state = { ...this.#live, loaded };
  }

  /** The response issues the token anew, by the current key. */
  renewedToken(): void {
    if (this.#live) this.#state = { ...this.#live, isTokenByPreviousKey: false };
  }

  /** The sign-out was carried out. */
  signedOut({ signOut }: Requested): void {
    this.#state = { kind: "signedOut" };
    if (signOut) this.changes.markDone({ signOut });
  }

  /**
   * Another request has ended the session or replaced its token. This request's changes are forgotten, and it may not set
   * the cookie, unless it signs in.
   */
  detach(): void {
    this.#state = { kind: "none", tokenStatus: "superseded" };
    const { signOut } = this.changes.requested;
    if (signOut) this.changes.markDone({ signOut });
    this.changes.forgetData();
    this.cookie.withdraw();
  }

  // Calls of the handler

  /** Signs in at the next commit. The session has its new id at once, so that the handler can use it. */
  signIn(asked: Omit<SignIn, "id">): void {
    // A commit under way may be storing the session under the other id already.
    const isStored = this.#moves || this.#committing !== undefined;
    const id = isStored ? createRandomPart() : this.id;
    this.changes.request({ signIn: { ...asked, id } });
    this.#announceMove(id);
  }

  /** Signs out at the next commit. Without a live session only this request's changes are forgotten. */
  signOut(): void {
    // A commit under way may be storing a session that has to end.
    if (this.token || this.#committing) this.changes.signOut();
    else this.changes.forget();
  }

  /** A sign-in moves the live session to another id, unless it is signed out first. */
  get #moves(): boolean {
    return this.token !== undefined && !this.changes.requested.signOut;
  }

  #announceMove(id: string): void {
    if (!this.#moves || !this.token) return;
    const { moves } = this.context;
    moves.set(id, this.token.id);
    if (moves.size > MAX_MOVES) for (const oldest of moves.keys()) return void moves.delete(oldest);
  }

  /** Takes another id for the next attempt, since a failed commit may have stored a session under this one. */
  renewId(signIn: SignIn | undefined): void {
    if (!this.token) this.#newId = createRandomPart();
    if (!signIn) return;
    this.context.moves.delete(signIn.id);
    signIn.id = this.#moves ? createRandomPart() : this.#idOfNew;
    this.#announceMove(signIn.id);
  }

  // The token and the cookie

  /** Tells which of a record's secrets the token carries. */
  matchIn(record: SessionRecord): Match {
    const live = this.#live!;
    const secretHash = live.secretHash ?? hashSecret(live.token.secret);
    if (!live.secretHash) this.#state = { ...live, secretHash };
    return matchOf(this.context, live.token, secretHash, record);
  }

  /** The successor of the token: the one that the record names, or the one to be named next. */
  successor(record: SessionRecord): Token {
    const { id, secret, epoch } = this.token!;
    const { secretHash, rotation } = record;
    const named = this.matchIn(record) === "previous" ? secretHash : rotation?.next;
    const possible = this.context.keyring.successors(id, secret);
    const next = named && possible.find((one) => timingSafeEqual(hashSecret(one), named));
    return { id, secret: next ?? possible[0]!, epoch };
  }

  issueCookie(token = this.token!): void {
    if (!this.isSecure) this.#warnOfUntrustedProxy();
    if (this.#presentedId === undefined) this.#warnOfForeignCookie();
    this.cookie.issue(token, this.loaded!.record, this.isSecure);
  }

  #warnOfUntrustedProxy(): void {
    if (!claimsHttps(this.#request)) return;
    warnOnce(
      "SOJOURN_UNTRUSTED_PROXY",
      "",
      "A request by HTTP says in X-Forwarded-Proto or Forwarded that its client used HTTPS. That is not believed, and the " +
        "cookie goes out without Secure: set trustProxy to true if a proxy of yours sets that header, and the framework's own option, if it has one",
    );
  }

  #warnOfForeignCookie(): void {
    const header = cookieHeader(this.#request);
    if (!header || !hasTokenLike(this.context, header, this.isSecure)) return;
    const { baseName } = this.context.cookie;
    warnOnce(
      "SOJOURN_FOREIGN_COOKIE",
      baseName,
      `A cookie named ${baseName} arrived that none of the secret keys has signed, and it is replaced now. If another application ` +
        "on this host uses the same name, the two sign each other's users out: give each its own cookie.name. After a change of the " +
        "secret key, keep the old one in the list",
    );
  }

  /**
   * Withdraws a cookie that has waited for the response since `save()`, if another request has signed in or out meanwhile:
   * this cookie would undo it.
   */
  async recheckCookie(): Promise<void> {
    const { context, token } = this;
    if (this.cookie.pending === undefined || !token || this.isSignedOut) return;
    try {
      const loaded = await loadLatest(context, token.id, new Deadline(context.storeTimeout));
      if (loaded && isAccepted(this.matchIn(loaded.record))) return;
      this.detach();
    } catch (error) {
      // The session was stored. Nothing says that it has ended.
      context.emitter.emit("error", { id: token.id, error });
    }
  }

  // The response's state

  get canSetCookie(): boolean {
    return canSetCookie(this.#response);
  }

  get isWritten(): boolean {
    return isWritten(this.#response);
  }

  get isAttached(): boolean {
    return isAttached(this.#response);
  }

  get hasFailed(): boolean {
    return this.#response === "failed";
  }

  /** From here on the response's commit decides the cookie. */
  beginResponse(): void {
    this.#response = "committing";
  }

  failResponse(): void {
    this.#response = "failed";
    // The client is told of these. Later changes are told apart.
    this.changes.setAside(this.changes.requested);
  }

  /** The headers are written. */
  writeResponse(): void {
    this.#response = this.isAttached ? "attachedAndWritten" : "written";
    if (this.changes.hasGivenObjects && this.context.lateChecks()) this.#expectLateChange();
  }

  /** A copy of the response is written once more: its headers have not left. */
  reopenResponse(): void {
    if (this.isWritten && !this.isAttached) this.#response = "open";
  }

  /** The last byte of a fetch response is out. */
  endResponse(): void {
    if (this.#response === "written") this.#response = "ended";
    this.releaseSignal();
  }

  get #hasEnded(): boolean {
    const { response } = this;
    if (this.#isClosed || this.#response === "ended" || response?.writableEnded === true) return true;
    return (response !== undefined || this.isAttached) && hasResponseEnded(this.#request, response);
  }

  /** There is no response, or none whose headers could set a cookie. If there is one, it is personal. */
  attach(): void {
    if (!this.isAttached) this.#response = this.isWritten ? "attachedAndWritten" : "attached";
    this.#isAccessed = true;
  }

  /** The request asks for a WebSocket. */
  get isUpgrade(): boolean {
    return isWebSocketRequest(this.#request);
  }

  /** Makes the first adapter responsible for the response. `false` for one that is mounted within it. */
  claim(): boolean {
    if (this.#isClaimed) return false;
    this.#isClaimed = true;
    return true;
  }

  /** The request came with a live session: the response may be made for its user alone. */
  get isPersonal(): boolean {
    return this.#isPersonal;
  }

  /** The handler has used the session: the response may depend on the cookie. */
  get isAccessed(): boolean {
    return this.#isAccessed;
  }

  /** The response depends on the cookie, whether the handler uses the session or not. */
  markAccessed(): void {
    this.#isAccessed = true;
  }

  /**
   * The handler uses the session: the response may depend on the cookie, and its headers have to say so to caches.
   *
   * @throws SessionError ERR_SESSION_HEADERS_SENT at a first access after the headers were sent.
   */
  access(): void {
    if (this.#isAccessed) {
      if (!this.canSetCookie) this.#expectLateChange();
      return;
    }
    // The headers may have left without our knowledge, as those of a hijacked reply.
    const isTooLate = this.isWritten || (this.canSetCookie && this.response?.headersSent === true);
    if (isTooLate && !this.#hasEnded) {
      throw new SessionError(
        "ERR_SESSION_HEADERS_SENT",
        "The session was used for the first time after the response's headers were sent, so that caches were not told of " +
          "it: use it before the first byte, or give the adapter { personal: true }, or a function of the request, for such routes",
      );
    }
    this.#isAccessed = true;
    if (isTooLate) this.#expectLateChange();
  }

  /** The handler uses data that it may have kept since before the response, or since before a sign-out. */
  #useData(isWrite: boolean, isForgotten: boolean): void {
    if (!isForgotten) {
      if (!this.canSetCookie) this.#expectLateChange();
    } else if (isWrite) {
      if (!this.#hasEnded && !this.isWritten) {
        throw new TypeError(
          "These data were given up, by signOut(), reload() or a sign-out elsewhere, and a change of them would be lost: " +
            "read session.data anew",
        );
      }
      this.#reportDropped(this.#lateness);
    }
  }

  /** Nothing stores a change that comes after the response by itself: a moment later it is stored by `save()`, or lost. */
  #expectLateChange(): void {
    if (this.isAttached && !this.#hasEnded) return this.#expectClose();
    if (this.#lateCheck) return;
    this.#lateCheck = setTimeout(() => {
      this.#lateCheck = undefined;
      const isOpen = !this.#hasEnded || this.#committing !== undefined;
      this.#lateChecks += 1;
      // A commit under way may store it, or have begun before it. Some responses never tell that they have ended.
      if (isOpen) {
        if (this.#lateChecks < MAX_LATE_CHECKS) this.#expectLateChange();
      } else if (this.hasLateChanges) this.dropLateChanges(this.#lateness);
    }, LATE_CHECK_MS);
    this.#lateCheck.unref?.();
  }

  /** In a connection of its own a change may wait for `save()` for as long as the connection is open. */
  #expectClose(): void {
    if (this.#expectsClose) return;
    this.#expectsClose = true;
    onResponseEnd(this.#request, this.response, () => {
      this.#isClosed = true;
      this.#expectLateChange();
    });
  }

  get #lateness(): string {
    return this.isAttached ? "in a connection that closed before session.save()" : "after its response had ended";
  }

  /** There are changes, of which none can be stored with the response any more. */
  get hasLateChanges(): boolean {
    try {
      return this.changes.hasDataChanges;
    } catch {
      // A value that can't be kept is one that was not there.
      return true;
    }
  }

  /** Reports changes that nobody stores any more. @param when - the end of "The session was changed …". */
  dropLateChanges(when: string): void {
    this.changes.forget();
    this.#reportDropped(when);
  }

  #reportDropped(when: string): void {
    this.context.emitter.emit("dropped", { id: this.id, userId: this.loaded?.record.userId, reason: "late" });
    const route = routeOf(this.#request);
    warnOnce(
      "SOJOURN_LATE_CHANGE",
      route,
      `${route}: the session was changed ${when}, and the change is lost. Change it before the response, or, where the session is stored already, call await session.save() after the change`,
    );
  }

  /** A visitor's request that never used its session: there is nothing to decide. */
  get isUntouched(): boolean {
    return !this.#isAccessed && this.token === undefined;
  }

  // Commits

  get committing(): Promise<void> | undefined {
    return this.#committing;
  }

  /** Runs a commit. Others of this request wait for it. `undefined` where it was done at once. */
  runCommit(commit: () => Answer<void>): Promise<void> | undefined {
    // A listener of the commit's events may begin another one before this one has returned.
    this.#committing = DONE;
    const answer = commit();
    this.#committing = undefined;
    if (!(answer instanceof Promise)) return undefined;
    this.#committing = answer.finally(() => {
      this.#committing = undefined;
    });
    return this.#committing;
  }

  // The request

  get isSecure(): boolean {
    return isSecure(this.#request, this.context.trustProxy);
  }

  /** The application's description of the client. */
  get client(): Client | undefined {
    try {
      return this.context.client(clientRequest(this.#request, this.context.trustProxy, this.besideAddress?.()));
    } catch (error) {
      // The application's mistake must keep nobody from signing in, and no replay from being reported.
      this.context.emitter.emit("error", { id: this.id, error });
      return undefined;
    }
  }

  /** A signal that aborts when the session ends. It is released when the request's connection is done. */
  get signal(): AbortSignal {
    return this.#watching?.signal ?? this.#watch();
  }

  #watch(): AbortSignal {
    if (this.isSignedOut) return AbortSignal.abort();
    // Without a session nothing ends, and after the end nobody listens.
    if (!this.token || hasResponseEnded(this.#request, this.response)) return new AbortController().signal;
    if (this.#response === "written" && !reportsNormalEnd(this.#request, this.response)) {
      throw new TypeError(
        "session.signal was asked for after the response was returned, and nothing tells when that ends: ask for it before",
      );
    }
    this.#watching = this.context.live.watch(this.token.id, () => this.token?.epoch);
    onResponseEnd(this.#request, this.response, this.#watching.release);
    return this.#watching.signal;
  }

  /** Whether the response to this request has a body that somebody reads. */
  get expectsBody(): boolean {
    return canHaveBody(this.#request);
  }

  /** Nobody listens to the signal any more. */
  releaseSignal(): void {
    this.#watching?.release();
  }
}

function liveState({ token, secretHash, tokenByPreviousKey, loaded }: OpenedSession): LiveState {
  return { kind: "live", token, secretHash, isTokenByPreviousKey: tokenByPreviousKey, loaded };
}
