import type { DeclaredData, Session, SignInOptions } from "../../session.ts";
import { sessionIn, type NuxtEvent } from "./carried.ts";
import { HttpError } from "./http-error.ts";

export type { NuxtEvent };
export { sessionPlugin } from "./plugin.ts";
export type { ClientSession, ServerPart } from "./carried.ts";

/** The data of the session, and its id. It is a copy. */
export type UserSession = Partial<DeclaredData> & {
  /** The public name of the session. */
  readonly id: string;
};

/** The options of {@link setUserSession}: those of `session.signIn`, and the user's id. */
export interface SetUserSessionOptions extends SignInOptions {
  /** The id of the user who signs in. Default: the `id` of the `user` among the data. */
  userId?: string | undefined;
}

/** Returns a copy of the data of the request's session. */
export async function getUserSession(event: NuxtEvent): Promise<UserSession> {
  return copyOf(await loaded(event));
}

/**
 * Merges data into those of the session: objects key by key, anything else is replaced. If there is a `user` among them, or
 * the option `userId`, this user signs in: the session gets a new token.
 *
 * @example await setUserSession(event, { user: { id: user.id, name: user.name } });
 * @throws TypeError for a `user` without an `id`, where the option `userId` does not name it either.
 */
export async function setUserSession(
  event: NuxtEvent,
  data: Partial<DeclaredData>,
  options: SetUserSessionOptions = {},
): Promise<UserSession> {
  return change(await loaded(event), data, options);
}

/** Replaces the data of the session. It does otherwise as {@link setUserSession}. */
export async function replaceUserSession(
  event: NuxtEvent,
  data: Partial<DeclaredData>,
  options: SetUserSessionOptions = {},
): Promise<UserSession> {
  return change(await loaded(event), data, options, (session) => session.clear());
}

/** @param before - is called once nothing can be wrong any more with what was given. */
function change(
  session: Session,
  data: Partial<DeclaredData>,
  { userId, ...options }: SetUserSessionOptions,
  before?: (session: Session) => void,
): UserSession {
  const user = userId ?? idOf(data);
  // First, since it refuses what it can't use, and hides what belongs to another user, so that this is not merged.
  if (user !== undefined && user !== session.userId) session.signIn(user, options);
  before?.(session);
  merge(session.data, data);
  return copyOf(session);
}

/**
 * Returns a copy of the session's data where somebody is signed in.
 *
 * @throws an error with the status 401 otherwise, or with that of the options.
 */
export async function requireUserSession(
  event: NuxtEvent,
  { statusCode = 401, message = "Unauthorized" }: { statusCode?: number; message?: string } = {},
): Promise<UserSession> {
  const session = await loaded(event);
  if (session.userId === undefined) throw new HttpError(statusCode, message);
  return copyOf(session);
}

/** Signs out: the session ends on the server, and the cookie is cleared. */
export async function clearUserSession(event: NuxtEvent): Promise<boolean> {
  (await loaded(event)).signOut();
  return true;
}

const loaded = (event: NuxtEvent): Promise<Session> => sessionIn(event.context).load();

function copyOf(session: Session): UserSession {
  return { ...session.toJSON(), id: session.id };
}

function idOf(data: Partial<DeclaredData>): string | undefined {
  const { user } = data as { user?: { id?: unknown } | null };
  if (user === undefined || user === null) return undefined;
  if (typeof user.id === "string" || typeof user.id === "number") return String(user.id);
  throw new TypeError(
    "setUserSession: the user has no id, and lists of sessions need one: give it a property `id`, or call setUserSession(event, data, { userId })",
  );
}

function merge(target: object, given: object): void {
  for (const [key, value] of Object.entries(given) as [string, unknown][]) {
    // What an object inherits, all objects of the process share.
    const present: unknown = Object.hasOwn(target, key) ? Reflect.get(target, key) : undefined;
    if (isPlain(value) && isPlain(present)) merge(present, value);
    else Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  }
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
