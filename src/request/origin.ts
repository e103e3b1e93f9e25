import { SessionError } from "../errors.ts";
import { header, hostOf, isSecure, type AnyRequest } from "./request.ts";

/**
 * Refuses a connection that a page of another site opened: browsers send cookies with a WebSocket's handshake whoever
 * asks for it, and no CORS check stands before it (RFC 6455, section 10.2).
 *
 * A request without Origin comes from no browser. Otherwise it must be the request's own, or it is listed. A page that came
 * by HTTP may be anybody's work, and opens nothing that goes by HTTPS. One that came by HTTPS may: behind a proxy that is not
 * declared as trusted, a request looks like HTTP.
 *
 * @throws SessionError ERR_SESSION_ORIGIN (403)
 */
export function checkOrigin(request: AnyRequest, trusted: readonly string[], trustProxy: boolean): void {
  const origin = header(request, "origin");
  if (origin === undefined || trusted.includes(origin)) return;
  const schemes = isSecure(request, trustProxy) ? ["https:"] : ["https:", "http:"];
  const { protocol, host } = ORIGIN.test(origin) && URL.canParse(origin) ? new URL(origin) : { protocol: "", host: "" };
  // Parsed with the same scheme, so that its default port may be named or not.
  if (schemes.includes(protocol) && host === parsedHost(protocol, hostOf(request))) return;
  throw new SessionError(
    "ERR_SESSION_ORIGIN",
    "A page of another site asked for this connection; list its origin to allow it",
  );
}

/**
 * A scheme and a host in visible ASCII, as browsers write them, and nothing that parsing would leave out of the comparison,
 * or turn into something else.
 */
const ORIGIN = /^[a-z]+:\/\/(?:(?![/\\?#@%])[!-~])+$/i;

function parsedHost(protocol: string, host: string | undefined): string | undefined {
  const url = `${protocol}//${host}`;
  return host !== undefined && ORIGIN.test(url) && URL.canParse(url) ? new URL(url).host : undefined;
}
