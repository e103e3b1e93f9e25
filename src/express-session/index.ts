import { Cookie } from "./cookie.ts";
import { session as createMiddleware, type SessionMiddleware } from "./middleware.ts";
import type { SessionOptions } from "./options.ts";
import { Session, type SessionConstructor } from "./session.ts";
import { MemoryStore, Store, type StoreConstructor } from "./store.ts";

export { expressStore, type ExpressSessionStore, type ExpressStoreOptions } from "./express-store.ts";
export type { CookieSettings, SessionOptions, Secret } from "./options.ts";
export type { SessionMiddleware } from "./middleware.ts";
export { Cookie, MemoryStore, Session, Store };

/** `session(options)`, with the classes of express-session as its properties. */
export interface ExpressSession {
  (options?: SessionOptions): SessionMiddleware;
  readonly Cookie: typeof Cookie;
  readonly MemoryStore: typeof MemoryStore;
  readonly Session: SessionConstructor;
  readonly Store: StoreConstructor;
}

const session: ExpressSession = Object.assign(createMiddleware, { Cookie, MemoryStore, Session, Store });
// oxlint-disable-next-line import/no-default-export -- the one line that an application changes imports the default
export { session, session as default, session as "module.exports" };
