import { commit } from "./lifecycle/commit.ts";
import { requestSessionOf } from "./request/session-handle.ts";
import { requireCapability } from "./capabilities.ts";
import type { Context } from "./context.ts";
import { SessionError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { UserOperations } from "./users.ts";

/**
 * Gives a session a new token, and then ends its user's other sessions. The rotation comes first: if the store fails there,
 * the client stays signed in and can try again.
 */
export async function credentialsChanged<Data extends object>(
  context: Context,
  users: UserOperations,
  session: Session<Data>,
): Promise<number | undefined> {
  if (typeof session !== "object" || session === null) {
    throw new TypeError(
      "sessions.credentialsChanged takes the session in which the user has changed it; for a user's id, sessions.revokeAll(userId) ends all sessions",
    );
  }
  if (context.clientSide) context.clientSide.requireRevocations("sessions.credentialsChanged()");
  else requireCapability(context.store, "idsOfUser", "sessions.credentialsChanged");
  const { userId } = session;
  if (userId === undefined) {
    throw new TypeError(
      "sessions.credentialsChanged(session): nobody is signed in to this session; call session.signIn(userId) first, or sessions.revokeAll(userId)",
    );
  }
  try {
    session.rotate();
    // Carried out although the client may have gone: a thief must not stay signed in.
    await commit(requestSessionOf(session), "save");
  } catch (error) {
    // Somebody else has the session's only valid token. It may be a thief with a copy of the old one.
    if (error instanceof SessionError && error.code === "ERR_SESSION_SUPERSEDED")
      await users.revokeAll(context, userId);
    throw error;
  }
  // Where another request has ended this session meanwhile, its id is not in use, and all others still end.
  return users.revokeAll(context, userId, session.id);
}
