import { run, wait, type Answer, type Coroutine } from "../coroutine.ts";
import { SessionError } from "../errors.ts";

/** Attempts before a commit gives up because other processes always came first. */
const MAX_ATTEMPTS = 256;
/** Short, and it does not grow: a growing pause would let new requests win over those that have waited. */
const MAX_PAUSE_MS = 4;

/**
 * Repeats a compare-and-set until it says that it is done.
 *
 * @throws SessionError ERR_SESSION_CONFLICT when others came first too often.
 */
export function retryUntilDone(attempt: () => Answer<boolean>): Answer<void> {
  return run(repeated(attempt));
}

function* repeated(attempt: () => Answer<boolean>): Coroutine<void> {
  for (let count = 1; !(yield* wait(attempt())); count++) yield* wait(pauseAfter(count));
}

/**
 * The pause after so many attempts: none at first, then a random one, so that competing requests do not stay in step.
 *
 * @throws SessionError ERR_SESSION_CONFLICT after too many.
 */
export async function pauseAfter(count: number): Promise<void> {
  if (count >= MAX_ATTEMPTS) {
    throw new SessionError(
      "ERR_SESSION_CONFLICT",
      `Other requests changed the session first, ${MAX_ATTEMPTS} times in a row; nothing of this one was stored`,
    );
  }
  if (count < 3) return;
  await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS));
}
