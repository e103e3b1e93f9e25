/**
 * The contract between Sojourn and a store.
 *
 * A store does not know tokens, timeouts or data. It keeps opaque bytes under an id, with a version to compare and a
 * time after which they must not be read.
 *
 * `storeContract` of `sojourn/testing` checks an implementation against every line below, over two instances that share
 * their sessions. It cuts no connection and kills no process. So the store's own tests have to show that
 * `listening(false)` comes in time, that a fault rejects, and that an effect survives a crash.
 */

/** The content of a store under a session's id. */
export interface StoredSession {
  /**
   * The encrypted record as opaque bytes. They are returned unchanged, and never shared by reference with the caller. The
   * caller may reuse its buffer as soon as a call has returned its promise: a store that waits before it writes copies
   * the bytes first.
   */
  readonly payload: Uint8Array;
  /** A positive integer of up to 2 ** 46, chosen by the caller: 1 at creation, one more at each update. */
  readonly version: number;
  /** Epoch milliseconds. From this millisecond on, the session can't be read. */
  readonly expiresAt: number;
  /** The user who is signed in, if any. `idsOfUser` finds the session by it. */
  readonly userId?: string | undefined;
}

/** The content that replaces a session. */
export interface SessionUpdate extends StoredSession {
  /**
   * `true`: the session keeps its expiry if that is later than `expiresAt`. A touch does not change the version, so a
   * passive update would otherwise undo it. Default `false`: `expiresAt` applies even if it is earlier.
   */
  readonly extendOnly?: boolean | undefined;
}

/**
 * The notifications of a store. A listener leaves out the functions that it does not need. A listener that throws, or that
 * ends its own subscription while it is called, does not affect the others.
 */
export interface StoreListener {
  /**
   * `delete` has ended a live session, in any process. It is called once for each, however many end at a time. From then on
   * no operation of the instance that calls finds the session. An expiry is not notified.
   */
  ended?(id: string): void;
  /**
   * `update` has replaced a session, in any process. From then on `read` of the instance that calls gives that state or a
   * later one. Only stores with `announcesChanges` call it.
   */
  changed?(id: string): void;
  /**
   * `true` as soon as every later notification will arrive. `false` as soon as one may be missed, because the
   * connection was lost. It is called at the beginning and at each change, perhaps before `subscribe` returns.
   */
  listening?(isListening: boolean): void;
}

/**
 * An operation of a store in this process's memory, which can answer at once. Then a request waits for no promise, and no
 * timer is set.
 *
 * The capability belongs to the function that `sync.of` names, and counts only where that very function is the store's
 * operation. So a store that wraps another, a spy or a Proxy that replaces an operation, is called itself.
 */
export interface SyncOperation<Arguments extends unknown[], Result> {
  (...args: Arguments): Promise<Result>;
  /**
   * The same call with the same effect. It returns the answer itself, and throws where the other one rejects. `of` is the
   * operation: a mock that copies the properties of what it replaces, as `vi.spyOn` does, is another function, and is called.
   */
  readonly sync?: ((this: SessionStore, ...args: Arguments) => Result) & { readonly of: unknown };
}

/**
 * Keeps the records. Five operations are required. The others are capabilities, which are present or absent as methods.
 *
 * Every operation rejects on a fault (unreachable, full, closed) with the engine's own error. Sojourn turns it into
 * `ERR_SESSION_STORE`. A session that is missing, expired, or of another version is never a fault. When a promise is
 * fulfilled, the effect survives the end of this process, unless the store keeps its sessions in this process's memory.
 * Every process that shares the store then sees the effect (by `readLatest`, where `read` may answer from a near cache).
 *
 * Capability of a store in this process's memory: each of the five operations may be a {@link SyncOperation}.
 *
 * Each operation is one atomic step of the engine, not a read followed by a write: a change between the two, in another
 * process too, would be undone. A lock within one process is not enough.
 *
 * @example
 * const stored = { payload: new Uint8Array([1]), version: 1, expiresAt: Date.now() + 60_000 };
 * await store.create("an id", stored); // true
 * await store.update("an id", { ...stored, version: 2 }, 1); // true: the version was 1
 * await store.update("an id", { ...stored, version: 2 }, 1); // false: the version is 2
 */
export interface SessionStore {
  /** Reads the session under `id`. `undefined` if there is none, or if it has expired. */
  read(id: string): Promise<StoredSession | undefined>;

  /**
   * Stores a new session. `false`, without effect, if a live session has that id. Nothing remains of an expired session that
   * it replaces, neither for its user nor for a `deleteExpired` under way.
   */
  create(id: string, stored: StoredSession): Promise<boolean>;

  /**
   * Replaces the session under `id` if its version is `expectedVersion`, in one atomic step: payload, version, expiry
   * (see `extendOnly`) and user. `false`, without effect, if the version is another, or if the session is missing or
   * expired. It never creates a session.
   */
  update(id: string, stored: SessionUpdate, expectedVersion: number): Promise<boolean>;

  /**
   * Extends the session under `id` until `expiresAt`, if that is later than its present expiry. It never shortens the
   * expiry, and does not change payload or version. `true` if the session is live, `false` if it is missing or expired.
   */
  touch(id: string, expiresAt: number): Promise<boolean>;

  /** Ends the session under `id`. It is idempotent. `true` if this call ended a live session. */
  delete(id: string): Promise<boolean>;

  /**
   * Capability: returns the ids of a user's live sessions: all of them, each once, by the expiry and the user that a session
   * has now. Two user ids are the same only if every character is.
   */
  idsOfUser?(userId: string): Promise<string[]>;

  /**
   * Capability of a store whose `read` may answer from a near cache: reads past that cache. Sojourn calls it if the
   * cached record does not fit the token, and before it repeats a write after a conflict.
   */
  readLatest?(id: string): Promise<StoredSession | undefined>;

  /**
   * Capability: notifies a listener, soon and in every process that shares the store, of each live session that `delete`
   * has ended. This process is included. Each call is a subscription of its own, also with a listener that is subscribed
   * already. The function that it returns ends that subscription alone, and is idempotent. Nothing is called after it.
   * Notifications can be missed while a connection is down, and `listening` says so: a listener must not rely on
   * notifications alone.
   */
  subscribe?(listener: StoreListener): () => void;

  /**
   * Capability: returns the ids of all live sessions, in no order. Each session that lives from the beginning of the listing
   * to its end is in it, whichever others come and go meanwhile.
   */
  all?(): AsyncIterable<string>;

  /**
   * Capability: removes up to `limit` expired sessions and returns their number. A number below `limit` means that none
   * are left. The expiry at the moment of the removal counts. A store needs it only if its engine does not remove them by
   * itself. It must not block the event loop for more than a few milliseconds at a time.
   */
  deleteExpired?(limit: number): Promise<number>;

  /**
   * Capability: releases handles and timers. Afterwards every operation rejects, `subscribe` throws, and no listener is
   * called. It is idempotent. Other instances over the same sessions are not affected.
   */
  close?(): Promise<void>;

  /** `true` if subscribers are notified of every `update` too, as a near cache needs it. */
  readonly announcesChanges?: boolean;

  /**
   * `true` if payloads never leave this process's memory: then Sojourn does not encrypt the records. Leave it out in
   * every other store.
   */
  readonly inProcess?: boolean;
}
