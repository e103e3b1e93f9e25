import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { createLoadedSession, type Session } from "./session.ts";

type Callback<Value = void> = (error?: unknown, value?: Value) => void;
type Dictionary = Record<string, unknown>;

/** A session as a store has it: its data, and its cookie. */
export type StoredData = Dictionary & { cookie: object };

/** A request that has a session, or is given one. */
export type StoreRequest = IncomingMessage & { sessionID?: unknown; session?: unknown; sessionStore?: unknown };

/** The base of every store of express-session. */
export interface Store extends EventEmitter {
  /** Gives the session of this id. */
  get(id: string, callback: (error: unknown, session?: StoredData | null) => void): void;
  /** Stores a session under an id. */
  set(id: string, session: StoredData, callback?: (error?: unknown) => void): void;
  /** Ends a session. */
  destroy(id: string, callback?: (error?: unknown) => void): void;
  /** Extends a session. */
  touch?(id: string, session: StoredData, callback?: (error?: unknown) => void): void;
  /** Gives every session. */
  all?(callback: (error: unknown, sessions?: StoredData[] | Record<string, StoredData> | null) => void): void;
  /** Gives the number of sessions. */
  length?(callback: (error: unknown, length?: number) => void): void;
  /** Ends every session. */
  clear?(callback?: (error?: unknown) => void): void;
  /** Gives a request another session in place of its own, which ends. */
  regenerate(req: StoreRequest, callback: (error?: unknown) => unknown): void;
  /** Reads a session outside of its requests. */
  load(id: string, callback: (error: unknown, session?: Session) => unknown): void;
  /** Gives a request the session of these data. */
  createSession(req: StoreRequest, session: StoredData): Session;
}

/** Older stores call it without `new`, which a class refuses. Beside that, it is what a class that extends EventEmitter is. */
export interface StoreConstructor extends Pick<typeof EventEmitter, keyof typeof EventEmitter> {
  new (options?: unknown): Store;
  (this: Store, options?: unknown): void;
  readonly prototype: Store;
}

/** The base class of stores, for `class MyStore extends session.Store`. */
// oxlint-disable-next-line no-shadow -- the name of the class, as a debugger shows it
export const Store = function Store(this: Store): void {
  Reflect.apply(EventEmitter as unknown as (this: Store) => void, this, []);
} as unknown as StoreConstructor;

Object.setPrototypeOf(Store, EventEmitter);
Object.setPrototypeOf(Store.prototype, EventEmitter.prototype);
for (const [name, value] of Object.entries({
  regenerate(this: Store & { generate(req: StoreRequest): void }, req: StoreRequest, callback: Callback) {
    this.destroy(req.sessionID as string, (error) => {
      try {
        this.generate(req);
      } catch (failure) {
        return callback(error ?? failure);
      }
      callback(error);
    });
  },
  load(this: Store, id: string, callback: Callback<Session>) {
    this.get(id, (error, data) => {
      if (error || !data) return callback(error ?? undefined);
      callback(undefined, createLoadedSession({ sessionID: id, sessionStore: this } as StoreRequest, data));
    });
  },
  createSession(this: Store, req: StoreRequest, data: StoredData) {
    return (req.session = createLoadedSession(req, data));
  },
}))
  Object.defineProperty(Store.prototype, name, { value, writable: true, configurable: true });

/** Keeps sessions in the memory of this process, as text: for development, and for tests. */
export class MemoryStore extends Store {
  /** The sessions as JSON, by their ids. */
  sessions: Record<string, string> = Object.create(null) as Record<string, string>;

  override get(id: string, callback: (error: unknown, session?: StoredData | null) => void): void {
    setImmediate(() => callback(null, this.#find(id)));
  }

  override set(id: string, session: StoredData, callback?: (error?: unknown) => void): void {
    this.sessions[id] = JSON.stringify(session);
    if (callback) setImmediate(callback);
  }

  override destroy(id: string, callback?: (error?: unknown) => void): void {
    delete this.sessions[id];
    if (callback) setImmediate(callback);
  }

  override touch(id: string, { cookie }: StoredData, callback?: (error?: unknown) => void): void {
    const found = this.#find(id);
    if (found) this.sessions[id] = JSON.stringify({ ...found, cookie });
    if (callback) setImmediate(callback);
  }

  override all(callback: (error: unknown, sessions?: Record<string, StoredData>) => void): void {
    setImmediate(() => callback(null, this.#all()));
  }

  override length(callback: (error: unknown, length?: number) => void): void {
    setImmediate(() => callback(null, Object.keys(this.#all()).length));
  }

  override clear(callback?: (error?: unknown) => void): void {
    this.sessions = Object.create(null) as Record<string, string>;
    if (callback) setImmediate(callback);
  }

  #all(): Record<string, StoredData> {
    const found = Object.keys(this.sessions).flatMap((id) => {
      const session = this.#find(id);
      return session ? [[id, session] as const] : [];
    });
    return Object.assign(Object.create(null) as Record<string, StoredData>, Object.fromEntries(found));
  }

  #find(id: string): StoredData | undefined {
    const text = this.sessions[id];
    if (text === undefined) return undefined;
    const session = JSON.parse(text) as StoredData;
    const { expires } = (session.cookie ?? {}) as { expires?: string | null };
    if (!expires || new Date(expires).getTime() > Date.now()) return session;
    delete this.sessions[id];
    return undefined;
  }
}
