import { Cookie } from "./cookie.ts";
import type { Store, StoredData, StoreRequest } from "./store.ts";

type Dictionary = Record<string, unknown>;
// oxlint-disable-next-line typescript/no-explicit-any -- callbacks of applications declare what they expect
type Callback = (error?: any) => void;

/** What is behind a session object. */
export interface Backing {
  readonly request: unknown;
  readonly id: string;
  readonly data: Dictionary;
  cookie: Cookie;
  /** Asks for the session to be stored, although nothing has changed. */
  keep(): void;
  destroy(): void;
  regenerate(): void;
  reload(): Promise<void>;
  /** Stores what was asked for. `isAwaited`: the caller deals with a failure. Otherwise the response tries again. */
  store(isAwaited: boolean): Promise<void>;
}

/** Where the object behind a session is found. */
const BACKING = Symbol("sojourn.expressSession");
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Members that are no data. */
const OWN: readonly string[] = ["cookie", "req", "id"];

/** `req.session`: its own keys are the data, beside `cookie`. */
export interface Session {
  /** The session's public name. Alone it opens nothing. */
  readonly id: string;
  /** The attributes of this session's cookie. */
  cookie: Cookie;
  /** Stores the session now. Without a callback it gives a promise. */
  save(): Promise<void>;
  save(callback: Callback): this;
  save(callback?: Callback): this | Promise<void>;
  /** Reads the data anew. Changes that were not stored are forgotten. */
  reload(): Promise<void>;
  reload(callback: Callback): this;
  reload(callback?: Callback): this | Promise<void>;
  /** Ends the session, and removes `req.session`. */
  destroy(): Promise<void>;
  destroy(callback: Callback): this;
  destroy(callback?: Callback): this | Promise<void>;
  /** Ends the session, and puts a new one with another id in its place. */
  regenerate(): Promise<void>;
  regenerate(callback: Callback): this;
  regenerate(callback?: Callback): this | Promise<void>;
  /** Begins the lifetime anew, and stores it. Each request does that by itself, at most once in `touchInterval`. */
  touch(): this;
  /** Begins the lifetime of the cookie anew. */
  resetMaxAge(): this;
}

/** The class of `req.session`, as `instanceof` takes it. */
export interface SessionConstructor {
  new (req: StoreRequest, data?: StoredData): Session;
  readonly prototype: Session;
}

/** The class of `req.session`. */
// oxlint-disable-next-line no-shadow -- the name of the class, as a debugger shows it
export const Session = function Session(req: StoreRequest, data?: StoredData): Session {
  return createLoadedSession(req, data);
} as unknown as SessionConstructor;

function backingOf(session: unknown): Backing {
  const found = (session as { [BACKING]?: Backing } | null | undefined)?.[BACKING];
  if (!found) throw new TypeError("This is not a session of sojourn/express-session: call its methods on req.session");
  return found;
}

/** The backing of what somebody has set as `req.session`. */
export function findBacking(session: unknown): Backing | undefined {
  return typeof session === "object" && session !== null ? (session as { [BACKING]?: Backing })[BACKING] : undefined;
}

const methods = {
  save(this: Session, callback?: unknown) {
    const backing = backingOf(this);
    return storedAfter(() => backing.keep(), this, backing, callback);
  },
  destroy(this: Session, callback?: unknown) {
    const backing = backingOf(this);
    return storedAfter(() => backing.destroy(), this, backing, callback);
  },
  regenerate(this: Session, callback?: unknown) {
    const backing = backingOf(this);
    return storedAfter(() => backing.regenerate(), this, backing, callback);
  },
  reload(this: Session, callback?: unknown) {
    const reloading = backingOf(this).reload();
    if (typeof callback !== "function") {
      // Many a caller takes no result, and its rejection would end the process.
      reloading.catch(() => {});
      return reloading;
    }
    callBack(reloading, callback);
    return this;
  },
  touch(this: Session) {
    backingOf(this).keep();
    return this.resetMaxAge();
  },
  resetMaxAge(this: Session) {
    const { cookie } = this;
    cookie.maxAge = cookie.originalMaxAge;
    return this;
  },
  [INSPECT](this: Session, _depth: number, options: object, inspect: (value: unknown, options: object) => string) {
    return `Session ${inspect(Object.fromEntries(Object.entries(this)), options)}`;
  },
};

for (const name of Reflect.ownKeys(methods)) {
  const value = methods[name as keyof typeof methods];
  Object.defineProperty(Session.prototype, name, { value, writable: true, configurable: true });
}

/** As an error that is thrown in a callback is nobody's rejection, it ends the process. */
function callBack(outcome: Promise<void>, callback: Function): void {
  outcome.then(
    () => process.nextTick(callback as () => void),
    (error: unknown) => process.nextTick(callback as (error: unknown) => void, error),
  );
}

/** A callback is told of every failure: an error that is thrown in another callback would end the process. */
function storedAfter(ask: () => void, session: Session, backing: Backing, callback: unknown): Session | Promise<void> {
  try {
    ask();
  } catch (error) {
    if (typeof callback !== "function") throw error;
    process.nextTick(callback, error);
    return session;
  }
  return stored(session, backing, callback);
}

function stored(session: Session, backing: Backing, callback: unknown): Session | Promise<void> {
  if (typeof callback !== "function") return Outcome.of(backing);
  callBack(backing.store(true), callback);
  return session;
}

/**
 * The promise of a call without a callback. Many an application never looks at it and expects that the session is stored
 * with the response: it is stored when somebody looks at the promise, or else in the next turn of the event loop. A failure
 * that nobody looks at is the response's.
 */
class Outcome extends Promise<void> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static of(backing: Backing): Promise<void> {
    let settle: { resolve(value: Promise<void>): void };
    const outcome = new Outcome((resolve) => (settle = { resolve }));
    outcome.#begin = (isAwaited) => {
      outcome.#begin = undefined;
      settle.resolve(backing.store(isAwaited));
    };
    void Promise.prototype.then.call(outcome, undefined, () => {});
    setImmediate(() => outcome.#begin?.(false));
    return outcome;
  }

  #begin: ((isAwaited: boolean) => void) | undefined;

  // oxlint-disable-next-line unicorn/no-thenable -- it is a promise, which is begun by this call
  override then<A = void, B = never>(
    onFulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#begin?.(true);
    return super.then(onFulfilled, onRejected);
  }
}

/** The object that a handler gets: data as its own keys, through which changes are noticed. */
export function createSession(backing: Backing): Session {
  const target = Object.create(Session.prototype) as object;
  (target as { [BACKING]?: Backing })[BACKING] = backing;
  return new Proxy(target, traps) as Session;
}

/** A session of data that a store gave, outside of a request. */
export function createLoadedSession(req: StoreRequest, loaded?: StoredData): Session {
  const { cookie, ...data } = loaded ?? { cookie: {} };
  return createSession(
    new LoadedBacking(req, new Cookie(cookie), Object.assign(Object.create(null) as Dictionary, data)),
  );
}

class LoadedBacking implements Backing {
  readonly request: StoreRequest;
  readonly data: Dictionary;
  readonly id: string;
  cookie: Cookie;

  constructor(request: StoreRequest, cookie: Cookie, data: Dictionary) {
    this.request = request;
    this.id = request.sessionID as string;
    this.cookie = cookie;
    this.data = data;
  }

  get #store(): Store {
    return this.request.sessionStore as Store;
  }

  #next: (done: (error?: unknown) => void) => void = (done) => done();

  keep(): void {
    this.#next = (done) => this.#store.set(this.id, { ...this.data, cookie: this.cookie }, done);
  }

  destroy(): void {
    this.#next = (done) => this.#store.destroy(this.id, done);
  }

  regenerate(): void {
    this.#next = (done) => this.#store.regenerate(this.request, done);
  }

  reload(): Promise<void> {
    return promised((done) =>
      this.#store.get(this.id, (error, data) => {
        if (!error && data) this.request.session = this.#store.createSession(this.request, data);
        done(error ?? (data ? undefined : new Error(NOT_FOUND)));
      }),
    );
  }

  store(): Promise<void> {
    return promised(this.#next);
  }
}

export const NOT_FOUND = "failed to load session";

function promised(call: (done: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** A property of the target, which the traps hide: an entry in a WeakMap costs more, at every garbage collection. */
const behind = (target: object): Backing => (target as { [BACKING]: Backing })[BACKING];
const isMethod = (key: string | symbol): boolean => Object.hasOwn(Session.prototype, key);
const isData = (key: string | symbol): key is string => typeof key === "string" && !OWN.includes(key) && !isMethod(key);

/** One object for all sessions. A property that an application puts in place of a method is kept in the target, and not stored. */
const traps: ProxyHandler<object> = {
  get(target, key, receiver) {
    const backing = behind(target);
    switch (key) {
      case "cookie":
        return backing.cookie;
      case "id":
        return backing.id;
      case "req":
        return backing.request;
      case BACKING:
        return backing;
      case "__proto__":
        // Whoever writes to the prototype writes to the sessions of all clients.
        return undefined;
      default:
        if (!isData(key) || !Object.hasOwn(backing.data, key)) return Reflect.get(target, key, receiver) as unknown;
        return backing.data[key];
    }
  },

  set(target, key, value) {
    const backing = behind(target);
    if (key === "cookie") backing.cookie = value instanceof Cookie ? value : new Cookie(value as object);
    else if (key === "id" || key === "req") return false;
    // The application has defined it, as something that is not stored.
    else if (Object.hasOwn(target, key)) return Reflect.set(target, key, value);
    else if (isData(key)) {
      // It would become the prototype of whatever the data are copied to.
      if (key !== "__proto__") backing.data[key] = value;
    } else Object.defineProperty(target, key, { value, writable: true, configurable: true });
    return true;
  },

  has: (target, key) => OWN.includes(key as string) || Reflect.has(target, key) || key in behind(target).data,

  deleteProperty(target, key) {
    return isData(key) ? delete behind(target).data[key] : Reflect.deleteProperty(target, key);
  },

  ownKeys: (target) => [
    "cookie",
    ...Object.keys(behind(target).data).filter(isData),
    ...Reflect.ownKeys(target).filter((key) => key !== BACKING),
  ],

  getOwnPropertyDescriptor(target, key) {
    const { cookie, data } = behind(target);
    if (key === "cookie") return { value: cookie, writable: true, enumerable: true, configurable: true };
    if (key === BACKING) return undefined;
    if (!isData(key)) return Reflect.getOwnPropertyDescriptor(target, key);
    const descriptor = Reflect.getOwnPropertyDescriptor(data, key);
    return descriptor && { ...descriptor, configurable: true };
  },

  defineProperty(target, key, descriptor) {
    const { data } = behind(target);
    const isSeen = descriptor.enumerable ?? (isData(key) && Object.hasOwn(data, key));
    if (!isData(key) || !("value" in descriptor) || !isSeen)
      return Reflect.defineProperty(target, key, { ...descriptor, configurable: true });
    data[key] = descriptor.value;
    return true;
  },
};
