import { touchIsDue } from "./timeouts.ts";
import { plan, type Plan } from "./decisions.ts";
import { stepOf, type RotationStep } from "./rotation.ts";
import type { Context } from "../context.ts";
import type { LoadedRecord } from "../record/record.ts";
import type { PendingChanges, SignIn } from "../request/pending-changes.ts";
import type { RequestSession } from "../request/request-session.ts";

/**
 * Decides the plan of a commit.
 *
 * @param withResponse - the commit comes right before the response's headers. Only then a cookie is renewed: one that waits
 * for its response could undo another request's sign-in.
 */
export function planOf(requestSession: RequestSession, withResponse: boolean): Plan {
  const { changes, loaded, context, tokenStatus } = requestSession;
  const { requested } = changes;
  return plan(tokenStatus, {
    signedOut: requestSession.isSignedOut,
    confirms: requested.signOut !== undefined && requestSession.endedIds.length > 0,
    signedIn: requested.signIn !== undefined,
    rotated: requested.rotate !== undefined,
    // In this order: the commit stores the data that were looked at just now, and not at an earlier look.
    changed: changes.hasDataChanges || requested.lifetime !== undefined,
    outdated: loaded !== undefined && (loaded.byPreviousKey || (withResponse && requestSession.isTokenByPreviousKey)),
    rotates: loaded !== undefined && stepIn(requestSession, loaded, withResponse) !== "none",
    touchDue:
      loaded !== undefined &&
      !requestSession.passive &&
      !requestSession.hasAdopted &&
      touchIsDue(context.now(), loaded.expiresAt, loaded.record, context.timeouts),
  });
}

/** The request's step in the rotation of a record's secret. */
export function stepIn(requestSession: RequestSession, { record }: LoadedRecord, withResponse: boolean): RotationStep {
  const { context } = requestSession;
  if (!context.rotation && !record.rotation) return "none";
  return stepOf(
    requestSession.matchIn(record),
    record.rotation,
    issuedAt(record),
    context.now(),
    context.rotation,
    withResponse,
  );
}

export function issuedAt(record: LoadedRecord["record"]): number {
  return record.signedInAt ?? record.createdAt;
}

/** Whether another user signs in to a user's session. */
export function isAnotherUser(requestSession: RequestSession, userId: string): boolean {
  const before = requestSession.visibleRecord?.userId;
  return before !== undefined && before !== userId;
}

/** The keys of the former data that a sign-in keeps. `undefined`: all. Another user sees none of the former one's. */
export function keptBy(requestSession: RequestSession, { userId, keep }: SignIn): readonly string[] | undefined {
  return isAnotherUser(requestSession, userId) ? [] : keep;
}

/** Whether a plan sets the cookie, which only unsent headers can carry. */
export function needsCookie(next: Plan, changes: PendingChanges, { clientSide }: Pick<Context, "clientSide">): boolean {
  if (next === "update") return clientSide !== undefined || changes.requested.rotate !== undefined;
  if (next === "confirm") return beginsAfterEnd(changes);
  return next === "create" || next === "move" || next === "delete";
}

/** Whether a sign-out is followed by a new session. */
export function beginsAfterEnd({ requested, hasDataChanges }: PendingChanges): boolean {
  const { signIn, rotate, lifetime } = requested;
  return signIn !== undefined || rotate !== undefined || lifetime !== undefined || hasDataChanges;
}
