import { describe, expect, it } from "vitest";
import { begin, site } from "../../test/support/stores.ts";
import { SessionError } from "../errors.ts";
import { createRecentSignInGuard, createUserGuard, returnTo, type RecentSignInOptions } from "./guards.ts";

const ORIGIN = "https://shop.example";
const PAGE = { accept: "text/html,application/xhtml+xml", "sec-fetch-mode": "navigate" };

/** What a browser makes of a redirect to this place, from a page of ours. */
const followed = (location: string) => new URL(location, `${ORIGIN}/login`);

const login = (value: string) => new Request(`${ORIGIN}/login?returnTo=${encodeURIComponent(value)}`);

describe("returnTo", () => {
  it.each([
    ["/", "/"],
    ["/account", "/account"],
    ["/account?tab=2&q=a%20b#top", "/account?tab=2&q=a%20b#top"],
    ["/caf%C3%A9", "/caf%C3%A9"],
    ["/a/../b", "/b"],
    ["/search?next=//evil.example", "/search?next=//evil.example"],
    ["/go?to=https://evil.example/", "/go?to=https://evil.example/"],
    [`${ORIGIN}/account?a=1`, "/account?a=1"],
    [`${ORIGIN}:443/account`, "/account"],
    [ORIGIN, "/"],
    [`${ORIGIN}?a=1`, "/?a=1"],
  ])("takes %j for the page %j", (value, path) => expect(returnTo(login(value))).toBe(path));

  const attacks = [
    "",
    "account",
    "//evil.example",
    "///evil.example",
    "////evil.example/..",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "/a\\..\\..\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/\0/evil.example",
    "/\u0085/evil.example",
    "/\u2028/evil.example",
    "/a\r\nSet-Cookie: a=b",
    "/a\r\n\r\n<script>",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/%2e//evil.example",
    "/%2e%2e//evil.example",
    "/a/%2E.//evil.example",
    "/%2f/evil.example",
    "/%2Fevil.example",
    "/%5cevil.example",
    "/%5C%5Cevil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0a/evil.example",
    "/%00/evil.example",
    "%2f%2fevil.example",
    "／／evil.example",
    "/／evil.example",
    "/。evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://evil.example/1",
    `${ORIGIN}@evil.example`,
    `${ORIGIN}:x@evil.example/`,
    "https://evil.example\\@shop.example/",
    "https://evil.example#@shop.example/",
    "https://evil.example?@shop.example/",
    "https://shop.example\\.evil.example/",
    "https://user@shop.example/",
    "https://user:password@shop.example/",
    "https://shop.example.evil.example/",
    "https://evilshop.example/",
    "https://sub.shop.example/",
    "https://shop.example:8443/",
    "http://shop.example/",
    "ftp://shop.example/",
    "https://shop.example.//evil.example",
    "https://shop.example//evil.example",
    "https://shop.example/\\evil.example",
    "https://shop.example/.//evil.example",
    "https://shop%2eexample/",
    "https://ѕhop.example/",
    `/${"a".repeat(3000)}`,
  ];

  it.each(attacks)("does not leave the site for %j", (value) => {
    expect(returnTo(login(value), { fallback: "/home" })).toBe("/home");
    expect(returnTo(new Request(`${ORIGIN}/login`), { fallback: "/home", value })).toBe("/home");
  });

  it("gives nothing that leaves the site, whatever it is made of", () => {
    const parts = [
      "/",
      "\\",
      "//",
      ".",
      "..",
      "%2f",
      "%5c",
      "%2e",
      "@",
      ":",
      "https:",
      "?",
      "#",
      "\t",
      "\n",
      "evil.example",
      "shop.example",
      "a",
    ];
    let seed = 7;
    const next = () => (seed = (seed * 48_271) % 2_147_483_647);
    const left: string[] = [];
    for (let round = 0; round < 20_000; round++) {
      const value = Array.from({ length: 1 + (next() % 6) }, () => parts[next() % parts.length]!).join("");
      const location = returnTo(login(value));
      if (followed(location).origin !== ORIGIN || !/^\/(?![/\\])/.test(location)) left.push(`${value} → ${location}`);
    }
    expect(left).toEqual([]);
  });

  it.each([
    ["two parameters", `${ORIGIN}/login?returnTo=/a&returnTo=/b`],
    ["none", `${ORIGIN}/login`],
    ["another name", `${ORIGIN}/login?returnto=/a`],
    ["a list of PHP", `${ORIGIN}/login?returnTo[]=/a`],
  ])("gives the fallback for %s", (_, url) => expect(returnTo(new Request(url))).toBe("/"));

  it("takes a form's field that is no text for none", () => {
    for (const value of [["/a"], { a: "/a" }, 1, null]) expect(returnTo(login("/b"), { value })).toBe("/");
    expect(returnTo(login("/b"), { value: undefined })).toBe("/b");
  });

  it.each([
    "home",
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "/.//evil.example",
    "",
    "/ho me",
    null,
    1,
  ])("refuses the fallback %j, whether it is needed or not", (fallback) => {
    for (const value of ["/a", "//evil.example"]) {
      expect(() => returnTo(login(value), { fallback: fallback as string })).toThrow(
        /^returnTo: fallback is a path of this site/,
      );
    }
  });

  it("gives a fallback with a query and a fragment", () => {
    expect(returnTo(login(""), { fallback: "/home?lang=eo#top" })).toBe("/home?lang=eo#top");
  });

  it("refuses an option that it does not have", () => {
    expect(() => returnTo(login("/"), { default: "/" } as object)).toThrow('has no option "default"');
  });
});

describe("requireUser", () => {
  const decide = createUserGuard("fetch", { loginPage: "/login" });

  async function visitor(url = "/account?tab=2", init: RequestInit = { headers: PAGE }, guard = decide) {
    const { sessions } = site();
    const request = new Request(new URL(url, ORIGIN), init);
    return guard(request, begin(sessions, request));
  }

  it("sends a browser that asks for a page to the login page, which can bring it back", async () => {
    const location = (await visitor())!;
    expect(location).toBe("/login?returnTo=%2Faccount%3Ftab%3D2");
    expect(returnTo(new Request(new URL(location, ORIGIN)))).toBe("/account?tab=2");
  });

  it("keeps the query of the login page", async () => {
    const guard = createUserGuard("fetch", { loginPage: "/login?lang=eo" });
    expect(await visitor("/a", { headers: PAGE }, guard)).toBe("/login?lang=eo&returnTo=%2Fa");
    expect(await visitor("/login?lang=en", { headers: PAGE }, guard)).toBeUndefined();
  });

  it("comes back to no path that could lead elsewhere, and to no form that was sent", async () => {
    expect(await visitor(`${ORIGIN}//evil.example`)).toBe("/login");
    expect(await visitor("/pay", { method: "POST", headers: PAGE })).toBe("/login");
    const { sessions } = site();
    for (const url of ["//evil.example", "/\\evil.example", "http://evil.example/", "/.//evil.example", "*", "/a b"]) {
      const request = { method: "GET", url, headers: PAGE, socket: {}, httpVersion: "1.1" };
      expect([url, await decide(request, begin(sessions, request))]).toEqual([url, "/login"]);
    }
  });

  it("lets the login page itself through, and nothing that is merely like it", async () => {
    expect(await visitor("/login?returnTo=%2Fa")).toBeUndefined();
    expect(await visitor("/login", { method: "POST" })).toBeUndefined();
    for (const url of ["/login/", "/Login", "/login/admin", "/%6cogin", "/login;a"]) {
      expect(await visitor(url)).toMatch(/^\/login\?returnTo=/);
    }
  });

  it.each([
    ["a script's call", { accept: "*/*", "sec-fetch-mode": "cors" }],
    ["a script's call for HTML", { accept: "text/html", "sec-fetch-mode": "same-origin" }],
    ["a call for JSON", { accept: "application/json" }],
    ["a program", {}],
  ])("answers %s by 401, not by the login page", async (_, headers) => {
    const failure = await Promise.resolve()
      .then(() => visitor("/account", { headers }))
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SessionError);
    expect(failure).toMatchObject({ code: "ERR_SESSION_SIGN_IN", status: 401, expose: true });
  });

  it.each(["login", "//evil.example/login", "https://evil.example/login", "/\\login", "", "/lo gin", null])(
    "refuses the login page %j",
    (loginPage) => {
      expect(() => createUserGuard("fetch", { loginPage: loginPage as string })).toThrow(
        /requireUser: loginPage is a path/,
      );
    },
  );

  it.each([
    ["/login#form", /requireUser: loginPage has a fragment/],
    ["/login?lang=eo#form", /requireUser: loginPage has a fragment/],
    ["/login?returnTo=/home", /requireUser: loginPage has the parameter returnTo/],
    ["/login?lang=eo&return%54o", /requireUser: loginPage has the parameter returnTo/],
  ])("refuses the login page %s, from which no user would come back", (loginPage, message) => {
    expect(() => createUserGuard("fetch", { loginPage })).toThrow(message);
  });

  it("says how to mount the sessions where there is none", () => {
    for (const session of [undefined, {}, { userId: "ada", isLoaded: true }]) {
      expect(() => decide(new Request(ORIGIN), session)).toThrow(/has no session: wrap the handler/);
    }
  });

  it("reads the session of a lazy route", async () => {
    const { sessions, browser } = site();
    const client = browser();
    await client.visit((session) => session.signIn("ada"));
    const request = new Request(`${ORIGIN}/account`, { headers: { cookie: client.cookie, ...PAGE } });
    expect(await decide(request, begin(sessions, request))).toBeUndefined();
  });
});

describe("requireRecentSignIn", () => {
  it("lets a recent sign-in through, and asks for another when it is too old", async () => {
    const shop = site();
    const client = shop.browser();
    const decide = createRecentSignInGuard("fetch", { within: "10m", loginPage: "/login" });
    const script = createRecentSignInGuard("fetch", { within: "10m" });
    const ask = async (guard = decide) => {
      const { session, request } = await client.begin(PAGE, `${ORIGIN}/pay`);
      return guard(request, session);
    };
    await expect(ask(script)).rejects.toMatchObject({ status: 401, message: "Please sign in" });
    await client.visit((session) => session.signIn("ada"));
    expect(await ask()).toBeUndefined();
    shop.time.now += 10 * 60_000;
    expect(await ask()).toBeUndefined();
    shop.time.now += 1;
    expect(await ask()).toBe("/login?returnTo=%2Fpay");
    await expect(ask(script)).rejects.toThrow("Please sign in again");
    await client.visit((session) => session.signIn("ada"));
    expect(await ask()).toBeUndefined();
  });

  it.each([undefined, 10, "10", "soon"])("refuses within: %j when it is made", (within) => {
    expect(() => createRecentSignInGuard("fetch", { within } as RecentSignInOptions)).toThrow(
      /^requireRecentSignIn: within/,
    );
  });
});
