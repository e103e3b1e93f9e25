export { expressStore, type ExpressSessionStore, type ExpressStoreOptions } from "./express-store.ts";
