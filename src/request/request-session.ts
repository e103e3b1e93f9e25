import { EMPTY, type Content } from "../changes/journal.ts";
import type { Context } from "../context.ts";
import type { TokenStatus } from "../lifecycle/decisions.ts";
import { keptBy } from "../lifecycle/plan.ts";
import type { Match } from "../lifecycle/rotation.ts";
import { extendedEnd } from "../lifecycle/timeouts.ts";
import type { Client, LoadedRecord, SessionRecord } from "../record/record.ts";
import { createToken, hashSecret, type Token } from "../record/token.ts";
import { createRandomPart } from "../random.ts";
import { isPromise, type Answer } from "../coroutine.ts";
import type { BearerRequest } from "./bearer.ts";
import { ClosedResponse } from "./closed-response.ts";
import { IncomingRequest } from "./incoming-request.ts";
import { LateChanges } from "./late-changes.ts";
import { OutgoingCookie, tokenInCookie } from "./outgoing-cookie.ts";
import { PendingChanges, type ChangedSession, type Requested, type SignIn } from "./pending-changes.ts";
import { matchOf, presentedIn, successorOf, type Presented } from "./presented-tokens.ts";
import type { AnyRequest, PlainRequest } from "./request.ts";
import { ResponseProgress } from "./response-progress.ts";
import type { SessionSignal } from "./session-signal.ts";
import type { LiveState, SessionState } from "./state.ts";

const DONE = Promise.resolve();
const NONE: readonly string[] = [];

/**
 * One request's session: its parts, its ids, and its state, as far as this request knows it. All transitions of that state are
 * here. `loadSession`, `commit` and the response make them.
 */
export class RequestSession implements ChangedSession {
  readonly context: Context;
  readonly changes: PendingChanges;
  cookie: OutgoingCookie;
  readonly progress: ResponseProgress;
  readonly request: IncomingRequest;
  #state: SessionState;
  #committing: Promise<void> | undefined;
  /** The token that a new session will have. */
  #newToken: Token | undefined;
  #lateChanges: LateChanges | undefined;
  #closedResponse: ClosedResponse | undefined;

  /** The store is asked, or was. Others wait for the same answer. */
  loading: Promise<void> | undefined;
  /** The first id that the cookie named, for events about a session that is not live. */
  namedId: string | undefined;
  /** What `session.signal` has given. */
  signal: SessionSignal | undefined;
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

  // The state of the session

  get state(): SessionState {
    return this.#state;
  }

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

  get expiresAt(): number {
    const { signIn } = this.changes.requested;
    if (this.visibleRecord && !signIn) return this.loaded!.expiresAt;
    const now = this.context.now();
    return extendedEnd(now, { createdAt: now, ...signIn, signedInAt: signIn && now }, this.context.timeouts);
  }

  // The ids and the token

  /** The id of the live session, or the one that a new session will have. */
  get id(): string {
    const { signIn, signOut } = this.changes.requested;
    return signIn?.id ?? (signOut ? this.newId : this.storedId);
  }

  /** The id under which the store has the session, or will have a new one. */
  get storedId(): string {
    return this.token?.id ?? this.newId;
  }

  /** The id that a new session will have. */
  get newId(): string {
    return (this.#newToken ??= createToken()).id;
  }

  /** The token of a session that is stored for the first time, under this id. */
  newToken(id: string): Token {
    return this.#newToken?.id === id ? this.#newToken : { id, secret: createRandomPart(), epoch: 1 };
  }

  /** The id of a new session is for no other, and no later attempt to store one takes it again. */
  dropNewToken(): void {
    this.#newToken = undefined;
  }

  /** The id that the request came with. */
  get presentedId(): string {
    return this.token?.id ?? this.namedId ?? this.id;
  }

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

  // Transitions of the state

  /** What the request's cookies have opened. */
  opened(state: SessionState, isPersonal: boolean): void {
    this.#state = state;
    this.progress.isPersonal = isPersonal;
  }

  /** The header Authorization counts: beside the cookie, or in place of it where `cookie` is given. */
  useBearer(bearer: BearerRequest, cookie?: OutgoingCookie, presented?: readonly Presented[]): void {
    this.bearer = bearer;
    if (!cookie) return;
    this.cookie = cookie;
    this.progress.isPersonal = false;
    this.loading = this.namedId = undefined;
    this.#state = presented ? { kind: "unread", presented } : { kind: "none", tokenStatus: "anonymous" };
  }

  /** Which session it would be is not clear: each use of it throws this error. */
  refuse(error: unknown): void {
    this.#state = { kind: "unreadable", error };
  }

  /** The session was stored like this. */
  continueFrom(token: Token, loaded: LoadedRecord): void {
    if (token.id !== this.token?.id) this.signal?.moveTo(token.id);
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

  // Uses by the handler

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

  /** The handler has used the session, or is about to: it can't become another one. */
  get isInUse(): boolean {
    return this.progress.isAccessed || (this.#state.kind === "unread" && this.loading !== undefined);
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

  // The client

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
}
