import type { Context } from "../context.ts";
import { formerIn } from "../lifecycle/adopt.ts";
import { presentedIn } from "./presented-tokens.ts";
import { cookieHeader, isSecure, type AnyRequest } from "./request.ts";

/** Whether a request has the cookie of a session, by its signature. No store is asked, so that the session may have ended. */
export function carriesToken(context: Context, request: AnyRequest): boolean {
  const header = cookieHeader(request);
  if (header === undefined) return false;
  const secure = isSecure(request, context.trustProxy);
  const held = context.clientSide?.begin(context, header, secure);
  const presented = held ? held.presented?.() : presentedIn(context, header, secure);
  // A former library's session is adopted when the request reads it.
  return presented !== undefined || formerIn(context, header).length > 0;
}
