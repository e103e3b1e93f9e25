import { isSession } from "../request/session-handle.ts";

/** Where handlers find the session of a request, as its property `session`. */
export interface SessionHolder {
  session?: unknown;
}

/**
 * Checks that no other library has put a session into the place of ours: it would still store its own at the end, find ours
 * there, and fail.
 *
 * @throws TypeError that names the property.
 */
export function checkFree(holder: Readonly<SessionHolder>): void {
  const { session } = holder;
  if (session === undefined || session === null || isSession(session)) return;
  throw new TypeError(
    `${nameIn(holder)} has the session of another library, or a value of middleware before this: mount one library of sessions only`,
  );
}

/**
 * Checks that a program has not put `null` or data in the place of a request's session, as cookie-session, koa-session and
 * express-session allow: nothing would come of it. The session of another library is an object of a class.
 *
 * @param property - for the message. Default: `"ctx.session"` of a context that has a request, or `"req.session"`.
 * @throws TypeError that names what to call.
 */
export function checkUnreplaced(holder: Readonly<SessionHolder>, property?: string): void {
  const { session } = holder;
  if (typeof session === "object" && session !== null && Object.getPrototypeOf(session) !== Object.prototype) return;
  const name = property ?? nameIn(holder);
  throw new TypeError(
    `${name} was replaced, which changes nothing of the session: session.signOut() ends it, session.clear() removes its data; put data into ${name}.data`,
  );
}

const nameIn = (holder: object) => ("req" in holder ? "ctx.session" : "req.session");
