import { Cookie } from "./cookie.ts";
import { expressStore } from "./express-store.ts";
import { session as createMiddleware, type SessionMiddleware } from "./middleware.ts";
import type { CookieSettings, SessionOptions } from "./options.ts";
import { Session, type SessionConstructor } from "./session.ts";
import { MemoryStore, Store, type StoreConstructor } from "./store.ts";

export { type ExpressSessionStore, type ExpressStoreOptions } from "./express-store.ts";
export type { CookieSettings, SessionOptions, Secret } from "./options.ts";
export type { SessionMiddleware } from "./middleware.ts";
export type { SessionView } from "./session-view.ts";
export type { StoreConstructor, StoredData, StoreRequest } from "./store.ts";
export type { SessionConstructor } from "./session.ts";
export { Cookie, expressStore, MemoryStore, Session, Store };

/**
 * The data of every session, declared once for the whole program.
 *
 * @example
 * import "sojourn/express-session/types";
 * declare module "sojourn/express-session" {
 *   interface SessionData {
 *     username?: string;
 *   }
 * }
 */
export interface SessionData {
  /** The attributes of the session's cookie. */
  cookie: Cookie;
}

/**
 * Lets the compiler accept a class where a factory of stores, such as `memorystore(session)`, asks for the class of
 * @types/express-session. Nobody can call this signature, and the instances that `new` gives have their own types.
 */
export interface ForStoreFactories {
  // A type parameter, because `class MyStore extends session.Store` takes a signature without one.
  new <Instance>(...uncallable: never): Instance;
}

/** `session(options)`, with the classes of express-session as its properties. */
export interface ExpressSession {
  (options?: SessionOptions): SessionMiddleware;
  readonly Cookie: ForStoreFactories & typeof Cookie;
  readonly MemoryStore: ForStoreFactories & typeof MemoryStore;
  readonly Session: ForStoreFactories & SessionConstructor;
  readonly Store: ForStoreFactories & StoreConstructor;
  readonly expressStore: typeof expressStore;
}

/** The middleware of express-session on Sojourn. @see {@link ExpressSession} */
const session = Object.assign(createMiddleware, {
  Cookie,
  MemoryStore,
  Session,
  Store,
  expressStore,
}) as ExpressSession;

// The types by the names that @types/express-session gives them, as in `session.SessionOptions`: a value that is a namespace of
// types too is written in no other way.
/* oxlint-disable typescript/no-namespace, no-shadow */
declare namespace session {
  type CookieOptions = Types["cookieOptions"];
  type SessionOptions = Types["options"];
  type SessionData = Types["data"];
  type Cookie = Types["cookie"];
  type Session = Types["session"];
  type Store = Types["store"];
  type MemoryStore = Types["memoryStore"];
}
/* oxlint-enable typescript/no-namespace, no-shadow */

/** In the namespace these names are its own. */
interface Types {
  readonly cookieOptions: CookieSettings;
  readonly options: SessionOptions;
  readonly data: SessionData;
  readonly cookie: Cookie;
  readonly session: Session;
  readonly store: Store;
  readonly memoryStore: MemoryStore;
}

// oxlint-disable-next-line import/no-default-export -- the one line that an application changes imports the default
export { session, session as default, session as "module.exports" };
