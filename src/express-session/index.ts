import { Cookie } from "./cookie.ts";
import { expressStore } from "./express-store.ts";
import { session as createMiddleware, type SessionMiddleware } from "./middleware.ts";
import type { SessionOptions } from "./options.ts";
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

/** `session(options)`, with the classes of express-session as its properties. */
export interface ExpressSession {
  (options?: SessionOptions): SessionMiddleware;
  readonly Cookie: typeof Cookie;
  readonly MemoryStore: typeof MemoryStore;
  readonly Session: SessionConstructor;
  readonly Store: StoreConstructor;
  readonly expressStore: typeof expressStore;
}

/** The middleware of express-session on Sojourn. @see {@link ExpressSession} */
const session: ExpressSession = Object.assign(createMiddleware, {
  Cookie,
  MemoryStore,
  Session,
  Store,
  expressStore,
});
// oxlint-disable-next-line import/no-default-export -- the one line that an application changes imports the default
export { session, session as default, session as "module.exports" };
