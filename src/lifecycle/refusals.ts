import { readLatest } from "../capabilities.ts";
import type { Context } from "../context.ts";
import { Deadline } from "../deadline.ts";
import { MAX_TIME } from "../duration.ts";
import { createMarker, encryptSession } from "../record/record.ts";
import { MAX_LIFETIME } from "../request/cookie.ts";
import { retryUntilDone } from "./retries.ts";

/*
 * Revocations meet former sessions whose clients have not come by yet. A record says that they may not be adopted any more.
 */

/** A marker lives as long as the former cookie could be accepted. Browsers keep no cookie for longer than 400 days. */
export function markerEnd({ now, timeouts }: Context, expiresAt: number | undefined): number {
  const end = expiresAt === undefined ? now() + MAX_LIFETIME : Math.max(expiresAt, now() + timeouts.absolute);
  return Math.floor(Math.min(end, MAX_TIME));
}

/** The ids of the records that refuse every adoption, or those of a user's sessions. */
function refusalIds({ keyring }: Context, userId: string | undefined): string[] {
  return userId === undefined ? keyring.adoption("everything") : keyring.adoption("user", userId);
}

/** Whether a revocation refuses the adoption of a user's former session. */
export async function isRefused(context: Context, userId: string | undefined, deadline: Deadline): Promise<boolean> {
  const ids = [...refusalIds(context, undefined), ...(userId === undefined ? [] : refusalIds(context, userId))];
  const found = await Promise.all(ids.map((id) => deadline.run("read", () => readLatest(context.store, id))));
  return found.some((stored) => stored !== undefined);
}

/**
 * From now on, no former session of the user is adopted, or none at all without a user: revoking must end the sessions too whose
 * clients have not come by since the move.
 *
 * @throws SessionError ERR_SESSION_STORE
 */
export async function refuseFormer(context: Context, userId?: string): Promise<void> {
  if (!context.former) return;
  const deadline = new Deadline(context.storeTimeout);
  const id = refusalIds(context, userId)[0]!;
  const expiresAt = markerEnd(context, undefined);
  const stored = encryptSession(context, id, { record: createMarker(id, context.now()), version: 1, expiresAt });
  await retryUntilDone(
    async () =>
      (await deadline.run("create", () => context.store.create(id, stored))) ||
      deadline.run("touch", () => context.store.touch(id, expiresAt)),
  );
}
