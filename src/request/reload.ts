import { Deadline } from "../deadline.ts";
import { tokenStatus } from "../lifecycle/decisions.ts";
import { loadLatest } from "../record/load.ts";
import type { RequestSession } from "./request-session.ts";
import { giveUpData } from "./sign-in-and-out.ts";

/** Reads the session anew. Changes that were not stored are forgotten. */
export async function reload(requestSession: RequestSession): Promise<void> {
  // Several may wait for each other. One in between could sign in, and what is read here would be another session.
  while (requestSession.committing) await requestSession.committing.catch(() => {});
  giveUpData(requestSession);
  await requestSession.runCommit(() => readAnew(requestSession));
}

async function readAnew(requestSession: RequestSession): Promise<void> {
  const { context, token } = requestSession;
  requestSession.changes.forget();
  if (!token) return;
  const loaded = await loadLatest(context, token.id, new Deadline(context.storeTimeout));
  // A connection may outlive its token's rotation, but not a sign-in that invalidated the token.
  const isSame = loaded?.record.epoch === token.epoch;
  const now = context.now();
  if (isSame && tokenStatus(loaded.record, loaded.expiresAt, "current", now, context.timeouts) === "live") {
    requestSession.refreshed(loaded);
    return;
  }
  requestSession.detach(loaded ? "superseded" : "ended");
  context.live.recheck(token.id);
}
