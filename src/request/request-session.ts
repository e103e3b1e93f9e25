import { EMPTY, type Content } from "../changes/journal.ts";
import type { Context } from "../context.ts";
import type { TokenStatus } from "../lifecycle/decisions.ts";
import { keptBy } from "../lifecycle/plan.ts";
import type { Match } from "../lifecycle/rotation.ts";
import { extendedEnd } from "../lifecycle/timeouts.ts";
import type { Client, LoadedRecord, SessionRecord } from "../record/record.ts";
import { createToken, hashSecret, type Token } from "../record/token.ts";
import { createRandomPart } from "../random.ts";
import { andThen, isPromise, rejecting, run, wait, type Answer, type Coroutine } from "../coroutine.ts";
import { adopt, formerIn } from "../lifecycle/adopt.ts";
import { removeFormer, removePresent } from "./former-cookies.ts";
import type { BearerRequest } from "./bearer.ts";
import { ClosedResponse } from "./closed-response.ts";
import { IncomingRequest } from "./incoming-request.ts";
import { diagnoseIssuedCookie } from "./issued-cookie.ts";
import { LateChanges } from "./late-changes.ts";
import { OutgoingCookie, tokenInCookie } from "./outgoing-cookie.ts";
import { PendingChanges, type ChangedSession, type Requested, type SignIn } from "./pending-changes.ts";
import {
  matchOf,
  openPresented,
  presentedIn,
  successorOf,
  type Presented,
  type PresentedLater,
} from "./presented-tokens.ts";
import type { AnyRequest, PlainRequest } from "./request.ts";
import { ResponseProgress } from "./response-progress.ts";
import { SessionSignal } from "./session-signal.ts";
import type { LiveState, SessionState } from "./state.ts";

/** Requests that signed in and never ended are forgotten beyond this many. */
const MAX_MOVES = 1000;

const DONE = Promise.resolve();
const NONE: readonly string[] = [];

/** One request's session, from the cookie that came to the cookie that goes. All transitions of its states are here. */
export class RequestSession implements ChangedSession {
  readonly context: Context;
  readonly changes: PendingChanges;
  cookie: OutgoingCookie;
  readonly progress: ResponseProgress;
  readonly request: IncomingRequest;
  #state: SessionState;
  #loading: Promise<void> | undefined;
  #committing: Promise<void> | undefined;
  #signal: SessionSignal | undefined;
  /** The first id that the cookie named, for events about a session that is not live. */
  #presentedId: string | undefined;
  /** The token that a new session will have. */
  #newToken: Token | undefined;
  #lateChanges: LateChanges | undefined;
  #closedResponse: ClosedResponse | undefined;

  /** The request does not extend its session: polling, for example. */
  passive = false;
  /** The request has adopted its session, which keeps the former one's time of expiry until the next request. */
  hasAdopted = false;
  /** The session may come in the header Authorization. */
  bearer: BearerRequest | undefined;

  constructor(shared: Context, raw: AnyRequest, innermost: PlainRequest) {
    const request = (this.request = new IncomingRequest(raw, innermost, shared.trustProxy));
    const header = request.cookieHeader;
    const held = shared.clientSide?.begin(shared, header, request.isSecure);
    const context = held ? { ...shared, store: held.store } : shared;
    this.context = context;
    this.progress = new ResponseProgress(raw);
    this.changes = new PendingChanges(this, context.limits);
    this.cookie = held?.cookie ?? new OutgoingCookie(context, tokenInCookie);
    const presented = held ? held.presented : header ? presentedIn(context, header, request.isSecure) : undefined;
    const mayAdopt = shared.former !== undefined && header !== undefined;
    this.#state = presented || mayAdopt ? { kind: "unread", presented } : { kind: "none", tokenStatus: "anonymous" };
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

  /** The ids of the request's tokens whose sessions others have ended. */
  get endedIds(): readonly string[] {
    return (this.#state.kind === "none" && this.#state.endedIds) || NONE;
  }

  /** The handler has signed out: from then on it has a new session, which is stored if it changes. */
  get isSignedOut(): boolean {
    return this.#state.kind === "signedOut" || this.changes.requested.signOut !== undefined;
  }

  /** The record that the handler sees. */
  get visibleRecord(): SessionRecord | undefined {
    return this.changes.requested.signOut ? undefined : this.loaded?.record;
  }

  get storedContent(): Content {
    return this.loaded?.record ?? EMPTY;
  }

  /** The keys of the former data that a sign-in keeps. `undefined`: all. */
  keptBy(signIn: SignIn): readonly string[] | undefined {
    return keptBy(this, signIn);
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
    return (this.#newToken ??= createToken()).id;
  }

  /** The token of a session that is stored for the first time, under this id. */
  newToken(id: string): Token {
    return this.#newToken?.id === id ? this.#newToken : { id, secret: createRandomPart(), epoch: 1 };
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
    return (this.#loading ??= this.#open(state.presented) as Promise<void> | undefined);
  }

  #open(presented: readonly Presented[] | PresentedLater | undefined): Answer<void> {
    const { tracing } = this.context;
    if (!tracing) return this.#load(presented);
    const id = typeof presented === "object" ? presented[0]!.token.id : undefined;
    return rejecting(() =>
      tracing.run(
        "open",
        { id },
        () => this.#load(presented),
        () => ({ status: this.tokenStatus }),
      ),
    );
  }

  /** Throws only by the promise. */
  #load(given: readonly Presented[] | PresentedLater | undefined): Answer<void> {
    try {
      const presented = typeof given === "function" ? given() : given;
      const opening = presented ? this.#openPresented(presented) : run(this.#adopt());
      return isPromise(opening) ? opening.catch((error: unknown) => this.#failLoad(error)) : undefined;
    } catch (error) {
      return rejecting(() => this.#failLoad(error));
    }
  }

  #failLoad(caught: unknown): never {
    const error = this.bearer?.explain(caught) ?? caught;
    this.#state = { kind: "unreadable", error };
    throw error;
  }

  #openPresented(presented: readonly Presented[]): Answer<void> {
    this.#presentedId = presented[0]!.token.id;
    return andThen(openPresented(this.context, presented, this), ({ state, isPersonal }) => {
      this.#state = state;
      this.progress.isPersonal = isPersonal;
    });
  }

  /** Goes on with a former library's session, where the request has the cookie of one. */
  *#adopt(): Coroutine<void> {
    const found = formerIn(this.context, this.request.cookieHeader);
    const adopted = found.length > 0 ? yield* wait(adopt(this.context, found, () => this.client)) : undefined;
    this.#state = adopted?.state ?? { kind: "none", tokenStatus: "anonymous" };
    if (!adopted) return;
    this.progress.isPersonal = true;
    this.hasAdopted = adopted.isNew;
    // Without the cookie, the next request with the former one goes on with the same session.
    if (!this.progress.canSetCookie) return;
    this.cookie.clearFormer(removeFormer(this.context, adopted.sources, this.request.isSecure));
    if (this.#live) this.issueCookie();
  }

  /** The handler has used the session, or is about to: it can't become another one. */
  get isInUse(): boolean {
    return this.progress.isAccessed || (this.#state.kind === "unread" && this.#loading !== undefined);
  }

  /** The header Authorization counts: beside the cookie, or in place of it where `cookie` is given. */
  useBearer(bearer: BearerRequest, cookie?: OutgoingCookie, presented?: readonly Presented[]): void {
    this.bearer = bearer;
    if (!cookie) return;
    this.cookie = cookie;
    this.progress.isPersonal = false;
    this.#loading = this.#presentedId = undefined;
    this.#state = presented ? { kind: "unread", presented } : { kind: "none", tokenStatus: "anonymous" };
  }

  /** Which session it would be is not clear: each use of it throws this error. */
  refuse(error: unknown): void {
    this.#state = { kind: "unreadable", error };
  }

  /** The session was stored like this. */
  continueFrom(token: Token, loaded: LoadedRecord): void {
    if (token.id !== this.token?.id) this.#signal?.moveTo(token.id);
    const before = token === this.token ? this.#live : undefined;
    const isTokenByPreviousKey = before?.isTokenByPreviousKey === true;
    this.#state = { kind: "live", token, secretHash: before?.secretHash, isTokenByPreviousKey, loaded };
    // An id is never used twice: after a sign-out another session may begin.
    this.#newToken = undefined;
  }

  /** The store has extended the session. */
  extended(expiresAt: number): void {
    this.refreshed({ ...this.loaded!, expiresAt });
  }

  /** The store has the live session like this by now. */
  refreshed(loaded: LoadedRecord): void {
    if (this.#live) this.#state = { ...this.#live, loaded };
  }

  /** The response issues the token anew, by the current key. */
  renewedToken(): void {
    if (this.#live) this.#state = { ...this.#live, isTokenByPreviousKey: false };
  }

  /** The sign-out was carried out. A request that may not set the cookie still may not. */
  signedOut({ signOut }: Requested): void {
    this.#state =
      this.tokenStatus === "superseded" ? { kind: "none", tokenStatus: "superseded" } : { kind: "signedOut" };
    if (signOut) this.changes.markDone({ signOut });
  }

  /**
   * Another request has ended the session or replaced its token. This request's changes are forgotten, and it may not set
   * the cookie, unless it signs in.
   */
  detach(reason: "ended" | "superseded"): void {
    const endedIds = reason === "ended" && this.token ? [this.token.id] : undefined;
    this.#state = { kind: "none", tokenStatus: "superseded", endedIds };
    // A new session that was stored under it may have been dropped, and its deletion may come late.
    this.#newToken = undefined;
    const { signOut } = this.changes.requested;
    if (signOut) this.changes.markDone({ signOut });
    this.changes.forgetData();
    this.cookie.withdraw();
  }

  // Calls of the handler

  /** Signs in at the next commit. The session has its new id at once, so that the handler can use it. */
  signIn(userId: string, { note, keep, idle, absolute }: Omit<SignIn, "userId" | "id">): void {
    // A commit under way may be storing the session under the other id already.
    const isStored = this.#moves || this.#committing !== undefined;
    const id = isStored ? createRandomPart() : this.id;
    this.watchClose();
    this.changes.request({ signIn: { id, userId, note, keep, idle, absolute } });
    this.#announceMove(id);
  }

  /** Signs out at the next commit. Without a live session only this request's changes are forgotten. */
  signOut(): void {
    this.watchClose();
    this.giveUpData();
    // A commit under way may be storing a session that has to end.
    if (this.token || this.#committing || this.endedIds.length > 0) this.changes.signOut();
    else this.changes.forget();
  }

  /** The handler is about to lose its data, and may have kept an object of them: a change in it would be lost too. */
  giveUpData(): void {
    // A commit under way may still put others' changes into these objects.
    if (this.#committing) return;
    const givenUp = this.changes.givenUp();
    if (givenUp || this.#lateChanges) this.lateChanges.watchGivenUp(givenUp);
  }

  /** Gives the client another token at the next commit. */
  rotate(): void {
    this.watchClose();
    this.changes.request({ rotate: {} });
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
    if (!this.#moves) this.#newToken = createToken();
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
    return successorOf(this.context, this.token!, this.matchIn(record), record);
  }

  issueCookie(token = this.token!, isRenewal = false): void {
    if (this.cookie.writer.writeHeader === undefined) diagnoseIssuedCookie(this, this.#presentedId === undefined);
    this.cookie.issue(token, this.loaded!.record, this.request.isSecure, isRenewal);
  }

  /** The session has ended: the response removes its cookie, and those of former libraries. */
  clearCookies(): void {
    const { cookieHeader, isSecure } = this.request;
    this.cookie.clear(isSecure);
    this.cookie.clearFormer(removePresent(this.context, cookieHeader, isSecure));
  }

  // The response

  failResponse(): void {
    this.progress.fail();
    // The client is told of these. Later changes are told apart.
    this.changes.setAside(this.changes.requested);
  }

  /** The headers are written. */
  writeResponse(): void {
    this.context.diagnose?.(this, this.request.raw);
    this.progress.write();
    if (this.changes.hasGivenObjects && this.context.lateChecks()) this.lateChanges.expect();
  }

  /** The last byte of a fetch response is out. */
  endResponse(): void {
    this.progress.end();
    this.releaseSignal();
  }

  /** The handler uses the session. @throws SessionError ERR_SESSION_HEADERS_SENT when it is too late for that. */
  access(): void {
    if (this.progress.access()) this.lateChanges.expect();
  }

  /** The handler uses data that it may have kept since before the response, or since before a sign-out. */
  useData(isWrite: boolean, isForgotten: boolean): void {
    if (isForgotten) {
      if (isWrite) this.lateChanges.refuseForgotten();
      return;
    }
    this.watchClose();
    if (!this.progress.canSetCookie) this.lateChanges.expect();
  }

  /** The handler asks for something that must not be lost where its response closes before it ends. */
  watchClose(): void {
    this.progress.reopenUnsent();
    if (this.#closedResponse) this.#closedResponse.note();
    else if (this.progress.source) this.#closedResponse = new ClosedResponse(this);
  }

  /** The changes that come after the response. */
  get lateChanges(): LateChanges {
    return (this.#lateChanges ??= new LateChanges(this));
  }

  /** A visitor's request that never used its session: there is nothing to decide. */
  get isUntouched(): boolean {
    return !this.progress.isAccessed && this.token === undefined;
  }

  // Commits

  get committing(): Promise<void> | undefined {
    return this.#committing;
  }

  /** Runs a commit. Others of this request wait for it. `undefined` where it was done at once. */
  runCommit(commit: () => Answer<unknown>): Promise<void> | undefined {
    // A listener of the commit's events may begin another one before this one has returned.
    this.#committing = DONE;
    const answer = commit();
    this.#committing = undefined;
    if (!isPromise(answer)) return undefined;
    const end = () => void (this.#committing = undefined);
    const fail = (error: unknown): never => {
      end();
      throw error;
    };
    return (this.#committing = answer.then(end, fail));
  }

  /** The application's description of the client. */
  get client(): Client | undefined {
    try {
      return this.context.client?.(this.request.forClient);
    } catch (error) {
      // The application's mistake must keep nobody from signing in, and no replay from being reported.
      this.context.emitter.emit("error", { id: this.id, error });
      return undefined;
    }
  }

  /** A signal that aborts when the session ends. It is released when the request's connection is done. */
  get signal(): AbortSignal {
    this.context.clientSide?.refuse("session.signal");
    this.#signal ??= new SessionSignal(this);
    return this.#signal.get();
  }

  /** Nobody listens to the signal any more. */
  releaseSignal(): void {
    this.#signal?.release();
  }
}
