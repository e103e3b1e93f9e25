import { describe, expect, it, onTestFinished, vi } from "vitest";
import { begin, site, type SiteOptions } from "../../test/support/stores.ts";
import { requestSessionOf } from "../request/session-handle.ts";
import type { CookieParts, ResponseHeaders } from "./adapter.ts";
import {
  ADAPTER_OPTIONS,
  type AdapterOptions,
  concludeSession,
  failSession,
  resolveAdapterOptions,
} from "./adapter.ts";
import { bearerTokens } from "./bearer.ts";
import { csrfProtection } from "./csrf.ts";

/** The headers of a framework that writes cookies itself. */
function headersWithCookies() {
  const headers = new Headers();
  const cookies: CookieParts[] = [];
  const given: ResponseHeaders = {
    get: (name) => headers.get(name),
    keys: () => headers.keys(),
    set: (name, value) => headers.set(name, value),
    append: () => expect.unreachable("the cookie is given as a structure"),
    setCookie: (cookie) => void cookies.push(cookie),
  };
  return { headers, cookies, given };
}

describe("An adapter of a framework whose context Sojourn does not know", () => {
  const request = new Request("https://shop.example/", {
    method: "POST",
    headers: { "sec-fetch-site": "cross-site", authorization: "Bearer nonsense" },
  });

  it("refuses a form of another site by csrf, and takes bearer tokens", async () => {
    interface Context {
      readonly given: Request;
    }
    const prepareWith = (options: AdapterOptions<Context>) =>
      resolveAdapterOptions<Context, AdapterOptions<Context>>("test", options, ADAPTER_OPTIONS);
    const { sessions } = site();
    const prepared = (options: AdapterOptions<Context>) =>
      prepareWith(options)(begin(sessions, request.clone()), { given: request });
    await expect(prepared({ csrf: csrfProtection() })).rejects.toMatchObject({ code: "ERR_SESSION_ORIGIN" });
    expect(() => prepared({ bearer: bearerTokens() })).not.toThrow();
  });
});

describe("An adapter whose headers have setCookie", () => {
  it("gets the cookie as a structure, and caches are told", async () => {
    const { sessions } = site();
    const session = begin(sessions, new Request("https://shop.example/"));
    session.signIn("ada");
    const { headers, cookies, given } = headersWithCookies();
    await concludeSession(session, given);
    expect(cookies).toEqual([
      {
        name: "__Host-session",
        value: expect.stringMatching(/^1[\w-]{80}$/) as string,
        attributes: { path: "/", maxAge: 2_592_000, httpOnly: true, secure: true, sameSite: "lax" },
      },
    ]);
    expect([headers.get("cache-control"), headers.get("vary")]).toEqual(["no-store", "Cookie"]);
  });

  it("gets the cookie that removes a session's", async () => {
    const { sessions, browser } = site();
    const client = browser();
    await client.visit((session) => session.signIn("ada"));
    const { session } = await client.begin();
    session.signOut();
    const { cookies, given } = headersWithCookies();
    await concludeSession(session, given);
    expect(cookies.map(({ value, attributes }) => [value, attributes.maxAge])).toEqual([["", 0]]);
    expect(await sessions.list("ada")).toEqual([]);
  });
});

describe("failSession after save() has stored a new token", () => {
  async function saved(options: SiteOptions = {}) {
    const shop = site(options);
    const client = shop.browser();
    await client.visit((session) => session.signIn("ada"));
    const { session } = await client.begin();
    session.rotate();
    await session.save();
    return { ...shop, client, session, ...headersWithCookies() };
  }

  it("writes the cookie, or the client would be signed out", async () => {
    const { session, cookies, given } = await saved();
    await failSession(session, given);
    expect(cookies).toHaveLength(1);
  });

  it("writes no cookie of a session that another request has ended", async () => {
    const { sessions, session, cookies, headers, given } = await saved();
    await sessions.revokeAll("ada");
    await failSession(session, given);
    expect([cookies, headers.get("cache-control")]).toEqual([[], "no-store"]);
  });

  it("writes no cookie of a session that another request has signed in with a new token", async () => {
    const { session, client, cookies, given } = await saved();
    const [, token] = /=([^;]*)/.exec(String(requestSessionOf(session).cookie.pending))!;
    client.jar.set("__Host-session", token!);
    await client.visit((other) => other.signIn("ada"));
    await failSession(session, given);
    expect(cookies).toEqual([]);
  });

  it("does not bring back a cookie that was withdrawn from the response before", async () => {
    const { sessions, session, cookies, given } = await saved();
    await failSession(session, given);
    await sessions.revokeAll("ada");
    await failSession(session, given);
    await failSession(session, given);
    expect(cookies).toHaveLength(1);
  });

  it("asks the store once more after one error", async () => {
    const { store, backend, session, cookies, given, events } = await saved({ faults: { read: ["ok", "error"] } });
    await backend.delete(session.id);
    await failSession(session, given);
    expect([cookies, store.calls.read, events.filter(({ name }) => name === "error")]).toEqual([[], 3, []]);
  });

  it("writes the cookie after two errors of the store, and reports them", async () => {
    const { session, cookies, given, events } = await saved({ faults: { read: ["ok", "error", "error"] } });
    await failSession(session, given);
    expect(cookies).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ name: "error", error: { code: "ERR_SESSION_STORE" } });
  });

  it("waits for a store that does not answer no longer than storeTimeout", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { session, cookies, given } = await saved({ faults: { read: ["ok", "hang"] }, storeTimeout: "1s" });
    const failing = failSession(session, given);
    await vi.advanceTimersByTimeAsync(1000);
    await failing;
    expect(cookies).toHaveLength(1);
  });

  it("waits for nothing where no cookie waits", async () => {
    const { client } = await saved();
    const { session } = await client.begin();
    expect(failSession(session, headersWithCookies().given)).toBeUndefined();
  });

  it("does the same where the handler goes on after a save() that has failed", async () => {
    const { sessions, session, cookies, given } = await saved({ faults: { update: ["ok", "error"] } });
    session.data.late = 1;
    await expect(session.save()).rejects.toMatchObject({ code: "ERR_SESSION_STORE" });
    await sessions.revokeAll("ada");
    await concludeSession(session, given);
    expect(cookies).toEqual([]);
  });
});
