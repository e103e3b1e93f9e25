/**
 * The contract between Sojourn and whatever keeps the records.
 *
 * A store knows nothing of tokens, timeouts or data: it keeps opaque bytes under an id, with a version to compare
 * and a moment after which they must not be read.
 *
 * `storeContract` of `sojourn/testing` holds any implementation to the lines below, over two instances that share what
 * they keep. It does not cut connections and does not kill processes: that `listening(false)` is told in time, that a
 * fault rejects, and that an effect survives a crash, are for the store's own tests.
 */

/** What a store keeps under a session's id. */
export interface StoredSession {
  /**
   * The encrypted record: opaque bytes. Given back exactly as they came; never shared by reference with the caller, who
   * may use its buffer anew as soon as a call has returned its promise: a store that waits before it writes copies first.
   */
  readonly payload: Uint8Array;
  /** A positive integer of up to 2 ** 46, chosen by the caller: 1 when created, one more at each update. */
  readonly version: number;
  /** Epoch milliseconds. From this very millisecond on the session is unreadable. */
  readonly expiresAt: number;
  /** Whom the session belongs to, if anyone: what `idsOfUser` finds it by. */
  readonly userId?: string | undefined;
}

/** What a store puts in the place of a session. */
export interface SessionUpdate extends StoredSession {
  /**
   * `true`: the session keeps its expiry where that is later than `expiresAt`. A touch leaves the version alone, so that
   * an update which is no sign of life would otherwise undo it. Default `false`: `expiresAt` may be earlier as well.
   */
  readonly extendOnly?: boolean | undefined;
}

/**
 * What a store tells while somebody listens. A listener leaves out what it does not care for. One that throws, or ends
 * its own listening as it hears, keeps nobody else from hearing.
 */
export interface StoreListener {
  /**
   * `delete` has ended a live session, in whichever process. Each is told of once, however many end at a time. From then
   * on no operation of the instance that tells finds the session. An expiry is not told.
   */
  ended?(id: string): void;
  /**
   * `update` has replaced a session, in whichever process. From then on `read` of the instance that tells gives that
   * state or a later one. Told by stores with `announcesChanges` alone.
   */
  changed?(id: string): void;
  /**
   * `true` as soon as whatever happens from then on will be heard; `false` as soon as something may go unheard: a lost
   * connection. Told at the beginning and at each turn. May be told before `subscribe` returns.
   */
  listening?(isListening: boolean): void;
}

/**
 * Where records live. Five operations are required; the rest are capabilities, present or absent as methods.
 *
 * Every operation rejects on a fault (unreachable, full, closed), with the engine's own error: Sojourn turns it into
 * `ERR_SESSION_STORE`. Missing, expired, or of another version is never a fault. When a promise is fulfilled, the
 * effect survives the death of this process (in-process stores aside), and every process that shares the store sees it
 * (where `read` may answer from a near cache: by `readLatest`).
 *
 * Each operation is one atomic step of the engine, not a look and then a write: whatever falls between the two, in
 * another process too, would be undone. A lock of one process is not enough.
 */
export interface SessionStore {
  /** The session under `id`; `undefined` where there is none, or where it has expired. */
  read(id: string): Promise<StoredSession | undefined>;

  /**
   * Keeps a new session. `false`, without effect, where a live session has that id. Nothing of an expired session that it
   * takes the place of remains, neither for its user nor for a `deleteExpired` that is under way.
   */
  create(id: string, stored: StoredSession): Promise<boolean>;

  /**
   * Replaces the session under `id` if its version is `expectedVersion`, in one atomic step: payload, version, expiry
   * (see `extendOnly`) and user. `false`, without effect, where the version is another or the session is gone or expired. It never
   * creates and never resurrects.
   */
  update(id: string, stored: SessionUpdate, expectedVersion: number): Promise<boolean>;

  /**
   * Extends the session under `id` until `expiresAt`, if that is later than its expiry now; it never shortens, and
   * leaves payload and version alone. `false` where the session is gone or expired; `true` where it lives on.
   */
  touch(id: string, expiresAt: number): Promise<boolean>;

  /** Ends the session under `id`. Idempotent; `true` if it was this call that ended a live session. */
  delete(id: string): Promise<boolean>;

  /**
   * Capability: the ids of the user's live sessions, all of them, however many there are, each once; by the expiry and
   * the user that a session has now, whichever operation gave it them. Two user ids are the same only if every
   * character is.
   */
  idsOfUser?(userId: string): Promise<string[]>;

  /**
   * Capability of a store whose `read` may answer from a near cache: `read` past it. Sojourn asks it whenever the
   * cached record does not fit the token, and before it writes anew what it has lost a race for.
   */
  readLatest?(id: string): Promise<StoredSession | undefined>;

  /**
   * Capability: tells, soon and in every process that shares the store, this one too, of each live session that `delete`
   * has ended. Gives the function that ends the listening, which is idempotent, and after which nothing is told. What
   * happens while a connection is down goes unheard, which is told: listeners must not rely on hearing alone.
   */
  subscribe?(listener: StoreListener): () => void;

  /**
   * Capability: the ids of all live sessions, in no order. Each that lives from the beginning of the listing to its end
   * is in it, whichever others come and go meanwhile.
   */
  all?(): AsyncIterable<string>;

  /**
   * Capability: forgets up to `limit` expired sessions and says how many it forgot; fewer than `limit` means that
   * a whole round is done. It goes by the expiry that a session has at the moment at which it is forgotten. Needed only
   * by stores whose engine does not expire by itself. Must not hold up the event loop for more than a few milliseconds
   * at a time.
   */
  deleteExpired?(limit: number): Promise<number>;

  /**
   * Capability: lets go of handles and timers. Afterwards every operation rejects, `subscribe` throws, and listeners hear
   * nothing more. Idempotent. Other instances over the same sessions go on.
   */
  close?(): Promise<void>;

  /** `true` where subscribers also hear of every `update`, as a near cache needs it. */
  readonly announcesChanges?: boolean;

  /**
   * `true` where payloads never leave this process's memory: Sojourn then spares itself the sealing (encryption)
   * of records. Leave it out everywhere else.
   */
  readonly inProcess?: boolean;
}
