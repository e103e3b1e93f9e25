import type { DataRules } from "../changes/codec.ts";
import { GivenObjects } from "../changes/given-objects.ts";
import type { GivenUpValues } from "../changes/given-up-values.ts";
import { EMPTY, Journal, type Content, type JournalOwner } from "../changes/journal.ts";

/** A requested sign-in. */
export interface SignIn extends Lifetime {
  readonly userId: string;
  /** The id that the session will have. A failed attempt gives it another one. */
  id: string;
  /** The keys of the former data that the same user keeps. Default: all. */
  readonly keep?: readonly string[] | undefined;
  readonly note?: string | undefined;
}

/** The timeouts of one session in milliseconds, where they differ from the options. */
export interface Lifetime {
  readonly idle?: number | undefined;
  readonly absolute?: number | undefined;
}

/** Calls of a handler, besides changes of data. Each is an object of its own: its identity tells which were carried out. */
export interface Requested {
  readonly signIn?: SignIn;
  readonly rotate?: object;
  /** The session is stored, also without other changes, with these timeouts of its own and a new expiry. */
  readonly lifetime?: Lifetime;
  readonly signOut?: object;
}

const NOTHING: Requested = {};

function without(requested: Requested, done: Requested): Requested {
  if (requested === done) return NOTHING;
  const left = Object.entries(requested).filter(([name, call]) => done[name as keyof Requested] !== call);
  return left.length > 0 ? Object.fromEntries(left) : NOTHING;
}

/** The session that changes belong to. An object and no functions: each request would make one of each. */
export interface ChangedSession {
  /** The stored content that changes are compared with. */
  readonly storedContent: Content;
  /**
   * A handler changes data, or takes an object from them that it could change, also through data that it has kept.
   *
   * @param isForgotten - these data were given up meanwhile, and nobody stores them.
   */
  useData(isWrite: boolean, isForgotten: boolean): void;
  /** The keys of the former data that a sign-in keeps. `undefined`: all. */
  keptBy(signIn: SignIn): readonly string[] | undefined;
}

/** Everything that a handler has asked of its session and that is not stored yet. */
export class PendingChanges implements JournalOwner {
  readonly #session: ChangedSession;
  readonly #limits: DataRules;
  #requested = NOTHING;
  /** The calls that a failed `save()` was to carry out. Its caller has dealt with that failure. */
  #setAside: Requested | undefined;
  #journal: Journal | undefined;
  /** It outlives the journals, and a sign-out: the request's handler may have kept anything. */
  #given: GivenObjects | undefined;
  /** The key whose update is being made. */
  #updatedKey: string | undefined;

  constructor(session: ChangedSession, limits: DataRules) {
    this.#session = session;
    this.#limits = limits;
  }

  get requested(): Requested {
    return this.#requested;
  }

  /** The changes of data. The journal is made at the first access. */
  get journal(): Journal {
    return (this.#journal ??= new Journal(this.#base, this.#limits, this, (this.#given ??= new GivenObjects())));
  }

  /** The handler uses the data of a journal, which may be a former one. */
  useData(isWrite: boolean, journal: Journal): void {
    if (isWrite) this.refuseInUpdate("changed session.data");
    this.#session.useData(isWrite, this.#journal !== journal);
  }

  /** Whether the handler holds objects that it could change in place. */
  get hasGivenObjects(): boolean {
    return this.#journal?.hasGivenObjects === true;
  }

  /** The values that the handler was given, of data that are given up now. `undefined`: it holds none. */
  givenUp(): GivenUpValues | undefined {
    return this.#journal?.givenUp();
  }

  /** Whether the handler has changed such values since, and has not put them into its data. */
  isChangeLost(givenUp: GivenUpValues): boolean {
    return this.#journal ? this.#journal.isChangeLost(givenUp) : givenUp.isChangeLost({});
  }

  get hasDataChanges(): boolean {
    return this.#journal?.isChanged() === true;
  }

  /** Whether the handler would find a key in its data. It counts as no use of them. */
  hasKey(key: string): boolean {
    return (this.#journal ?? new Journal(this.#base, this.#limits)).hasKey(key);
  }

  /** After a sign-out changes belong to a new session. */
  get #base(): Content {
    return this.#requested.signOut ? EMPTY : this.#session.storedContent;
  }

  get isAnythingRequested(): boolean {
    return this.#requested !== NOTHING;
  }

  request(call: Requested): void {
    const before = this.#requested;
    this.#requested = { ...before, ...call };
    if (!call.signIn) return;
    try {
      this.#hide("throw");
    } catch (error) {
      this.#requested = before;
      // An earlier sign-in hides the same as before.
      this.restrict();
      throw error;
    }
  }

  /** Hides from the handler the data of before that the requested sign-in does not keep. @see Journal.restrict */
  #hide(onFailure: "throw" | "hide"): void {
    const { signIn } = this.#requested;
    const asked = signIn && { keep: this.#session.keptBy(signIn), userId: signIn.userId };
    if (asked || this.#journal) this.journal.restrict(asked, onFailure);
  }

  /** Decides anew which data the requested sign-in hides: the session, or the request to sign in, is another one. */
  restrict(): void {
    this.#hide("hide");
  }

  /** Signs out. Earlier changes of this request go with the session. */
  signOut(): void {
    this.forget();
    this.#requested = { signOut: {} };
  }

  /** Runs the function of an update. */
  runUpdate<T>(key: string, apply: () => T): T {
    const outer = this.#updatedKey;
    this.#updatedKey = key;
    try {
      return apply();
    } finally {
      this.#updatedKey = outer;
    }
  }

  /**
   * @param what - what the function did: `"called signIn()"`.
   * @throws TypeError while an update is being made. A commit may call its function again, after it has taken the changes.
   */
  refuseInUpdate(what: string): void {
    if (this.#updatedKey === undefined) return;
    throw new TypeError(
      `update("${this.#updatedKey}", …): its function ${what}. It may be called more than once: let it only give the new value`,
    );
  }

  /** Removes the calls that were carried out. Later ones stay. */
  markDone(done: Requested): void {
    this.#requested = without(this.#requested, done);
  }

  forget(): void {
    this.#requested = NOTHING;
    this.#setAside = undefined;
    this.forgetData();
  }

  forgetData(): void {
    this.#journal = undefined;
  }

  /** `save()` has failed to carry these out: the response leaves without them, and without the data of that moment. */
  setAside(failed: Requested): void {
    this.#setAside = { ...this.#setAside, ...failed };
    this.markDone(failed);
    this.restrict();
    this.journal.setAside();
  }

  /** `save()` is called again, and tries everything again. */
  takeBack(): void {
    if (!this.#setAside) return;
    this.#requested = { ...this.#setAside, ...this.#requested };
    this.#setAside = undefined;
    this.journal.takeBack();
    this.restrict();
  }

  /** Whether the last call of `save()` failed and nothing has changed since. */
  get isSetAside(): boolean {
    return this.#setAside !== undefined && this.#requested === NOTHING && this.journal.isSetAside;
  }

  /** The response comes: only later changes are stored with it. */
  dropSetAside(): void {
    if (!this.#setAside) return;
    this.#setAside = undefined;
    this.journal.dropSetAside(this.#base);
    this.restrict();
  }
}
