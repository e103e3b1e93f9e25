import { SessionError } from "../errors.ts";

/** Writers of other processes that may come first before a commit gives up. */
const MAX_ATTEMPTS = 256;
/** Short, and it does not grow: whoever has lost often would otherwise lose to those who have just begun. */
const MAX_PAUSE_MS = 4;

/**
 * Repeats a compare-and-set until it says that it is done.
 *
 * @throws SessionError ERR_SESSION_CONFLICT when others came first too often.
 */
export async function untilDone(attempt: () => Promise<boolean>): Promise<void> {
  for (let count = 1; count <= MAX_ATTEMPTS; count++) {
    if (await attempt()) return;
    await pause(count);
  }
  throw new SessionError(
    "ERR_SESSION_CONFLICT",
    `Other requests changed the session first, ${MAX_ATTEMPTS} times in a row; nothing of this one was stored`,
  );
}

/** Nothing at first, then a random wait, so that rivals fall out of step. */
async function pause(count: number): Promise<void> {
  if (count < 3) return;
  await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS));
}
