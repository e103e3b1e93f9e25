import { timingSafeEqual } from "node:crypto";
import type { Limits } from "./codec.ts";
import type { SessionCookie } from "./cookie.ts";
import type { Emitter } from "./events.ts";
import { absoluteEnd, extendedEnd, type Timeouts } from "./expiry.ts";
import { EMPTY, Journal } from "./journal.ts";
import type { Keyring } from "./keyring.ts";
import { standing, type Standing } from "./lifecycle.ts";
import { loadedRecord, type LoadedRecord } from "./record.ts";
import { cookieHeader, isSecure, type AnyRequest } from "./request.ts";
import type { SessionStore, StoredSession } from "./store.ts";
import { hashSecret, randomPart, signToken, verifyToken, type Token } from "./token.ts";
import { Patience, type Lanes } from "./waiting.ts";

/** What createSessions made once and every visit shares. */
export interface Host {
  readonly store: SessionStore;
  readonly keyring: Keyring;
  readonly cookie: SessionCookie;
  readonly timeouts: Timeouts;
  readonly limits: Limits;
  readonly storeTimeout: number;
  readonly trustProxy: boolean;
  readonly emitter: Emitter;
  readonly lanes: Lanes;
  readonly now: () => number;
}

/** What a handler asked for besides changing data. */
export interface Wishes {
  readonly signIn?: { readonly owner: string };
  readonly rotate?: boolean;
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
  #presentedId: string | undefined;
  #freshId: string | undefined;

  standing: Standing = "anonymous";
  /** The token that opens the session, once it is live. */
  token: Token | undefined;
  loaded: LoadedRecord | undefined;
  #journal: Journal | undefined;
  wishes = NO_WISHES;
  signedOut = false;

  /** The handler looked at the session: the response may depend on the cookie. */
  looked = false;
  /** A Set-Cookie value that waits for the head of the response. */
  setCookie: string | undefined;
  headSent = false;
  /** The store could not be read: nothing is known of the session, and nothing may be done to it. */
  fault: unknown;
  /** A commit failed: the error's response is not the place for another. */
  failed = false;
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
      const found = verifyToken(this.host.keyring, value);
      if (found) verified.push({ token: found.token, tokenByPreviousKey: found.byPreviousKey });
    }
    return verified.length > 0 ? verified : undefined;
  }

  /** What the handler changes; made when it looks. */
  get journal(): Journal {
    return (this.#journal ??= new Journal(this.loaded?.record ?? EMPTY, this.host.limits));
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
    if (!this.#presented) return;
    const presented = this.#presented;
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
    const { store, storeTimeout } = this.host;
    const patience = new Patience(storeTimeout);
    let found: Presented | undefined;
    for (const one of presented) {
      const stored = await patience.ask("read", () => store.read(one.token.id));
      const now = stored ? this.#judge(one.token, stored) : "anonymous";
      if (now !== "live") {
        if (now !== "anonymous" && !found) this.standing = now;
      } else if (found) {
        // Two live sessions in one request: somebody planted one. Neither is believed.
        this.standing = "anonymous";
        this.token = this.loaded = undefined;
        return;
      } else found = one;
    }
    if (found?.tokenByPreviousKey) this.handOut();
  }

  /** Opens the stored session for this token, if it is live. */
  #judge(token: Token, stored: StoredSession): Standing {
    const { host } = this;
    const loaded = loadedRecord(host, token.id, stored);
    const { record, expiresAt } = loaded;
    const secretMatches = timingSafeEqual(hashSecret(token.secret), record.secretHash);
    const now = standing(record, expiresAt, secretMatches, host.now(), host.timeouts);
    if (now === "live") {
      this.standing = "live";
      this.token = token;
      this.loaded = loaded;
    } else if (now === "expired") host.emitter.emit("expired", { id: token.id, owner: record.owner });
    return now;
  }

  /**
   * The session has ended behind this request's back, or its token was replaced: what the request did is forgotten,
   * and it may not touch the cookie, unless somebody signs in.
   */
  fallSilent(): void {
    this.standing = "superseded";
    this.token = this.loaded = this.#journal = undefined;
  }

  /** Puts a cookie with the token, signed by the current key, on its way. */
  handOut(): void {
    const { cookie, keyring, timeouts, now } = this.host;
    const lifetime = absoluteEnd(this.loaded!.record, timeouts) - now();
    this.setCookie = cookie.set(signToken(keyring, this.token!), lifetime, this.secure);
  }
}
