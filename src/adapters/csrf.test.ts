import { describe, expect, it } from "vitest";
import { begin, KEYS, site } from "../../test/support/stores.ts";
import type { AnyRequest } from "../request/request.ts";
import { createSessions } from "../sessions.ts";
import { csrfProtection, type CsrfOptions } from "./csrf.ts";

const HOST = "shop.example";
const OWN = `https://${HOST}`;
const EVIL = "https://evil.example";

interface Sent {
  method?: string;
  url?: string;
  headers?: Record<string, string>;
  /** Over HTTPS. Default `true`. */
  encrypted?: boolean;
  trustProxy?: boolean;
  more?: Record<string, unknown>;
}

function nodeRequest({ method = "POST", url = "/", headers = {}, encrypted = true, more = {} }: Sent): AnyRequest {
  const request = { method, url, headers: { host: HOST, ...headers }, socket: { encrypted }, httpVersion: "1.1" };
  return { ...request, ...more };
}

function isAllowed(sent: Sent, options: CsrfOptions = {}): boolean {
  const { sessions } = site({ trustProxy: sent.trustProxy ?? false });
  return passes(nodeRequest(sent), sessions, options);
}

function passes(
  request: AnyRequest,
  sessions: ReturnType<typeof site>["sessions"],
  options: CsrfOptions = {},
): boolean {
  try {
    csrfProtection(options).check(request, begin(sessions, request));
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_SESSION_ORIGIN", status: 403 });
    return false;
  }
}

const fetchSite = (value: string) => ({ "sec-fetch-site": value });

describe("csrfProtection", () => {
  const browsers: [string, Sent, boolean][] = [
    // Browsers of today: Chrome from 76, Firefox from 90, Safari from 16.4.
    [
      "a form of this site",
      { headers: { ...fetchSite("same-origin"), "sec-fetch-mode": "navigate", origin: OWN } },
      true,
    ],
    [
      "fetch of a page of this site",
      { headers: { ...fetchSite("same-origin"), "sec-fetch-mode": "cors", origin: OWN } },
      true,
    ],
    ["a reload of a form's result", { headers: { ...fetchSite("same-origin"), origin: OWN } }, true],
    ["a form that the user resends from a bookmark or a restored tab", { headers: fetchSite("none") }, true],
    ["a form of this site with no-referrer", { headers: { ...fetchSite("same-origin"), origin: "null" } }, true],
    ["a form of another site", { headers: { ...fetchSite("cross-site"), origin: EVIL } }, false],
    [
      "fetch of another site",
      { headers: { ...fetchSite("cross-site"), "sec-fetch-mode": "no-cors", origin: EVIL } },
      false,
    ],
    [
      "sendBeacon of another site",
      { headers: { ...fetchSite("cross-site"), "content-type": "text/plain", origin: EVIL } },
      false,
    ],
    ["a form of a subdomain", { headers: { ...fetchSite("same-site"), origin: `https://blog.${HOST}` } }, false],
    ["a form of another port", { headers: { ...fetchSite("same-site"), origin: `${OWN}:8443` } }, false],
    ["a form of this host over HTTP", { headers: { ...fetchSite("cross-site"), origin: `http://${HOST}` } }, false],
    ["a sandboxed frame", { headers: { ...fetchSite("cross-site"), origin: "null" } }, false],
    ["a form after a redirect by another site", { headers: { ...fetchSite("cross-site"), origin: "null" } }, false],
    ["a foreign form that claims our origin", { headers: { ...fetchSite("cross-site"), origin: OWN } }, false],
    ["a value that no browser sends", { headers: { ...fetchSite("Same-Origin"), origin: OWN } }, false],
    ["two values", { headers: { ...fetchSite("same-origin, cross-site"), origin: OWN } }, false],
    ["an empty value", { headers: { ...fetchSite(""), origin: OWN } }, false],
    // Over plain HTTP, and in Safari up to 16.3, there is Origin alone.
    ["an older browser, a form of this site", { headers: { origin: OWN } }, true],
    ["over HTTP, a form of this site", { headers: { origin: `http://${HOST}` }, encrypted: false }, true],
    ["behind a proxy that ends HTTPS", { headers: { origin: OWN }, encrypted: false }, true],
    ["an older browser, another site", { headers: { origin: EVIL } }, false],
    ["an older browser, a sandboxed frame", { headers: { origin: "null" } }, false],
    ["an older browser, a subdomain", { headers: { origin: `https://blog.${HOST}` } }, false],
    ["an older browser, a host that ends like ours", { headers: { origin: `https://evil${HOST}` } }, false],
    ["an older browser, a host that begins like ours", { headers: { origin: `${OWN}.evil.example` } }, false],
    ["an older browser, our host as a user name", { headers: { origin: `${OWN}@evil.example` } }, false],
    ["an older browser, another port", { headers: { origin: `${OWN}:8443` } }, false],
    ["an older browser, a page of this host over HTTP", { headers: { origin: `http://${HOST}` } }, false],
    ["an older browser, another scheme", { headers: { origin: `ftp://${HOST}` } }, false],
    ["an empty Origin", { headers: { origin: "" } }, false],
    ["two origins", { headers: { origin: `${OWN}, ${EVIL}` } }, false],
    // The Host header can't help an attacker, nor can the headers of a proxy that is not trusted.
    ["a forged X-Forwarded-Host", { headers: { origin: EVIL, "x-forwarded-host": "evil.example" } }, false],
    [
      "a trusted proxy's X-Forwarded-Host",
      {
        headers: { origin: OWN, host: "10.0.0.7", "x-forwarded-host": HOST, "x-forwarded-proto": "https" },
        trustProxy: true,
      },
      true,
    ],
    [
      "another site through a trusted proxy",
      {
        headers: { origin: EVIL, host: "10.0.0.7", "x-forwarded-host": HOST, "x-forwarded-proto": "https" },
        trustProxy: true,
      },
      false,
    ],
    ["no browser at all", {}, true],
  ];

  it.each(browsers)("%s", (_, sent, expected) => expect(isAllowed(sent)).toBe(expected));

  const foreign = { headers: { ...fetchSite("cross-site"), origin: EVIL } };

  it.each(["POST", "PUT", "PATCH", "DELETE", "QUERY", "PROPFIND", "TRACE", "get", "Head", "GET ", ""])(
    "refuses the method %j of another site",
    (method) => expect(isAllowed({ method, ...foreign })).toBe(false),
  );

  it.each(["GET", "HEAD", "OPTIONS"])("lets the safe method %s pass from anywhere", (method) => {
    expect(isAllowed({ method, ...foreign })).toBe(true);
  });

  it.each([
    ["a GET that an override has made a DELETE", "DELETE", "GET"],
    ["a POST that an override has made a GET", "GET", "POST"],
  ])("refuses %s", (_, method, originalMethod) => {
    expect(isAllowed({ method, ...foreign, more: { originalMethod } })).toBe(false);
  });

  it("checks a GET that changes something with everyMethod", () => {
    const { sessions } = site();
    const ask = (headers: Record<string, string>) => {
      const request = nodeRequest({ method: "GET", url: "/logout", headers });
      csrfProtection().check(request, begin(sessions, request), { everyMethod: true });
    };
    for (const value of ["cross-site", "same-site"]) expect(() => ask(fetchSite(value))).toThrow("of another origin");
    for (const value of ["same-origin", "none"]) expect(() => ask(fetchSite(value))).not.toThrow();
    expect(() => ask({})).not.toThrow();
  });

  it("refuses an unknown option of a check, such as a token without its name", () => {
    const { sessions } = site();
    const request = nodeRequest({});
    const session = begin(sessions, request);
    expect(() => csrfProtection().check(request, session, { csrf: "x" } as object)).toThrow('has no option "csrf"');
    expect(() => csrfProtection().check(request, session, "x" as unknown as object)).toThrow(
      "csrf.check takes an object with any of",
    );
  });

  it("goes by the first request and the one that replaced it, in a context of Hono", () => {
    const { sessions } = site();
    const headers = { host: HOST, ...fetchSite("cross-site"), origin: EVIL };
    const raw = new Request(`${OWN}/`, { method: "GET", headers });
    expect(passes({ req: { raw, method: "GET" } } as AnyRequest, sessions)).toBe(true);
    expect(passes({ req: { raw, method: "DELETE" } } as AnyRequest, sessions)).toBe(false);
  });

  it.each([
    "application/json",
    "text/plain",
    "multipart/form-data; boundary=a",
    "Application/X-Www-Form-Urlencoded",
    "x",
    "",
  ])("does not depend on the content type %j", (type) => {
    expect(isAllowed({ headers: { ...foreign.headers, "content-type": type } })).toBe(false);
  });

  describe("trustedOrigins", () => {
    const options = { trustedOrigins: ["https://accounts.example.com", `https://blog.${HOST}`] };

    it.each([
      ["https://accounts.example.com", "cross-site", true],
      [`https://blog.${HOST}`, "same-site", true],
      ["http://accounts.example.com", "cross-site", false],
      ["https://accounts.example.com:444", "cross-site", false],
      ["https://accounts.example.com.evil.example", "cross-site", false],
      ["https://Accounts.example.com", "cross-site", false],
      ["https://sub.accounts.example.com", "cross-site", false],
      ["null", "cross-site", false],
    ])("takes %s for %s: %s", (origin, value, expected) => {
      expect(isAllowed({ headers: { origin, ...fetchSite(value) } }, options)).toBe(expected);
      expect(isAllowed({ headers: { origin } }, options)).toBe(expected);
    });

    it.each([
      "null",
      "*",
      "accounts.example.com",
      "https://accounts.example.com/",
      "https://*.example.com",
      "HTTPS://a.example",
      "https://a.example:443",
      undefined,
      /a/,
    ])("refuses %s, which no Origin header would equal", (origin) => {
      expect(() => csrfProtection({ trustedOrigins: [origin as string] })).toThrow(/is not an origin; write scheme/);
    });
  });

  describe("exempt", () => {
    const options = { exempt: ["/webhooks/payment"] };

    it.each([
      ["/webhooks/payment", true],
      ["/webhooks/payment?id=1", true],
      ["/webhooks/payment/", false],
      ["/webhooks/payment/../../admin", false],
      ["/webhooks/payments", false],
      ["/webhooks", false],
      ["/admin/webhooks/payment", false],
      ["/admin?/webhooks/payment", false],
      ["/admin#/webhooks/payment", false],
      ["/webhooks/payment#/admin", false],
      ["/webhooks/payment;a=1", false],
      ["/Webhooks/payment", false],
      ["/webhooks/%70ayment", false],
      ["/webhooks/payment%2f..%2f..%2fadmin", false],
      ["/webhooks/payment%00", false],
      ["//webhooks/payment", false],
      ["/./webhooks/payment", false],
      ["/x/../webhooks/payment", false],
      ["\\webhooks\\payment", false],
      [`http://${HOST}/webhooks/payment`, false],
      ["", false],
    ])("takes the path %j for exempt: %s", (url, expected) => {
      expect(isAllowed({ url, ...foreign }, options)).toBe(expected);
    });

    it("goes by the whole path where an application is mounted in another", () => {
      const mounted = { url: "/webhooks/payment", ...foreign, more: { originalUrl: "/admin/webhooks/payment" } };
      expect(isAllowed(mounted, options)).toBe(false);
      const whole = { url: "/payment", ...foreign, more: { originalUrl: "/webhooks/payment" } };
      expect(isAllowed(whole, options)).toBe(true);
    });

    it("goes by the path of a fetch request as a router reads it", () => {
      const { sessions } = site();
      const ask = (url: string) =>
        passes(new Request(url, { method: "POST", headers: foreign.headers }), sessions, options);
      expect(ask(`${OWN}/webhooks/payment?id=1`)).toBe(true);
      expect(ask(`${OWN}/webhooks/payment/..`)).toBe(false);
      expect(ask(`${OWN}/admin?x=/webhooks/payment`)).toBe(false);
      expect(ask(`${EVIL}//webhooks/payment`)).toBe(false);
      // A server may give the URL as it came, and a router may read it so.
      const headers = new Headers(foreign.headers);
      const asItCame = { url: `${OWN}/x/../webhooks/payment`, method: "POST", headers } as AnyRequest;
      expect(passes(asItCame, sessions, options)).toBe(false);
    });

    it.each([
      "webhooks",
      "",
      "/webhooks/*",
      "/webhooks/:id",
      "/a?b",
      "/a#b",
      "/a/../b",
      "//a",
      "/%61",
      "/ä",
      "/a b",
      "/(a|b)",
      "\\a",
      /^\/a/,
      undefined,
    ])("refuses %s, which is no whole path", (path) => {
      expect(() => csrfProtection({ exempt: [path as string] })).toThrow(/can't be exempt; write whole paths/);
    });
  });

  it("refuses options that it does not have, and lists that are none", () => {
    expect(() => csrfProtection({ origins: [] } as CsrfOptions)).toThrow('has no option "origins"');
    expect(() => csrfProtection({ exempt: "/a" as unknown as string[] })).toThrow("exempt is a list of strings");
    expect(() => csrfProtection({ withoutOrigin: "deny" as "refuse" })).toThrow('"allow" or "refuse"');
  });

  it("reads nothing of the session for a request that it lets pass, or refuses without a token", () => {
    const { sessions, store } = site();
    const request = nodeRequest({ ...foreign, headers: { ...foreign.headers, cookie: "session=x" } });
    const session = begin(sessions, request);
    expect(() => csrfProtection().check(request, session)).toThrow("A page of another origin");
    expect(store.calls.total).toBe(0);
  });
});

describe("csrfProtection's token", () => {
  const csrf = csrfProtection({ withoutOrigin: "refuse" });

  async function signedIn(shop = site()) {
    const browser = shop.browser();
    await browser.visit((session) => session.signIn("ada"));
    return { shop, browser };
  }

  /** What the check of a form without any header says to a token. */
  async function isValid(
    { sessions, cookie }: { sessions: ReturnType<typeof site>["sessions"]; cookie: string },
    token: unknown,
    protection = csrf,
  ): Promise<boolean> {
    const request = new Request(`${OWN}/pay`, { method: "POST", headers: cookie ? { cookie } : {} });
    const session = await sessions.open(request);
    try {
      protection.check(request, session, { token });
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: "ERR_SESSION_ORIGIN" });
      return false;
    }
  }

  it("lets a form pass that has no header, and one of another origin", async () => {
    const { browser } = await signedIn();
    const { session } = await browser.begin();
    const token = csrf.token(session);
    expect(await isValid(browser, token)).toBe(true);
    for (const headers of [{ origin: "null" }, { origin: EVIL }, { ...fetchSite("cross-site"), origin: "null" }]) {
      const request = new Request(`${OWN}/`, { method: "POST", headers: { cookie: browser.cookie, ...headers } });
      const opened = await browser.sessions.open(request);
      expect(() => csrf.check(request, opened, { token })).not.toThrow();
      expect(() => csrf.check(request, opened)).toThrow();
    }
  });

  it("is different at each call, and shows nothing of what stays the same", async () => {
    const { browser } = await signedIn();
    const { session } = await browser.begin();
    const tokens = Array.from({ length: 200 }, () => csrf.token(session));
    expect(new Set(tokens).size).toBe(200);
    for (let at = 0; at < 64; at++)
      expect(new Set(tokens.map((token) => token[at])).size, `at ${at}`).toBeGreaterThan(20);
    for (const token of tokens) expect(await isValid(browser, token)).toBe(true);
  });

  it("is worth nothing after a sign-in, after a sign-out, and in another session", async () => {
    const shop = site();
    const browser = shop.browser();
    await browser.visit((session) => (session.data["cart"] = []));
    const before = csrf.token((await browser.begin()).session);
    expect(await isValid(browser, before)).toBe(true);
    await browser.visit((session) => session.signIn("ada"));
    expect(await isValid(browser, before)).toBe(false);

    const own = csrf.token((await browser.begin()).session);
    const other = (await signedIn(shop)).browser;
    expect(await isValid(other, own)).toBe(false);
    expect(await isValid({ sessions: shop.sessions, cookie: "" }, own)).toBe(false);
    await browser.visit((session) => session.signOut());
    expect(await isValid(browser, own)).toBe(false);
  });

  it("stays valid when the session gets a new token by rotate()", async () => {
    const { browser } = await signedIn();
    const token = csrf.token((await browser.begin()).session);
    await browser.visit((session) => session.rotate());
    expect(await isValid(browser, token)).toBe(true);
  });

  it("is good for the session that this request begins", async () => {
    const { sessions, browser } = site();
    const client = browser();
    let token = "";
    await client.visit((session) => {
      session.data["step"] = 1;
      token = csrf.token(session);
    });
    expect(await isValid({ sessions, cookie: client.cookie }, token)).toBe(true);
    await client.visit((session) => {
      session.signIn("ada");
      token = csrf.token(session);
    });
    expect(await isValid({ sessions, cookie: client.cookie }, token)).toBe(true);
  });

  it("is refused to a visitor whose session will not be stored", async () => {
    const { session } = await site().browser().begin();
    expect(() => csrf.token(session)).toThrow(/write to session\.data first/);
  });

  it("is not accepted from another secret key, and is from a previous one", async () => {
    const { browser, shop } = await signedIn(site({ encrypted: true }));
    const token = csrf.token((await browser.begin()).session);
    const withKeys = (secretKey: string[]) =>
      createSessions<Record<string, unknown>>({ secretKey, store: shop.backend, clock: () => shop.time.now });
    expect(await isValid({ sessions: withKeys([KEYS[1], KEYS[0]]), cookie: browser.cookie }, token)).toBe(true);
    expect(await isValid({ sessions: withKeys([KEYS[1]]), cookie: browser.cookie }, token)).toBe(false);
  });

  it("is refused with any character changed, cut, or given in another form", async () => {
    const { browser } = await signedIn();
    const token = csrf.token((await browser.begin()).session);
    const wrong: unknown[] = [
      "",
      "x",
      token.slice(1),
      `${token}A`,
      [token],
      { token },
      1,
      null,
      `${token} `,
      token.toLowerCase(),
    ];
    for (let at = 0; at < token.length; at++) {
      wrong.push(token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1));
    }
    wrong.push("A".repeat(64), "_".repeat(64), `${"A".repeat(32)}${browser.cookie.slice(-32)}`);
    const accepted: unknown[] = [];
    for (const one of wrong) if (await isValid(browser, one)) accepted.push(one);
    expect(accepted).toEqual([]);
  });

  it("of one page can't be made the token of the cookie", async () => {
    const { browser } = await signedIn();
    const { session } = await browser.begin();
    const bytes = Buffer.from(csrf.token(session), "base64url");
    const signature = Buffer.from(bytes.subarray(24).map((byte, i) => byte ^ bytes[i]!)).toString("base64url");
    const name = [...browser.jar.keys()][0]!;
    const forged = browser.copy();
    forged.jar.set(name, browser.jar.get(name)!.slice(0, -32) + signature);
    expect(await forged.userId()).toBeUndefined();
  });

  it("is read from the header X-CSRF-Token too", async () => {
    const { browser } = await signedIn();
    const token = csrf.token((await browser.begin()).session);
    const headers = { cookie: browser.cookie, "x-csrf-token": token };
    const request = new Request(`${OWN}/`, { method: "POST", headers });
    await expect(csrf.admit(request, begin(browser.sessions, request))).resolves.toBeUndefined();
    const wrong = new Request(`${OWN}/`, { method: "POST", headers: { ...headers, "x-csrf-token": "x" } });
    await expect(csrf.admit(wrong, begin(browser.sessions, wrong))).rejects.toMatchObject({ status: 403 });
  });
});
