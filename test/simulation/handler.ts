import type { Session, SessionError, Sessions } from "sojourn";
import { NEVER, type RequestModel, type RevokedUser } from "./model.ts";
import type { Observer } from "./observer.ts";
import { KEEPS, WRITES } from "./operations.ts";
import { USERS, type Step } from "./scenario.ts";
import type { Timeline } from "./virtual-time.ts";

type Data = Record<string, unknown>;

/** Does one thing of a handler's, and tells the observer. */
export async function runStep(
  observer: Observer,
  timeline: Timeline,
  sessions: Sessions<Data>,
  request: RequestModel,
  session: Session<Data>,
  { name, choice }: Step,
): Promise<void> {
  // What would need a cookie is an error there.
  if (request.isConnection && session.isNew) return;
  const write = WRITES[name];
  if (write) {
    request.needsCookie ||= session.isNew;
    return write.write(session, observer.marks.mark(request, name, session).name);
  }
  switch (name) {
    case "read":
      return;
    case "flash":
      request.needsCookie ||= session.isNew;
      return session.flash("info", observer.marks.mark(request, "flash", session).name);
    case "take flashes":
      return observer.marks.took(
        request,
        session.takeFlashes().map(({ message }) => message as string),
      );
    case "remove a key": {
      const key = Object.keys(session.data).find((one) => one.startsWith("own "));
      const mark = key && observer.model.marks.find((one) => one.name === session.data[key]);
      if (!mark) return;
      delete session.data[key];
      return observer.marks.removes(request, mark);
    }
    case "save":
      return save(observer, timeline, request, session);
    case "save, and do not merge":
      return save(observer, timeline, request, session, "fail");
    case "reload":
      return reload(observer, timeline, request, session);
    case "sign in": {
      // Of two in one request nothing is promised but the later one's user.
      if (
        request.signIn ||
        request.setAside ||
        (request.session?.request === request && request.session.userId !== undefined && !request.hasSignedOut)
      )
        return;
      const userId = USERS[choice % USERS.length]!;
      const keep = KEEPS[(choice >> 1) % KEEPS.length];
      const isRemembered = choice > 8;
      observer.commits.ends(request, "sign-in");
      request.signInCall = observer.model.signsIn(userId, timeline.now);
      session.signIn(userId, {
        keep,
        ...(isRemembered ? { remember: { idleTimeout: "45s", absoluteTimeout: "100s" } } : {}),
      });
      request.signIn = { userId, keep, isRemembered };
      request.actor.isSigningIn = request.leftAt === undefined;
      return observer.commits.hasNewId(request, session);
    }
    case "sign out":
      observer.commits.ends(request, "sign-out");
      session.signOut();
      observer.commits.forgets(request);
      return observer.commits.hasNewId(request, session);
    case "revoke others":
      return revokeOthers(observer, timeline, sessions, request, session);
    case "rotate":
      observer.commits.ends(request, "rotate");
      session.rotate();
      request.isRotating = true;
      if (request.leftAt === undefined) request.actor.rotation = {};
      return;
    default:
      throw new Error(`The simulation has no step "${name}"`);
  }
}

/** As after a change of the password: only the session of this request stays. */
async function revokeOthers(
  observer: Observer,
  timeline: Timeline,
  sessions: Sessions<Data>,
  request: RequestModel,
  session: Session<Data>,
): Promise<void> {
  const { userId, id } = session;
  if (userId === undefined || request.isConnection) return;
  const except = [id, ...(request.session && !request.hasSignedOut ? [request.session.id] : [])];
  const revoked: RevokedUser = { userId, except, from: timeline.now, until: NEVER, ackedAt: undefined };
  observer.model.revokedUsers.push(revoked);
  const faults = request.actor.faults.length;
  try {
    await sessions.revokeAll(userId, { except: id });
    revoked.ackedAt = timeline.now;
    revoked.hadFaults = request.actor.faults.length > faults + 1;
  } catch (error) {
    observer.note(`request ${request.number} can't revoke the others: ${codeOf(error)}`);
  }
  revoked.until = timeline.now;
}

async function save(
  observer: Observer,
  timeline: Timeline,
  request: RequestModel,
  session: Session<Data>,
  onConflict: "merge" | "fail" = "merge",
): Promise<void> {
  // Nothing is promised of it but that it fails where a cookie would be needed.
  if (request.leftAt !== undefined) return;
  const began = timeline.now;
  const before = observer.marks.ofOthers(request, session);
  observer.commits.saves(request);
  request.isUnmerged = onConflict === "fail";
  request.isSaving = true;
  try {
    await session.save({ onConflict });
  } catch (error) {
    observer.commits.failed(request, codeOf(error), began);
    request.isUnmerged = request.isSaving = false;
    return;
  }
  request.isSaving = false;
  if (request.isUnmerged) observer.marks.checkUnmerged(request, session, before);
  request.isUnmerged = false;
  observer.commits.stored(request, session, began);
}

async function reload(
  observer: Observer,
  timeline: Timeline,
  request: RequestModel,
  session: Session<Data>,
): Promise<void> {
  observer.commits.reloads(request);
  const began = timeline.now;
  try {
    await session.reload();
  } catch (error) {
    return observer.commits.failed(request, codeOf(error), began);
  }
  observer.commits.reloaded(request, session, began);
}

export function codeOf(error: unknown): string {
  const { code, stack } = error as Partial<SessionError>;
  return code ?? stack ?? String(error);
}
