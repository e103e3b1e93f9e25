import { describe, expect, it, vi } from "vitest";
import { application, bearing, PAGE, whoIs, type Handler } from "../../test/support/bearer.ts";
import { begin } from "../../test/support/stores.ts";
import { type BearerOptions } from "./bearer.ts";
import { csrfProtection } from "./csrf.ts";

const FOREIGN = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };

describe("a cookie and a bearer token", () => {
  it("do not open a session in each other's place", async () => {
    const { answer, signIn, withCookie } = application({ cookies: true });
    const browser = await withCookie();
    const [, cookieToken] = browser.cookie.split("=") as [string, string];
    for (const stolen of [cookieToken, `b${cookieToken.slice(1)}`]) {
      expect(await answer(bearing(stolen))).toMatchObject({ body: "anonymous" });
    }
    expect(await signIn()).toBeUndefined();
    const token = (await answer(bearing("none"), (session) => session.signIn("ada"))).token!;
    for (const value of [token, `1${token.slice(1)}`]) {
      expect(await answer({ cookie: `__Host-session=${value}` })).toMatchObject({ body: "anonymous" });
    }
  });

  it("in one request are refused before the store is asked, and the handler does not run", async () => {
    for (const options of [{}, { cookies: true }]) {
      const { answer, signIn, withCookie, store, bearer } = application(options);
      const token = options.cookies
        ? (await answer(bearing("none"), (session) => session.signIn("ada"))).token!
        : await signIn();
      for (const user of ["ada", "eve"]) {
        const { cookie } = await withCookie(user);
        const before = store.calls.total;
        for (const sent of [token, "bogus", "", `${token}, Bearer x`]) {
          for (const lazy of [true, false]) {
            const handler = vi.fn<Handler>(whoIs);
            const refused = await answer({ cookie, ...bearing(sent) }, handler, { with: { bearer, lazy } });
            expect(refused).toMatchObject({
              status: 400,
              cookies: [],
              cache: "no-store",
              vary: "Cookie, Authorization",
            });
            expect(refused.body).toBe(
              "This request has the session's cookie and Authorization: Bearer; send one of them\n",
            );
            expect(handler).not.toHaveBeenCalled();
          }
        }
        expect(store.calls.total).toBe(before);
      }
    }
  });

  it("in one request: no one who catches the refusal gets either session", async () => {
    const { sessions, bearer, signIn, withCookie } = application();
    const headers = { cookie: (await withCookie("eve")).cookie, ...bearing(await signIn()) };
    const request = new Request(PAGE, { headers });
    const session = begin(sessions, request);
    await expect(sessions.open(request, { bearer })).rejects.toMatchObject({ status: 400 });
    await expect(session.load()).rejects.toMatchObject({ code: "ERR_SESSION_TWO_TOKENS" });
    await expect(sessions.open(request)).rejects.toMatchObject({ code: "ERR_SESSION_TWO_TOKENS" });
    expect(() => session.userId).toThrow();
  });

  it("are no conflict where the cookie is not authentic, or has another scheme beside it", async () => {
    const { answer, withCookie } = application({ cookies: true });
    const token = (await answer(bearing("none"), (session) => session.signIn("ada"))).token!;
    for (const cookie of ["__Host-session=x", `__Host-session=${token}`, "theme=dark", "__Host-session="]) {
      expect(await answer({ cookie, ...bearing(token) })).toMatchObject({ status: 200, body: "ada" });
    }
    const { cookie } = await withCookie("eve");
    expect(await answer({ cookie, authorization: "Basic YTpi" })).toMatchObject({ status: 200, body: "eve" });
  });

  it.each([
    ["bearer", {}, "ada"],
    ["bearer", { cookies: true }, "ada"],
    ["cookie", { cookies: true }, "eve"],
  ] as const)("in one request: %s counts with prefer, and %j", async (prefer, options, user) => {
    const { answer, withCookie } = application({ ...options, prefer });
    const token = (await answer(bearing("none"), (session) => session.signIn("ada"))).token!;
    const { cookie } = await withCookie("eve");
    expect(await answer({ cookie, ...bearing(token) })).toMatchObject({ status: 200, body: user });
    // A bogus one of them does not bring in the other.
    const bogus = await answer({ cookie, ...bearing("bogus") });
    expect(bogus.body).toBe(prefer === "cookie" ? "eve" : "anonymous");
    const signedIn = await answer({ cookie, ...bearing(token) }, (session) => session.signIn("bob"));
    expect([signedIn.token === undefined, signedIn.cookies.length]).toEqual(
      prefer === "cookie" ? [true, 1] : [false, 0],
    );
  });

  it("are both accepted with cookies: true, and each response has only the one that came", async () => {
    const { answer, signIn } = application({ cookies: true });
    expect(await signIn()).toBeUndefined();
    const page = await answer({}, (session) => session.signIn("ada"));
    expect(page).toMatchObject({ token: undefined, vary: "Cookie, Authorization", cache: "no-store" });
    expect(page.cookies).toHaveLength(1);
    const cookie = page.cookies[0]!.split(";", 1)[0]!;
    expect(await answer({ cookie })).toMatchObject({ body: "ada", vary: "Cookie, Authorization" });
    const native = await answer(bearing("none"), (session) => session.signIn("ada"));
    expect(native).toMatchObject({ cookies: [], vary: "Cookie, Authorization" });
    expect(await answer(bearing(native.token!))).toMatchObject({ body: "ada", vary: "Cookie, Authorization" });
  });

  it("without cookies: true, a cookie is neither read nor cleared nor replaced", async () => {
    const { answer, withCookie, sessions } = application();
    const { cookie } = await withCookie();
    expect(await answer({ cookie })).toMatchObject({ body: "anonymous", cookies: [] });
    expect(await answer({ cookie }, (session) => session.signOut())).toMatchObject({ cookies: [] });
    expect(await answer({ cookie }, (session) => session.signIn("eve"))).toMatchObject({ cookies: [] });
    expect(await sessions.list("ada")).toHaveLength(1);
  });
});

describe("bearerTokens beside csrfProtection", () => {
  const csrf = csrfProtection({ withoutOrigin: "refuse" });

  async function posts(options: BearerOptions = {}) {
    const shop = application(options, {}, { csrf });
    const login = await application().signIn();
    const own = application(options, { store: shop.backend });
    const token = (await own.answer(bearing(login), (session) => session.signIn("ada"))).token!;
    const post = async (headers: Record<string, string>) =>
      (await shop.answer(headers, whoIs, { method: "POST" })).status;
    return { ...shop, token, post };
  }

  it("lets a request with an authentic token pass, because no page can have made the browser send it", async () => {
    for (const options of [{}, { cookies: true }]) {
      const { post, token } = await posts(options);
      expect(await post(bearing(token))).toBe(200);
      expect(await post({ ...FOREIGN, ...bearing(token) })).toBe(200);
    }
  });

  it.each(["bogus", "", "Basic", "none, Bearer none"])("is not bypassed by the token %j", async (bogus) => {
    for (const options of [{}, { cookies: true }, { cookies: true, prefer: "cookie" }, { prefer: "bearer" }] as const) {
      const { post, withCookie, token } = await posts(options);
      expect(await post({ ...FOREIGN, ...bearing(bogus) })).toBe(403);
      const { cookie } = await withCookie();
      const prefer = "prefer" in options;
      expect(await post({ ...FOREIGN, cookie, ...bearing(bogus) })).toBe(prefer ? 403 : 400);
      expect(await post({ ...FOREIGN, cookie })).toBe(403);
      expect(await post({ ...FOREIGN, cookie, authorization: `Basic ${token}` })).toBe(403);
      // The attacker's own token, beside the victim's cookie.
      const both = await post({ ...FOREIGN, cookie, ...bearing(token) });
      expect(both).toBe(!prefer ? 400 : options.prefer === "cookie" ? 403 : 200);
    }
  });

  it("is not bypassed where bearerTokens is not mounted", async () => {
    const { answer, token, withCookie } = await posts();
    const { cookie } = await withCookie();
    const options = { method: "POST", with: { bearer: undefined } };
    expect(await answer({ ...FOREIGN, ...bearing(token) }, whoIs, options)).toMatchObject({ status: 403 });
    expect(await answer({ ...FOREIGN, cookie, ...bearing(token) }, whoIs, options)).toMatchObject({ status: 403 });
    expect(await answer({ cookie, ...bearing(token) })).toMatchObject({ status: 400 });
  });
});
