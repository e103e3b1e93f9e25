import { touchIsDue } from "./timeouts.ts";
import { plan, type Plan } from "./decisions.ts";
import { stepOf, type Step } from "./rotation.ts";
import type { LoadedRecord } from "../record/record.ts";
import type { Visit } from "../request/request-session.ts";
import type { Wishes } from "../request/requested.ts";

/**
 * What a commit of the visit would do now.
 *
 * @param withResponse - the commit comes right before the response's head. Only then is a cookie renewed: one that waits
 * for a response could undo what another request does meanwhile.
 */
export function planOf(visit: Visit, withResponse: boolean): Plan {
  const { wishes, loaded, host, standing } = visit;
  return plan(standing, {
    signedOut: visit.signedOut,
    signedIn: wishes.signIn !== undefined,
    rotated: wishes.rotate !== undefined,
    changed: visit.isChanged,
    outdated: loaded !== undefined && (loaded.byPreviousKey || (withResponse && visit.tokenByPreviousKey)),
    rotates: loaded !== undefined && stepIn(visit, loaded, withResponse) !== "none",
    touchDue:
      loaded !== undefined && !visit.passive && touchIsDue(host.now(), loaded.expiresAt, loaded.record, host.timeouts),
  });
}

/** The visit's step in the rotation of a record's secret. */
export function stepIn(visit: Visit, { record }: LoadedRecord, withResponse: boolean): Step {
  const { host } = visit;
  return stepOf(visit.matchIn(record), record.rotation, issuedAt(record), host.now(), host.rotation, withResponse);
}

export function issuedAt(record: LoadedRecord["record"]): number {
  return record.signedInAt ?? record.createdAt;
}

/** Whether somebody else signs in to the session of an owner. */
export function isNewOwner(visit: Visit, owner: string): boolean {
  const before = visit.loaded?.record.owner;
  return before !== undefined && before !== owner;
}

/** Whether a plan ends in a Set-Cookie, which only a head can carry. */
export function needsCookie(next: Plan, wishes: Wishes): boolean {
  if (next === "update") return wishes.rotate !== undefined;
  return next === "create" || next === "move" || next === "delete";
}
