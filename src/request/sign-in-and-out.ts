import { createRandomPart } from "../random.ts";
import type { SignIn } from "./pending-changes.ts";
import type { RequestSession } from "./request-session.ts";

/** Requests that signed in and never ended are forgotten beyond this many. */
const MAX_MOVES = 1000;

/** Signs in at the next commit. The session has its new id at once, so that the handler can use it. */
export function requestSignIn(
  requestSession: RequestSession,
  userId: string,
  { note, keep, idle, absolute }: Omit<SignIn, "userId" | "id">,
): void {
  // A commit under way may be storing the session under the other id already.
  const isStored = willMove(requestSession) || requestSession.committing !== undefined;
  const id = isStored ? createRandomPart() : requestSession.id;
  requestSession.watchClose();
  requestSession.changes.request({ signIn: { id, userId, note, keep, idle, absolute } });
  announceMove(requestSession, id);
}

/** Signs out at the next commit. Without a live session only this request's changes are forgotten. */
export function requestSignOut(requestSession: RequestSession): void {
  const { changes } = requestSession;
  requestSession.watchClose();
  giveUpData(requestSession);
  // A commit under way may be storing a session that has to end.
  if (requestSession.token || requestSession.committing || requestSession.endedIds.length > 0) changes.signOut();
  else changes.forget();
}

/** The handler is about to lose its data, and may have kept an object of them: a change in it would be lost too. */
export function giveUpData(requestSession: RequestSession): void {
  // A commit under way may still put others' changes into these objects.
  if (requestSession.committing) return;
  requestSession.lateChanges.watchGivenUp(requestSession.changes.givenUp());
}

/** A sign-in moves the live session to another id, unless it is signed out first. */
function willMove({ token, changes }: RequestSession): boolean {
  return token !== undefined && !changes.requested.signOut;
}

function announceMove(requestSession: RequestSession, id: string): void {
  if (!willMove(requestSession)) return;
  const { moves } = requestSession.context;
  moves.set(id, requestSession.token!.id);
  if (moves.size > MAX_MOVES) for (const oldest of moves.keys()) return void moves.delete(oldest);
}

/** Takes another id for the next attempt, since a failed commit may have stored a session under this one. */
export function renewId(requestSession: RequestSession, signIn: SignIn | undefined): void {
  const isMove = willMove(requestSession);
  if (!isMove) requestSession.dropNewToken();
  if (!signIn) return;
  requestSession.context.moves.delete(signIn.id);
  signIn.id = isMove ? createRandomPart() : requestSession.newId;
  announceMove(requestSession, signIn.id);
}
