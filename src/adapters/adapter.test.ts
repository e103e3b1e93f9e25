import { describe, expect, it } from "vitest";
import { begin, site } from "../../test/support/stores.ts";
import type { CookieParts, ResponseHeaders } from "./adapter.ts";
import { concludeSession, failSession } from "./adapter.ts";

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

  it("gets the cookie of an earlier save with an error's response", async () => {
    const { sessions } = site();
    const session = begin(sessions, new Request("https://shop.example/"));
    session.signIn("ada");
    await session.save();
    const { cookies, given } = headersWithCookies();
    failSession(session, given);
    expect(cookies).toHaveLength(1);
  });
});
