import type { RequestSession } from "./request-session.ts";
import { addressOf, cookieHeader, hostOf, requestHeader, type AnyRequest } from "./request.ts";

const MOST_BROWSERS = 20;
const WINDOW = 60_000;
/** Other requests than those of a page may have begun before the cookie was given. */
const LONGEST_REQUEST = 5000;

/** Remembers which browsers were given a cookie a short while ago, and notices which of them come back without it. */
export interface Returns {
  issued(request: AnyRequest, session: RequestSession): void;
  cameBack(request: AnyRequest, session: RequestSession): void;
  /** Whether a request without the cookie is of a page in a browser that has to have it. */
  isMissing(request: AnyRequest, session: RequestSession): boolean;
  /**
   * Whether a request that a script has sent without any cookie is of a browser that has to have one. A first visit is not.
   */
  isWithheld(request: AnyRequest, session: RequestSession): boolean;
}

/** A few browsers at a time: it looks at a program under development, and clients can't fill it. */
export function createReturns(): Returns {
  const given = new Map<string, number>();

  /** The milliseconds since the request's browser was given a cookie. `undefined` where none is expected of it. */
  function ageOf(request: AnyRequest, { context }: RequestSession): number | undefined {
    const browser = given.size > 0 ? browserOf(request, context.trustProxy) : undefined;
    const at = browser === undefined ? undefined : given.get(browser);
    const age = at === undefined ? WINDOW : context.now() - at;
    return age < WINDOW ? age : undefined;
  }

  return {
    issued(request, { context }) {
      const browser = isBrowser(request) ? browserOf(request, context.trustProxy) : undefined;
      if (browser === undefined) return;
      given.set(browser, context.now());
      if (given.size > MOST_BROWSERS) for (const oldest of given.keys()) return void given.delete(oldest);
    },
    cameBack(request, { context }) {
      const browser = given.size > 0 ? browserOf(request, context.trustProxy) : undefined;
      if (browser !== undefined) given.delete(browser);
    },
    isMissing(request, session) {
      const age = isOfOwnPage(request) ? ageOf(request, session) : undefined;
      return age !== undefined && (isNavigation(request) || age > LONGEST_REQUEST);
    },
    isWithheld(request, session) {
      const age = cookieHeader(request) ? undefined : ageOf(request, session);
      return age !== undefined && age > LONGEST_REQUEST;
    },
  };
}

/** `undefined` behind a proxy that is not trusted: all its clients have one address, and many have the same browser. */
function browserOf(request: AnyRequest, trustProxy: boolean): string | undefined {
  if (!trustProxy && requestHeader(request, "x-forwarded-for") !== undefined) return undefined;
  const parts = [addressOf(request, trustProxy), hostOf(request), requestHeader(request, "user-agent")];
  return parts.map((part) => part?.slice(0, 200) ?? "").join("\n");
}

function isBrowser(request: AnyRequest): boolean {
  return requestHeader(request, "user-agent")?.startsWith("Mozilla/") === true;
}

/** A page of this host made the browser send it. Over plain HTTP only the referrer tells. */
function isOfOwnPage(request: AnyRequest): boolean {
  const site = requestHeader(request, "sec-fetch-site");
  if (site !== undefined) return site === "same-origin";
  const referrer = requestHeader(request, "referer");
  return referrer !== undefined && URL.canParse(referrer) && new URL(referrer).host === hostOf(request);
}

function isNavigation(request: AnyRequest): boolean {
  const mode = requestHeader(request, "sec-fetch-mode");
  return mode === undefined ? requestHeader(request, "accept")?.includes("text/html") === true : mode === "navigate";
}
