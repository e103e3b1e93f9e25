import { NEVER, type SessionModel } from "./model.ts";
import type { Observer } from "./observer.ts";
import type { Process } from "./processes.ts";
import type { AdminTurn } from "./scenario.ts";
import { as, type Actor, type Timeline } from "./virtual-time.ts";

/** Revokes a session, or all of its user, as an application does it outside of requests. */
export function administer(
  turn: AdminTurn,
  session: SessionModel,
  server: Process,
  { observer, timeline }: { readonly observer: Observer; readonly timeline: Timeline },
): void {
  const actor: Actor = {
    name: turn.kind,
    fates: turn.fates,
    calls: 0,
    faults: [],
    isSigningIn: false,
    isEnding: true,
    rotation: undefined,
    beganAt: timeline.now,
  };
  const from = timeline.now;
  const { userId } = session;
  observer.note(`${turn.kind} of session ${session.id.slice(0, 4)} (${userId})`);
  const settle = (act: Promise<unknown>, done: () => void, over: () => void) =>
    void act.then(
      () => {
        if (server.connection.isDead) return;
        done();
        over();
        observer.note(`${turn.kind} of session ${session.id.slice(0, 4)} is done`);
      },
      (error: unknown) => {
        observer.hasFailures = true;
        observer.note(`${turn.kind} fails: ${String(error)}`);
        over();
      },
    );
  if (turn.kind === "revoke" || userId === undefined) {
    const ending = { kind: "revoke" as const, from, epoch: undefined, ackedAt: undefined as number | undefined };
    session.endings.push(ending);
    settle(
      as(actor, () => server.sessions.revoke(session.id)),
      () => Object.assign(ending, { ackedAt: timeline.now, hadFaults: actor.faults.length > 1 }),
      () => undefined,
    );
    return;
  }
  const except = turn.kind === "revoke all but" ? session.id : undefined;
  const revoked = {
    userId,
    except: except === undefined ? [] : [except],
    from,
    until: NEVER,
    ackedAt: undefined as number | undefined,
  };
  observer.model.revokedUsers.push(revoked);
  settle(
    as(actor, () => server.sessions.revokeAll(userId, { except })),
    () => Object.assign(revoked, { ackedAt: timeline.now, hadFaults: actor.faults.length > 1 }),
    () => (revoked.until = timeline.now),
  );
}
