import { bearerTokens, type BearerOptions } from "../../src/adapters/bearer.ts";
import { withSession, type FetchOptions } from "../../src/adapters/fetch.ts";
import type { Session } from "../../src/session.ts";
import { site, type SiteOptions } from "./stores.ts";

export type Data = Record<string, unknown>;
export type Handler = (session: Session<Data>, request: Request) => unknown;

export const PAGE = "https://shop.example/";
export const whoIs: Handler = (session) => session.userId ?? "anonymous";

interface Asked {
  url?: string;
  method?: string;
  /** The options of the adapter. Default: bearerTokens(). */
  with?: FetchOptions;
}

/** An application, and the requests that clients send to it. */
export function application(given: BearerOptions = {}, options: SiteOptions = {}, more: FetchOptions = {}) {
  const shop = site(options);
  const bearer = bearerTokens(given);
  const answer = async (
    headers: Record<string, string>,
    handler: Handler = whoIs,
    { url = PAGE, method = "GET", with: adapter = { bearer } }: Asked = {},
  ) => {
    const app = withSession(
      shop.sessions,
      async (request, session) => {
        const result = await handler(session, request);
        return result instanceof Response ? result : new Response(String(result));
      },
      { onError: (error) => error.getResponse(), ...more, ...adapter },
    );
    const response = await app(new Request(url, { method, headers }));
    return {
      response,
      body: await response.clone().text(),
      status: response.status,
      token: response.headers.get("session-token") ?? undefined,
      vary: response.headers.get("vary"),
      cache: response.headers.get("cache-control"),
      challenge: response.headers.get("www-authenticate"),
      cookies: response.headers.getSetCookie(),
    };
  };
  const signIn = async (user = "ada") => (await answer({}, (session) => session.signIn(user))).token!;
  const withCookie = async (user = "ada") => {
    const browser = shop.browser();
    await browser.visit((session) => session.signIn(user));
    return browser;
  };
  return { ...shop, bearer, answer, signIn, withCookie };
}

export const bearing = (token: string) => ({ authorization: `Bearer ${token}` });
