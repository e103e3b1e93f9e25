import { touchIsDue } from "./expiry.ts";
import { plan, type Plan } from "./lifecycle.ts";
import { rotationIsDue } from "./rotation.ts";
import type { Visit, Wishes } from "./visit.ts";

/** What a commit of the visit would do now. */
export function planOf(visit: Visit): Plan {
  const { wishes, loaded, host, standing } = visit;
  return plan(standing, {
    signedOut: visit.signedOut,
    signedIn: wishes.signIn !== undefined,
    newToken: wishes.signIn !== undefined || wishes.rotate === true,
    newOwner: isNewOwner(visit, wishes),
    changed: visit.isChanged,
    outdated: loaded !== undefined && (loaded.byPreviousKey || visit.tokenByPreviousKey),
    rotates: turnOf(visit) !== "none",
    touchDue:
      loaded !== undefined && !visit.passive && touchIsDue(host.now(), loaded.expiresAt, loaded.record, host.timeouts),
  });
}

/** A visit's step in the rotation of its session's secret. */
export type Turn =
  | "none"
  /** The successor has been seen: it becomes the current secret. */
  | "confirm"
  /** The successor is to be named and handed out. */
  | "name"
  /** The successor that somebody has named is to be handed out again. */
  | "hand out";

export function turnOf({ host, loaded, match, headSent }: Visit): Turn {
  if (!loaded) return "none";
  if (match === "next") return "confirm";
  // The others hand out a cookie, and need a head to do it with.
  if (headSent) return "none";
  const { record } = loaded;
  if (match === "previous" || record.rotation?.next) return "hand out";
  const issuedAt = record.signedInAt ?? record.createdAt;
  return rotationIsDue(host.now(), issuedAt, record.rotation, host.rotation) ? "name" : "none";
}

/** Whether somebody else signs in to the session of an owner. */
export function isNewOwner(visit: Visit, wishes: Wishes): boolean {
  const owner = visit.loaded?.record.owner;
  return wishes.signIn !== undefined && owner !== undefined && owner !== wishes.signIn.owner;
}

/** Whether a plan ends in a Set-Cookie, which only a head can carry. */
export function needsCookie(next: Plan, wishes: Wishes): boolean {
  if (next === "update") return wishes.signIn !== undefined || wishes.rotate === true;
  return next === "create" || next === "replace" || next === "delete";
}
