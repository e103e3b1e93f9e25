export { createSessions, type Sessions } from "./sessions.ts";
export type { SessionsOptions } from "./options.ts";
export type { Session, SignInOptions, SaveOptions } from "./session.ts";
export type { CookieOptions } from "./request/cookie.ts";
export type { Duration } from "./duration.ts";
export type { Limits } from "./changes/codec.ts";
export type { SecretKey } from "./record/keyring.ts";
export type { FormerCookie, FormerSession, FormerSessions, FoundSession } from "./former.ts";
export { SessionError, type SessionErrorCode } from "./errors.ts";
export type { SessionEvent, SessionEvents, SessionListener } from "./events.ts";
export type { UserLimit, SessionInfo } from "./users.ts";
export type { Client, Flash } from "./record/record.ts";
export type { ClientDetails, ClientRequest } from "./request/client.ts";
export type { AnyRequest } from "./request/request.ts";
export type { ResponseHeaders } from "./request/cache-headers.ts";
export type { SessionStore, SessionUpdate, StoredSession, SyncOperation } from "./store.ts";

/**
 * The data of every session, declared once for the whole program:
 *
 * @example
 * declare module "sojourn" {
 *   interface SessionData {
 *     username?: string;
 *   }
 * }
 */
// oxlint-disable-next-line typescript/no-empty-interface, typescript/no-empty-object-type -- a program adds its members
export interface SessionData {}
