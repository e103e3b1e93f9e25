import { warnOnce } from "../warnings.ts";
import type { RequestSession } from "./request-session.ts";

/** Outside of production: a request has ended its own session by `revokeAll`, and its message is lost with that. */
export function warnOfLostFlash({ context, request }: RequestSession): void {
  if (!context.diagnose) return;
  const { route } = request;
  warnOnce(
    "SOJOURN_LOST_FLASH",
    route,
    `${route}: the session had ended before the response, and its flash is lost. If the handler itself has ended it, by sessions.revokeAll() or revoke(), ` +
      "call session.signOut() before session.flash()",
  );
}
