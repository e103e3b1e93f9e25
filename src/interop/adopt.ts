/** The entry `sojourn/adopt`: sources for the option `adopt` of `createSessions`. */
export { expressSession, type ExpressSessionOptions } from "./express-session.ts";
export { cookieSession, type CookieSessionOptions } from "./cookie-session.ts";
export { ironSession, type IronSessionOptions } from "./iron-session.ts";
export { fastifySession, type FastifySessionOptions } from "./fastify-session.ts";
export { koaSession, type KoaSessionOptions, type KoaSessionStore } from "./koa-session.ts";
export type { SourceOptions, FormerData } from "./source.ts";
export type { CallbackStore, ReadData } from "./stores.ts";
export type { FormerSecret, Keygrip } from "./signatures.ts";
