import { pathOf } from "../changes/codec.ts";
import { warnOnce } from "../warnings.ts";
import type { RequestSession } from "./request-session.ts";

/**
 * Warns of `session.username` where it is `session.data.username` that exists, as for somebody who comes from
 * express-session. A name that is not in the data says nothing: frameworks and tools ask every object for some.
 */
export function warnOfMisplacedRead(requestSession: RequestSession, name: string): void {
  const { context, changes, request } = requestSession;
  if (!context.diagnose || !hasKey(changes, name)) return;
  const { route } = request;
  warnOnce(
    "SOJOURN_MISPLACED_READ",
    `${route} ${name}`,
    `${route}: ${pathOf("session", [name])} is undefined, because only session.data has what is stored: read ${pathOf("session.data", [name])}`,
  );
}

/** A diagnosis must not fail the request, even if the data can't be decoded. */
function hasKey(changes: RequestSession["changes"], name: string): boolean {
  try {
    return changes.hasKey(name);
  } catch {
    return false;
  }
}
