import { clearCookies } from "../request/issued-cookie.ts";
import type { Commit } from "./commit.ts";
import { endIfUnchanged, finishEnd, preventPutBack } from "./end.ts";
import { retryUntilDone } from "./retries.ts";

/** Ends the live session. */
export async function endLive(commit: Commit): Promise<void> {
  const { requestSession, context, deadline } = commit;
  const { id } = requestSession.token!;
  const { userId } = requestSession.loaded!.record;
  let base = requestSession.loaded!;
  await retryUntilDone(async () => {
    const announce = () => context.emitter.emit("signedOut", { id, userId });
    const outcome = await endIfUnchanged(context, id, base, deadline, announce);
    if (outcome === "ended") clearCookies(requestSession);
    // Another request may have ended the rest and given the client another cookie.
    else if (outcome === "gone") requestSession.cookie.withdraw();
    else {
      const newest = await commit.newest(id);
      // Another request has signed in meanwhile: its session and its cookie must stay.
      if (newest?.record.ended) {
        // If that sign-in fails after all, it must not put the signed-out session back. The record stays: a revocation
        // follows it to the new session.
        if (!(await preventPutBack(context, id, newest, deadline))) return false;
        requestSession.detach("superseded");
        return true;
      }
      base = newest ?? base;
      if (newest) return false;
      // Another request may be ending it and fail. It is deleted here, so that it is not put back.
      if (!(await finishEnd(context, id, deadline))) return false;
      // It had ended already: the client may have another cookie by now, which must stay.
      requestSession.cookie.withdraw();
    }
    requestSession.signedOut(commit.requested);
    return true;
  });
}

/**
 * Confirms the end of sessions that others have ended: they may have been told of a failure, and a store that waits for
 * replicas waits for that end now.
 */
export async function confirmEnd({ requestSession, context, requested, deadline }: Commit): Promise<void> {
  for (const id of requestSession.endedIds) await retryUntilDone(() => finishEnd(context, id, deadline));
  requestSession.signedOut(requested);
}
