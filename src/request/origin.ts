import { SessionError } from "../errors.ts";
import { header, hostOf, isSecure, requestHeader, type AnyRequest } from "./request.ts";

/**
 * Checks a list of origins that an application trusts. A string would match each of its parts.
 *
 * @param where - what takes the list: `csrfProtection`
 * @param option - its name: `trustedOrigins`
 * @throws TypeError for anything but a list, and for an origin that no browser would send like that.
 */
export function checkTrusted(where: string, option: string, origins: unknown): asserts origins is readonly string[] {
  if (!Array.isArray(origins)) throw new TypeError(`${where}: ${option} is a list of strings`);
  for (const origin of origins as readonly unknown[]) {
    const isExact = typeof origin === "string" && URL.canParse(origin) && originOf(new URL(origin)) === origin;
    if (isExact && !origin.includes("*")) continue;
    throw new TypeError(
      `${where}: ${String(origin)} is not an origin; write scheme, host and port as browsers do: "https://accounts.example.com"`,
    );
  }
}

/** Applications and extensions have origins that no URL tells: `capacitor://localhost`, `chrome-extension://…`. */
function originOf({ origin, protocol, host }: URL): string {
  return origin === "null" && host !== "" ? `${protocol}//${host}` : origin;
}

/**
 * Refuses a connection that a page of another site opened. Browsers send cookies with every WebSocket handshake, and make
 * no CORS check before it (RFC 6455, section 10.2).
 *
 * The origin must be the request's own, or be listed. Browsers name none in a GET of the page's own origin, nor in one for an
 * image or a script, but say in `Sec-Fetch-Site` where the page comes from. A request without both does not come from a current
 * browser, and is allowed. A page that was loaded over HTTP may have been changed by anybody, so it must not open a connection over HTTPS.
 * A page that was loaded over HTTPS may open one over HTTP, because a request looks like HTTP behind a proxy that is not
 * trusted.
 *
 * @throws SessionError `ERR_SESSION_ORIGIN` (403).
 */
export function checkOrigin(request: AnyRequest, trusted: readonly string[], trustProxy: boolean): void {
  const origin = header(request, "origin");
  if (origin === undefined) {
    const site = requestHeader(request, "sec-fetch-site");
    if (site === undefined || isOwnSite(site)) return;
  } else if (trusted.includes(origin) || isOwnOrigin(request, origin, trustProxy)) return;
  throw new SessionError(
    "ERR_SESSION_ORIGIN",
    "A page of another site asked for this connection; list its origin to allow it",
  );
}

/** Whether `Sec-Fetch-Site` says that a page of the request's own origin has made it, or the user. */
export function isOwnSite(site: string): boolean {
  return site === "same-origin" || site === "none";
}

/**
 * Whether an `Origin` header names the origin of the request itself, by the rules of {@link checkOrigin}. The host is that of
 * `X-Forwarded-Host` where the proxy is trusted: browsers let no page of another origin send this header unasked.
 */
export function isOwnOrigin(request: AnyRequest, origin: string, trustProxy: boolean): boolean {
  const schemes = isSecure(request, trustProxy) ? ["https:"] : ["https:", "http:"];
  const { protocol, host } = ORIGIN.test(origin) && URL.canParse(origin) ? new URL(origin) : { protocol: "", host: "" };
  // Both hosts are parsed with the same scheme, so that its default port may be written or left out.
  return schemes.includes(protocol) && host === parsedHost(protocol, ownHost(request, trustProxy));
}

/** The host that the client asked for. Of several proxies, the first is the one nearest to the client. */
function ownHost(request: AnyRequest, trustProxy: boolean): string | undefined {
  const forwarded = trustProxy ? requestHeader(request, "x-forwarded-host")?.split(",", 1)[0]?.trim() : undefined;
  return forwarded || hostOf(request);
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
