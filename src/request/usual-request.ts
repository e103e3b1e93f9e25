import type { RequestSession } from "./request-session.ts";

/** nginx refuses a longer line by default. Node.js refuses 16 KB of headers in all. */
export const LONG_HEADER = 8192;

/**
 * Whether a request shows no reason for a warning, by what its session knows already: it came with one cookie of ours, whose
 * token is valid, or with none and used no session; and its response issues none. Of others nothing is said: they are looked
 * at more closely.
 */
export function isUsual(session: RequestSession): boolean {
  const { context, cookie, request } = session;
  // A response that is written once more may repeat a cookie.
  if (cookie.pending !== undefined || cookie.written !== undefined) return false;
  const header = request.cookieHeader;
  if (!header) return !session.progress.isAccessed;
  if (header.length > LONG_HEADER) return false;
  if (context.clientSide)
    return session.token !== undefined && header.startsWith(context.cookie.nameFor(request.isSecure));
  const values = context.cookie.values(header, request.isSecure);
  return values.length === 1 && hasValidToken(session, values[0]!);
}

function hasValidToken(session: RequestSession, value: string): boolean {
  const { token } = session;
  // The handler may have begun this session beside a cookie of another application.
  if (token) return value.includes(token.id);
  // Without a former library's cookies, only a valid token leaves something to read.
  return !session.isLoaded && session.loadError === undefined && !session.context.former;
}
