import { timingSafeEqual } from "node:crypto";
import type { Limits } from "./codec.ts";
import type { SessionCookie } from "./cookie.ts";
import type { Emitter } from "./events.ts";
import { absoluteEnd, extendedEnd, type Timeouts } from "./expiry.ts";
import { EMPTY, isSame as isSameContent, Journal, type Content } from "./journal.ts";
import type { OwnerLimit } from "./owners.ts";
import type { Keyring } from "./keyring.ts";
import { standing, type Standing } from "./lifecycle.ts";
import { load, loadLatest } from "./load.ts";
import { type Client, type LoadedRecord } from "./record.ts";
import type { LiveHandles } from "./live.ts";
import { match, type Match, type RotationPolicy } from "./rotation.ts";
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
import type { SessionStore } from "./store.ts";
import { hashSecret, randomPart, signToken, verifyToken, type Token } from "./token.ts";
import { Patience, type Lanes } from "./waiting.ts";

/** What createSessions made once and every visit shares. */
export interface Host {
  readonly store: SessionStore;
  readonly keyring: Keyring;
  readonly cookie: SessionCookie;
  readonly timeouts: Timeouts;
  readonly rotation: RotationPolicy | undefined;
  readonly maxPerOwner: OwnerLimit | undefined;
  /** What the application knows of a request's client. */
  readonly client: (request: AnyRequest) => Client | undefined;
  readonly limits: Limits;
  readonly storeTimeout: number;
  readonly trustProxy: boolean;
  readonly emitter: Emitter;
  readonly lanes: Lanes;
  readonly live: LiveHandles;
  readonly now: () => number;
}

/** Who signs in, and what was said of this sign-in. */
export interface SignIn {
  readonly owner: string;
  readonly note?: string | undefined;
  /** In milliseconds, where they are not those of the options. */
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
}

/** What a handler asked for besides changing data. */
export interface Wishes {
  readonly signIn?: SignIn;
  readonly rotate?: boolean;
}

/** More tokens of ours in one request than this are somebody's play. */
const MAX_TOKENS = 4;

/** What a request wants stored. */
export interface Attempt {
  readonly wishes: Wishes;
  readonly signedOut: boolean;
  readonly content: Content | undefined;
}

/** Whether two attempts would store the same. What can't be stored is never the same. */
export function isSameAttempt(a: Attempt, b: Attempt): boolean {
  if (a.wishes !== b.wishes || a.signedOut !== b.signedOut || !a.content || !b.content) return false;
  return isSameContent(a.content, b.content);
}

export const NO_WISHES: Wishes = {};

/** The presented token and what reading it showed. */
interface Presented {
  readonly token: Token;
  readonly tokenByPreviousKey: boolean;
}

/** One request's dealings with its session, from the cookie that came to the cookie that goes. */
export class Visit {
  readonly host: Host;
  readonly #request: AnyRequest;
  #presented: Presented[] | undefined;
  #loading: Promise<void> | undefined;
  #presentedId: string | undefined;
  #freshId: string | undefined;

  standing: Standing = "anonymous";
  /** The token that opens the session, once it is live. */
  token: Token | undefined;
  /** Which of the session's secrets the token carries. */
  match: Match = "current";
  /** A previous key signed it: a commit hands it out anew. */
  tokenByPreviousKey = false;
  loaded: LoadedRecord | undefined;
  /** The request came with a live session: the response may be made for its owner alone. */
  personal = false;
  #journal: Journal | undefined;
  #signal: AbortSignal | undefined;
  #letGo: (() => void) | undefined;
  /** Whose closing says that the response is done with, where an adapter has told. */
  response: Closing | undefined;
  wishes = NO_WISHES;
  /** The request is no sign of life: polling, say. */
  passive = false;
  signedOut = false;

  /** The handler looked at the session: the response may depend on the cookie. */
  looked = false;
  /** A Set-Cookie value that waits for the head of the response. */
  setCookie: string | undefined;
  headSent = false;
  /** The head says what caches must know: it is too late for a first look. */
  headWritten = false;
  /** The Set-Cookie value that was written to a head last. */
  handedOut: string | undefined;
  /** A WebSocket or the like has taken the connection over: there is no head. */
  attached = false;
  /** An adapter is in charge of the response: one that is mounted within it leaves that to it. */
  claimed = false;
  /** The store could not be read: nothing is known of the session, and nothing may be done to it. */
  fault: unknown;
  /** A commit failed: the error's response is not the place for another. */
  failed = false;
  /** What a call of save() had failed to store: whoever called it has dealt with that, and with nothing else. */
  givenUp: Attempt | undefined;
  committing: Promise<void> | undefined;

  constructor(host: Host, request: AnyRequest) {
    this.host = host;
    this.#request = request;
    const header = cookieHeader(request);
    if (header) this.#presented = this.#verified(header);
  }

  #verified(header: string): Presented[] | undefined {
    const verified: Presented[] = [];
    for (const value of this.host.cookie.values(header, this.secure)) {
      if (verified.length === MAX_TOKENS) break;
      const found = verifyToken(this.host.keyring, value);
      if (found) verified.push({ token: found.token, tokenByPreviousKey: found.byPreviousKey });
    }
    return verified.length > 0 ? verified : undefined;
  }

  /** What the handler changes; made when it looks. */
  get journal(): Journal {
    return (this.#journal ??= new Journal(this.loaded?.record ?? EMPTY, this.host.limits));
  }

  /** What there is to store now, for comparing with another time. */
  get attempt(): Attempt {
    const { wishes, signedOut } = this;
    try {
      return { wishes, signedOut, content: this.journal.content() };
    } catch {
      return { wishes, signedOut, content: undefined };
    }
  }

  /** A visitor's request that never looked: there is nothing to decide. */
  get isUntouched(): boolean {
    return !this.looked && this.token === undefined;
  }

  get isChanged(): boolean {
    return this.#journal?.isChanged() === true;
  }

  get secure(): boolean {
    return isSecure(this.#request, this.host.trustProxy);
  }

  get isLoaded(): boolean {
    return this.#presented === undefined && this.fault === undefined;
  }

  /** The id of the live session, or the one that a new session will have. */
  get id(): string {
    return this.token?.id ?? (this.#freshId ??= randomPart());
  }

  /** An id for a session that begins now. */
  newId(): string {
    return this.token ? randomPart() : this.id;
  }

  /** The id that the request came with. */
  get presentedId(): string {
    return this.token?.id ?? this.#presentedId ?? this.id;
  }

  get expiresAt(): number {
    if (this.loaded) return this.loaded.expiresAt;
    const now = this.host.now();
    return extendedEnd(now, { createdAt: now, signedInAt: undefined }, this.host.timeouts);
  }

  /** @throws SessionError ERR_SESSION_STORE, ERR_SESSION_DECODE */
  async load(): Promise<void> {
    if (this.fault !== undefined) throw this.fault;
    // Several layers of an application may ask at once: the session is read once.
    if (this.#presented) await (this.#loading ??= this.#load(this.#presented));
  }

  async #load(presented: readonly Presented[]): Promise<void> {
    this.#presentedId = presented[0]!.token.id;
    try {
      await this.#read(presented);
      this.#presented = undefined;
    } catch (error) {
      this.fault = error;
      throw error;
    }
  }

  async #read(presented: readonly Presented[]): Promise<void> {
    const patience = new Patience(this.host.storeTimeout);
    let found: Presented | undefined;
    for (const one of presented) {
      const now = await this.#judge(one.token, patience);
      if (now !== "live") {
        if (now !== "anonymous" && !found) this.standing = now;
      } else if (found) {
        // Two live sessions in one request: somebody planted one. Neither is believed.
        this.standing = "anonymous";
        this.token = this.loaded = undefined;
        return;
      } else found = one;
    }
    this.tokenByPreviousKey = found?.tokenByPreviousKey === true;
  }

  /** Opens the stored session for this token, if it is live. */
  async #judge(token: Token, patience: Patience): Promise<Standing> {
    const { host } = this;
    const hash = hashSecret(token.secret);
    const time = host.now();
    const examine = ({ record, expiresAt }: LoadedRecord) => {
      const secret = match(record, token.epoch, (other) => timingSafeEqual(hash, other), time, host.rotation);
      return [secret, standing(record, expiresAt, secret, time, host.timeouts)] as const;
    };
    let loaded = await load(host, token.id, patience);
    if (!loaded) return "anonymous";
    let [secret, now] = examine(loaded);
    if (now !== "live" && host.store.readLatest) {
      // A near cache may not have heard of this token yet.
      loaded = await loadLatest(host, token.id, patience);
      if (!loaded) return "anonymous";
      [secret, now] = examine(loaded);
    }
    const { record } = loaded;
    if (now === "live") {
      this.match = secret;
      this.personal = true;
      this.standing = "live";
      this.token = token;
      this.loaded = loaded;
    } else if (now === "expired") host.emitter.emit("expired", { id: token.id, owner: record.owner });
    else if (now === "replayed") {
      // Two clients hold tokens of this session, and nobody can say which of them is the thief.
      if (await patience.ask("delete", () => host.store.delete(token.id))) {
        const { owner, client } = record;
        host.emitter.emit("replayed", { id: token.id, owner, client, presentedBy: this.client });
      }
    }
    return now;
  }

  /** Reads the session anew. What was not stored is forgotten. */
  async reload(): Promise<void> {
    const { host, token } = this;
    if (!token) return;
    const loaded = await loadLatest(host, token.id, new Patience(host.storeTimeout));
    // A connection may outlive its token's rotation, but not a sign-in that killed the token.
    const isSame = loaded?.record.epoch === token.epoch;
    if (!isSame || standing(loaded.record, loaded.expiresAt, "current", host.now(), host.timeouts) !== "live") {
      this.fallSilent();
      host.live.recheck(token.id);
      return;
    }
    this.loaded = loaded;
    this.#journal = undefined;
  }

  /** Aborts when the session ends; let go of when the connection that the request came by is done with it. */
  get signal(): AbortSignal {
    return (this.#signal ??= this.#watched());
  }

  #watched(): AbortSignal {
    if (this.signedOut) return AbortSignal.abort();
    if (!this.token) return new AbortController().signal;
    // Nobody is left to hear it.
    if (isDone(this.#request, this.response)) return new AbortController().signal;
    if (this.headWritten && !this.attached && !tellsOfEnd(this.#request, this.response)) {
      throw new TypeError(
        "session.signal was asked for after the response was returned, and nothing tells when that ends: ask for it before",
      );
    }
    const { signal, release } = this.host.live.watch(this.token.id, () => this.token?.epoch);
    this.#letGo = release;
    onDone(this.#request, this.response, release);
    return signal;
  }

  /** What to call at the end of the response's body, where its signal is in use and nothing else tells of the end. */
  untilEndOfBody(): (() => void) | undefined {
    if (this.response) return undefined;
    if (hasBody(this.#request)) return this.#letGo;
    this.letGo();
    return undefined;
  }

  /** Nobody listens to the signal any more. */
  letGo(): void {
    this.#letGo?.();
  }

  /** What the application knows of the client that sent this request. */
  get client(): Client | undefined {
    return this.host.client(this.#request);
  }

  /**
   * The session has ended behind this request's back, or its token was replaced: what the request did is forgotten,
   * and it may not touch the cookie, unless somebody signs in.
   */
  fallSilent(): void {
    this.standing = "superseded";
    this.token = this.loaded = this.#journal = this.setCookie = undefined;
  }

  /** The token that comes after this visit's, if it has been settled; the one that would come, if it has not. */
  successor(): Token {
    const { id, secret, epoch } = this.token!;
    const { secretHash, rotation } = this.loaded!.record;
    const settled = this.match === "previous" ? secretHash : rotation?.next;
    const possible = this.host.keyring.successors(id, secret);
    const next = settled && possible.find((one) => timingSafeEqual(hashSecret(one), settled));
    return { id, secret: next ?? possible[0]!, epoch };
  }

  /** Puts a cookie with the successor of the token on its way. */
  handOutSuccessor(): void {
    this.handOut(this.successor());
  }

  /** Puts a cookie with the token, signed by the current key, on its way. */
  handOut(token = this.token!): void {
    const { cookie, keyring, timeouts, now } = this.host;
    const lifetime = absoluteEnd(this.loaded!.record, timeouts) - now();
    const remembered = this.loaded!.record.absolute !== undefined;
    this.setCookie = cookie.set(signToken(keyring, token), lifetime, this.secure, remembered);
  }
}
