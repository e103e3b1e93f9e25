// Stores that are made by a function of `session`, with the published types of those functions.
/* oxlint-disable import/no-named-as-default, import/no-named-as-default-member -- as an application has it */
import connectPgSimple from "connect-pg-simple";
import expressSession from "express-session";
import memorystore from "memorystore";
import FileStoreFactory from "session-file-store";
import session, { type Cookie, type MemoryStore, type Session, type Store } from "sojourn/express-session";

declare module "express-session" {
  interface SessionData {
    username: string;
  }
}

const FileStore = FileStoreFactory(session);
const PgStore = connectPgSimple(session);
const OwnMemoryStore = memorystore(session);
export const stores = [new FileStore(), new PgStore(), new OwnMemoryStore({ checkPeriod: 86_400_000 })];
for (const store of stores) session({ secret: "secret", store });

// As connect-session-sequelize, connect-sqlite3, express-mysql-session and connect-mongodb-session declare theirs.
declare function byStore(base: typeof expressSession.Store): unknown;
declare function byNewableStore(from: { Store: abstract new () => expressSession.Store }): unknown;
declare function bySession(from: typeof expressSession): unknown;
export const made = [byStore(session.Store), byNewableStore(session), bySession(session)];
export const withItsOptions = (options: expressSession.SessionOptions) => session(options);

// The classes keep their own types where the application uses them.
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- so the compiler compares two types exactly
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
export const memory = new session.MemoryStore();
export const store = new session.Store();
export const cookie = new session.Cookie({ maxAge: 1 });
export const same: [
  Same<typeof memory, MemoryStore>,
  Same<typeof store, Store>,
  Same<typeof cookie, Cookie>,
  Same<InstanceType<typeof session.Session>, Session>,
  Same<InstanceType<typeof session.Store>, Store>,
] = [true, true, true, true, true];
export class OwnStore extends session.Store {
  override get(_id: string, callback: (error: unknown, session?: null) => void): void {
    callback(null, null);
  }
}
// @ts-expect-error -- it takes options
export const wrong = new session.Cookie(5);
// @ts-expect-error -- nobody knows this member
export const unknown: unknown = new OwnStore().unknown;
