import { SessionError } from "./errors.ts";
import { header, hostOf, type AnyRequest } from "./request.ts";

/**
 * Refuses a connection that a page of another site opened: browsers send cookies with a WebSocket's handshake whoever
 * asks for it, and no CORS check stands before it (RFC 6455, section 10.2).
 *
 * A request without Origin comes from no browser. Otherwise its host must be the request's own, or it is listed.
 *
 * @throws SessionError ERR_SESSION_ORIGIN (403)
 */
export function checkOrigin(request: AnyRequest, trusted: readonly string[]): void {
  const origin = header(request, "origin");
  if (origin === undefined || trusted.includes(origin)) return;
  if (URL.canParse(origin) && new URL(origin).host === hostOf(request)) return;
  throw new SessionError(
    "ERR_SESSION_ORIGIN",
    "A page of another site asked for this connection; list its origin to allow it",
  );
}
