import { checkString } from "./checks.ts";
import { isSessionId } from "./record/token.ts";
import { warnOnce } from "./warnings.ts";

/**
 * Checks an argument that is a session's id. It may come from a client, so that a text of another form is no error.
 *
 * @param diagnose - whether to warn of such a text, because it may be a user's id.
 * @throws TypeError for anything but a text, such as the session itself.
 */
export function checkSessionId(call: string, id: unknown, diagnose: boolean): void {
  checkString(call, "the id of a session, session.id", id);
  if (!diagnose || isSessionId(id)) return;
  warnOnce(
    "SOJOURN_NO_SESSION_ID",
    call,
    `${call} was given a text that no session has as its id: give session.id, or an id of sessions.list(userId). A user's id belongs into sessions.revokeAll(userId)`,
  );
}
