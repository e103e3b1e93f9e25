import { SessionError } from "../errors.ts";
import { header, hostOf, isSecure, type AnyRequest } from "./request.ts";

/**
 * Refuses a connection that a page of another site opened. Browsers send cookies with every WebSocket handshake, and make
 * no CORS check before it (RFC 6455, section 10.2).
 *
 * A request without Origin does not come from a browser, and is allowed. Otherwise the origin must be the request's own, or
 * be listed. A page that was loaded over HTTP may have been changed by anybody, so it must not open a connection over HTTPS.
 * A page that was loaded over HTTPS may open one over HTTP, because a request looks like HTTP behind a proxy that is not
 * trusted.
 *
 * @throws {SessionError} `ERR_SESSION_ORIGIN` (403).
 */
export function checkOrigin(request: AnyRequest, trusted: readonly string[], trustProxy: boolean): void {
  const origin = header(request, "origin");
  if (origin === undefined || trusted.includes(origin)) return;
  const schemes = isSecure(request, trustProxy) ? ["https:"] : ["https:", "http:"];
  const { protocol, host } = ORIGIN.test(origin) && URL.canParse(origin) ? new URL(origin) : { protocol: "", host: "" };
  // Both hosts are parsed with the same scheme, so that its default port may be written or left out.
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
