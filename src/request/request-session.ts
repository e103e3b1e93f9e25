import { timingSafeEqual } from "node:crypto";
import type { Limits } from "../changes/codec.ts";
import type { SessionCookie } from "./cookie.ts";
import type { Emitter } from "../events.ts";
import { absoluteEnd, extendedEnd, type Timeouts } from "../lifecycle/timeouts.ts";
import { EMPTY, Journal } from "../changes/journal.ts";
import type { UserLimit } from "../users.ts";
import type { Keyring } from "../record/keyring.ts";
import { tokenStatus, type TokenStatus } from "../lifecycle/decisions.ts";
import { loadLatest } from "../record/load.ts";
import type { Client, LoadedRecord, SessionRecord } from "../record/record.ts";
import type { LiveHandles, Watching } from "../signals.ts";
import type { Match, RotationPolicy } from "../lifecycle/rotation.ts";
import {
  cookieHeader,
  hasBody,
  isDone,
  isSecure,
  onDone,
  tellsOfEnd,
  type AnyRequest,
  type Closing,
} from "./request.ts";
import { matchOf, open, opens, presentedIn, type Opened, type Presented } from "./presented.ts";
import { NOTHING_REQUESTED, without, type SignIn, type Requested } from "./requested.ts";
import type { SessionStore } from "../store.ts";
import { randomPart } from "../random.ts";
import { hashSecret, signToken, type Token } from "../record/token.ts";
import { Deadline } from "../deadline.ts";
import type { KeyedQueue } from "../keyed-queue.ts";

/** What createSessions made once and every visit shares. */
export interface Context {
  readonly store: SessionStore;
  readonly keyring: Keyring;
  readonly cookie: SessionCookie;
  readonly timeouts: Timeouts;
  readonly rotation: RotationPolicy | undefined;
  readonly maxPerUser: UserLimit | undefined;
  /** What the application knows of a request's client. */
  readonly client: (request: AnyRequest) => Client | undefined;
  readonly limits: Limits;
  readonly storeTimeout: number;
  readonly trustProxy: boolean;
  readonly emitter: Emitter;
  readonly commits: KeyedQueue;
  readonly live: LiveHandles;
  /** By the id that a sign-in under way will give to a session: the id that the session has until then. */
  readonly moves: Map<string, string>;
  readonly now: () => number;
}

/** Requests that signed in and never ended are forgotten beyond this many. */
const MAX_MOVES = 1000;

/** One request's dealings with its session, from the cookie that came to the cookie that goes. */
export class RequestSession {
  readonly context: Context;
  readonly #request: AnyRequest;
  #presented: Presented[] | undefined;
  #loading: Promise<void> | undefined;
  #presentedId: string | undefined;
  #freshId: string | undefined;

  tokenStatus: TokenStatus = "anonymous";
  /** The token that opens the session, once it is live. */
  token: Token | undefined;
  /** The hash of its secret, once it was asked for. */
  #secretHash: Buffer | undefined;
  /** A previous key signed it: a commit hands it out anew. */
  tokenByPreviousKey = false;
  loaded: LoadedRecord | undefined;
  /** The request came with a live session: the response may be made for its user alone. */
  personal = false;
  #journal: Journal | undefined;
  #watching: Watching | undefined;
  /** Whose closing says that the response is done with, where an adapter has told. */
  response: Closing | undefined;
  requested = NOTHING_REQUESTED;
  /** The request is no sign of life: polling, say. */
  passive = false;
  #hasSignedOut = false;

  /** The handler looked at the session: the response may depend on the cookie. */
  accessed = false;
  /** A Set-Cookie value that waits for the head of the response. */
  setCookie: string | undefined;
  headersSent = false;
  /** The head says what caches must know: it is too late for a first look. */
  headersWritten = false;
  /** The Set-Cookie value that was written to a head last. */
  issuedCookie: string | undefined;
  /** A WebSocket or the like has taken the connection over: there is no head. */
  attached = false;
  /** An adapter is in charge of the response: one that is mounted within it leaves that to it. */
  claimed = false;
  /** The store could not be read: nothing is known of the session, and nothing may be done to it. */
  loadError: unknown;
  /** A commit failed: the error's response is not the place for another. */
  failed = false;
  /** What a call of save() had failed to do: whoever called it has dealt with that, and with nothing else. */
  #setAsideChanges: Requested | undefined;
  committing: Promise<void> | undefined;

  constructor(context: Context, request: AnyRequest) {
    this.context = context;
    this.#request = request;
    const header = cookieHeader(request);
    if (header) this.#presented = presentedIn(context, header, this.secure);
  }

  /** What the handler changes; made when it looks. */
  get journal(): Journal {
    return (this.#journal ??= new Journal(this.loaded?.record ?? EMPTY, this.context.limits));
  }

  get signedOut(): boolean {
    return this.#hasSignedOut || this.requested.signOut !== undefined;
  }

  /** These were carried out. Others may have come since. */
  markDone(requested: Requested): void {
    this.requested = without(this.requested, requested);
    if (requested.signOut) this.#hasSignedOut = true;
  }

  /** A call of save() has failed to carry these out: the response leaves without them, and without what it was to store. */
  setAside(requested: Requested): void {
    this.#setAsideChanges = { ...this.#setAsideChanges, ...requested };
    this.requested = without(this.requested, requested);
    this.journal.setAside();
  }

  /** save() is called again: what had failed is to be stored after all. */
  takeBack(): void {
    if (!this.#setAsideChanges) return;
    this.requested = { ...this.#setAsideChanges, ...this.requested };
    this.#setAsideChanges = undefined;
    this.journal.takeBack();
  }

  /** Whether the last call of save() failed, and nothing was asked for since. */
  get isSetAside(): boolean {
    return this.#setAsideChanges !== undefined && this.requested === NOTHING_REQUESTED && this.journal.isSetAside;
  }

  /** Before the response: what save() failed to store is not tried again, and what was asked for since is left. */
  dropSetAside(): void {
    if (!this.#setAsideChanges) return;
    this.#setAsideChanges = undefined;
    this.journal.dropSetAside(this.loaded?.record ?? EMPTY);
    const keep = this.requested.signIn?.keep;
    if (keep) this.journal.restrict(keep);
  }

  /** A visitor's request that never looked: there is nothing to decide. */
  get isUntouched(): boolean {
    return !this.accessed && this.token === undefined;
  }

  get isChanged(): boolean {
    return this.#journal?.isChanged() === true;
  }

  get secure(): boolean {
    return isSecure(this.#request, this.context.trustProxy);
  }

  get isLoaded(): boolean {
    return this.#presented === undefined && this.loadError === undefined;
  }

  /** The id of the live session, or the one that a new session will have. */
  get id(): string {
    return this.requested.signIn?.id ?? this.storedId;
  }

  /** The id under which the store has the session, or will have a new one. */
  get storedId(): string {
    return this.token?.id ?? (this.#freshId ??= randomPart());
  }

  /** Signs in when the visit is committed. The session has its new id at once, and what uses that meanwhile is right. */
  signIn(asked: Omit<SignIn, "id">): void {
    // A session that is being stored just now may have the other id already.
    const isThere = this.token !== undefined || this.committing !== undefined;
    const id = isThere ? randomPart() : this.id;
    this.requested = { ...this.requested, signIn: { ...asked, id } };
    this.#announceMove(id);
  }

  #announceMove(id: string): void {
    if (!this.token) return;
    const { moves } = this.context;
    moves.set(id, this.token.id);
    if (moves.size > MAX_MOVES) for (const oldest of moves.keys()) return void moves.delete(oldest);
  }

  rotate(): void {
    this.requested = { ...this.requested, rotate: {} };
  }

  signOut(): void {
    this.requested = { ...this.requested, signOut: {} };
  }

  /** A session may be there under the id that a failed commit tried: the next one takes another. */
  renewId(signIn: SignIn | undefined): void {
    if (!this.token) this.#freshId = randomPart();
    if (!signIn) return;
    this.context.moves.delete(signIn.id);
    signIn.id = this.token ? randomPart() : this.storedId;
    this.#announceMove(signIn.id);
  }

  /** Which of a record's secrets the visit's token carries. */
  matchIn(record: SessionRecord): Match {
    const token = this.token!;
    return matchOf(this.context, token, (this.#secretHash ??= hashSecret(token.secret)), record);
  }

  /** The id that the request came with. */
  get presentedId(): string {
    return this.token?.id ?? this.#presentedId ?? this.id;
  }

  get expiresAt(): number {
    if (this.loaded) return this.loaded.expiresAt;
    const now = this.context.now();
    return extendedEnd(now, { createdAt: now, signedInAt: undefined }, this.context.timeouts);
  }

  /** @throws SessionError ERR_SESSION_STORE, ERR_SESSION_DECODE */
  async load(): Promise<void> {
    if (this.loadError !== undefined) throw this.loadError;
    // Several layers of an application may ask at once: the session is read once.
    if (this.#presented) await (this.#loading ??= this.#load(this.#presented));
  }

  async #load(presented: readonly Presented[]): Promise<void> {
    this.#presentedId = presented[0]!.token.id;
    try {
      await this.#read(presented);
      this.#presented = undefined;
    } catch (error) {
      this.loadError = error;
      throw error;
    }
  }

  async #read(presented: readonly Presented[]): Promise<void> {
    const { context } = this;
    const deadline = new Deadline(context.storeTimeout);
    const ids = new Set(presented.map(({ token }) => token.id));
    const found: Opened[] = [];
    for (const id of ids) {
      const its = presented.filter(({ token }) => token.id === id);
      const opened = await open(context, id, its, deadline, () => this.client);
      if (opened?.tokenStatus === "live") found.push(opened);
      else if (opened && this.tokenStatus === "anonymous") this.tokenStatus = opened.tokenStatus;
    }
    this.personal = found.length > 0;
    const [one, another] = found;
    // Two live sessions in one request: somebody planted one. Neither is believed.
    if (another) this.tokenStatus = "anonymous";
    else if (one) {
      this.tokenStatus = "live";
      this.token = one.token;
      this.#secretHash = one.secretHash;
      this.tokenByPreviousKey = one.tokenByPreviousKey;
      this.loaded = one.loaded;
    }
  }

  /** Reads the session anew. What was not stored is forgotten. */
  async reload(): Promise<void> {
    await this.committing?.catch(() => {});
    const { context, token } = this;
    this.requested = NOTHING_REQUESTED;
    this.#setAsideChanges = this.#journal = undefined;
    if (!token) return;
    const loaded = await loadLatest(context, token.id, new Deadline(context.storeTimeout));
    // A connection may outlive its token's rotation, but not a sign-in that killed the token.
    const isSame = loaded?.record.epoch === token.epoch;
    if (
      !isSame ||
      tokenStatus(loaded.record, loaded.expiresAt, "current", context.now(), context.timeouts) !== "live"
    ) {
      this.detach();
      context.live.recheck(token.id);
      return;
    }
    this.loaded = loaded;
  }

  /** Aborts when the session ends; let go of when the connection that the request came by is done with it. */
  get signal(): AbortSignal {
    return this.#watching?.signal ?? this.#watched();
  }

  #watched(): AbortSignal {
    if (this.signedOut) return AbortSignal.abort();
    if (!this.token) return new AbortController().signal;
    // Nobody is left to hear it.
    if (isDone(this.#request, this.response)) return new AbortController().signal;
    if (this.headersWritten && !this.attached && !tellsOfEnd(this.#request, this.response)) {
      throw new TypeError(
        "session.signal was asked for after the response was returned, and nothing tells when that ends: ask for it before",
      );
    }
    this.#watching = this.context.live.watch(this.token.id, () => this.token?.epoch);
    onDone(this.#request, this.response, this.#watching.release);
    return this.#watching.signal;
  }

  /** What to call at the end of the response's body, where its signal is in use and nothing else tells of the end. */
  untilEndOfBody(): (() => void) | undefined {
    if (this.response) return undefined;
    if (hasBody(this.#request)) return this.#watching?.release;
    this.letGo();
    return undefined;
  }

  /** Nobody listens to the signal any more. */
  letGo(): void {
    this.#watching?.release();
  }

  /** What the application knows of the client that sent this request. */
  get client(): Client | undefined {
    try {
      return this.context.client(this.#request);
    } catch (error) {
      // The application's mistake must not keep anybody from signing in, nor a replay from being told.
      this.context.emitter.emit("error", { id: this.id, error });
      return undefined;
    }
  }

  /**
   * The session has ended behind this request's back, or its token was replaced: what the request did is forgotten,
   * and it may not touch the cookie, unless somebody signs in.
   */
  detach(): void {
    this.tokenStatus = "superseded";
    this.token = this.loaded = this.#journal = this.setCookie = undefined;
  }

  /** What was stored is what the visit goes on from. */
  continueFrom(token: Token, loaded: LoadedRecord): void {
    if (token.id !== this.token?.id) this.#watching?.moveTo(token.id);
    if (token !== this.token) this.#secretHash = undefined;
    this.token = token;
    this.loaded = loaded;
    this.tokenStatus = "live";
  }

  /** The token that comes after this visit's, if it has been settled; the one that would come, if it has not. */
  successor(record: SessionRecord): Token {
    const { id, secret, epoch } = this.token!;
    const { secretHash, rotation } = record;
    const settled = this.matchIn(record) === "previous" ? secretHash : rotation?.next;
    const possible = this.context.keyring.successors(id, secret);
    const next = settled && possible.find((one) => timingSafeEqual(hashSecret(one), settled));
    return { id, secret: next ?? possible[0]!, epoch };
  }

  /** Puts a cookie with the successor of the token on its way. */
  handOutSuccessor(): void {
    this.issueCookie(this.successor(this.loaded!.record));
  }

  /**
   * A cookie has waited for its response since save(). Whoever signed in or out meanwhile has another by now, which this
   * one must not undo.
   */
  async recallCookie(): Promise<void> {
    const { context, token } = this;
    if (this.setCookie === undefined || !token || this.signedOut) return;
    try {
      const loaded = await loadLatest(context, token.id, new Deadline(context.storeTimeout));
      if (loaded && opens(this.matchIn(loaded.record))) return;
      this.detach();
    } catch (error) {
      // The session was stored, and that it ended is not known.
      context.emitter.emit("error", { id: token.id, error });
    }
  }

  /** Puts a cookie with the token, signed by the current key, on its way. */
  issueCookie(token = this.token!): void {
    const { cookie, keyring, timeouts, now } = this.context;
    const lifetime = absoluteEnd(this.loaded!.record, timeouts) - now();
    const remembered = this.loaded!.record.absolute !== undefined;
    this.setCookie = cookie.set(signToken(keyring, token), lifetime, this.secure, remembered);
  }
}
