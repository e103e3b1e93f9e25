import { createSessions, SessionError } from "sojourn";
import { memoryStore } from "sojourn/memory";
import { type FaultPlan, faulty } from "sojourn/testing";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createApp, type Data } from "./app.ts";

const SECRET_KEY = "nW3kz-8QfV1pLrT6yB0dHsXc5uJgEa2m";

function setUp(plan: FaultPlan = {}, found?: { locate(id: string): string }) {
  const store = Object.assign(faulty(memoryStore(), plan), found);
  const sessions = createSessions<Data>({ secretKey: SECRET_KEY, store });
  const app = createApp({ sessions, store });

  /** A minimal browser that keeps one cookie. */
  function browser(cookie = "") {
    return {
      get cookie() {
        return cookie;
      },
      async fetch(path: string, init: RequestInit = {}) {
        const headers = new Headers(init.headers);
        if (cookie) headers.set("cookie", cookie);
        const response = await app.request(path, { ...init, headers });
        const set = response.headers.get("set-cookie");
        if (set !== null) cookie = set.includes("Max-Age=0") ? "" : set.slice(0, set.indexOf(";"));
        return { response, text: await response.text() };
      },
      post(username: string, headers: Record<string, string> = {}) {
        return this.fetch("/login", { method: "POST", body: new URLSearchParams({ username }), headers });
      },
    };
  }
  return { app, store, sessions, browser };
}

function escaped(text: string): string {
  const names = { "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "#39" };
  return text.replaceAll(/[&<>"']/g, (character) => `&${names[character as keyof typeof names]};`);
}

beforeEach(() => {
  const log = vi.spyOn(console, "error").mockReturnValue();
  return () => log.mockRestore();
});

describe("GET /", () => {
  it("shows a visitor that nobody is logged in, without a cookie or a store operation", async () => {
    const { store, browser } = setUp();
    const { response, text } = await browser().fetch("/");
    expect(response.status).toBe(200);
    expect(text).toContain(">You are not logged in<");
    expect(text).toContain('href="/login"');
    expect(text).toContain("No cookie was set, and the store was not used");
    expect(text).toContain("the example application of Sojourn");
    expect(text).not.toMatch(/just happened|logged out/);
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(store.calls.total).toBe(0);
  });

  it("shows who is logged in", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("admin");
    const { response, text } = await user.fetch("/");
    expect(response.status).toBe(200);
    expect(text).toContain(">The login username is: admin<");
    expect(text).toContain('href="/logout"');
    expect(text).not.toContain("You are not logged in");
  });

  it("shows the session: its id, its times, its user, and the place of its record", async () => {
    const { browser, store } = setUp({}, { locate: (id) => `/sessions/${id}.file` });
    const user = browser();
    await user.post("admin");
    const { text } = await user.fetch("/");
    const [id] = await store.idsOfUser!("admin");
    expect(text).toContain(`<code>${id}</code>`);
    expect(text).toContain(`<code>/sessions/${id}.file</code>`);
    expect(text).toContain("<bdi>admin</bdi>");
    expect(text.match(/<time datetime="[\d-]+T[\d:.]+Z">\d+ \w+ \d+ at [\d:]+ UTC<\/time>/g)).toHaveLength(2);
    expect(text).not.toContain(user.cookie.slice(-32));
  });

  it("hides the place of the record until somebody asks for it, and says why the cookie lives longer than the session", async () => {
    const { browser } = setUp({}, { locate: () => "/a/long/path" });
    const user = browser();
    await user.post("admin");
    const { text } = await user.fetch("/");
    expect(text).toMatch(/<details>\s*<summary>Show its file<\/summary>\s*<code>\/a\/long\/path<\/code>/);
    expect(text).toContain("One day after your last request");
    expect(text).toContain("Your browser keeps it for 30 days. The server goes by the time above");
    expect(text).toContain('class="button second" href="/logout"');
  });

  it("leaves out the place of the record if the store has none to show", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("admin");
    expect((await user.fetch("/")).text).not.toContain("Its record");
  });

  it("shows the effect of logging in once, and stores that before it shows the place of the record", async () => {
    const updates: number[] = [];
    const { browser, store } = setUp({}, { locate: () => `after ${updates.push(store.calls.update)}` });
    const user = browser();
    await user.post("admin");
    const first = (await user.fetch("/")).text;
    expect(first).toContain("What just happened");
    expect(first).toContain("Your browser got a cookie");
    expect(updates).toEqual([1]);
    const second = (await user.fetch("/")).text;
    expect(second).toContain("Your browser sent its cookie");
    expect(second).not.toContain("What just happened");
    expect(updates).toEqual([1, 1]);
  });

  it.each(["session=rubbish", "session=", "a=1; session=%00%ff"])(
    "takes a browser with the cookie %j for a visitor",
    async (cookie) => {
      const { store, browser } = setUp();
      const { response, text } = await browser(cookie).fetch("/");
      expect(text).toContain("You are not logged in");
      expect(text).toContain("it is not valid");
      expect(response.headers.get("set-cookie")).toBeNull();
      expect(store.calls.total).toBe(0);
    },
  );
});

describe("GET /login", () => {
  it("shows a form", async () => {
    const { store, browser } = setUp();
    const { response, text } = await browser().fetch("/login");
    expect(response.status).toBe(200);
    expect(text).toContain('<form method="post" action="/login">');
    expect(text).toContain('<label for="username">');
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(store.calls.total).toBe(0);
  });

  it("says who is logged in already, and still shows the form", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("admin");
    const { text } = await user.fetch("/login");
    expect(text).toContain("You are logged in as <strong><bdi>admin</bdi></strong>");
    expect(text).toContain("<form");
  });
});

describe("POST /login", () => {
  it("logs in, and goes to the first page", async () => {
    const { browser, store } = setUp();
    const { response } = await browser().post("admin");
    expect(response.status).toBe(303);
    expect(response.headers.get("location")).toBe("/");
    expect(response.headers.get("set-cookie")).toMatch(/^session=\S+; .*HttpOnly; SameSite=Lax$/);
    expect(await store.idsOfUser!("admin")).toHaveLength(1);
  });

  it("takes a form of either kind", async () => {
    const { browser } = setUp();
    const user = browser();
    const body = new FormData();
    body.set("username", "admin");
    expect((await user.fetch("/login", { method: "POST", body })).response.status).toBe(303);
    expect((await user.fetch("/")).text).toContain("The login username is: admin");
  });

  it.each([
    "<script>alert(1)</script>",
    "__proto__",
    "constructor",
    '" onmouseover="alert(1)',
    "'><img src=x>",
    "&amp;",
    "👩‍👩‍👧 é",
    "مدير النظام",
    "\u202Eadmin",
    "x".repeat(64),
    "😀".repeat(64),
  ])("takes %j as it is, and escapes it", async (name) => {
    const { browser } = setUp();
    const user = browser();
    expect((await user.post(name)).response.status).toBe(303);
    expect((await user.fetch("/")).text).toContain(`>The login username is: ${escaped(name)}<`);
    expect((await user.fetch("/login")).text).toContain(`<bdi>${escaped(name)}</bdi>`);
  });

  it("forgets blanks around a name", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("  admin\r\n");
    expect((await user.fetch("/")).text).toContain(">The login username is: admin<");
  });

  it("ends the session of the user who was logged in before", async () => {
    const { browser, sessions } = setUp();
    const user = browser();
    await user.post("admin");
    const before = user.cookie;
    await user.post("bob");
    expect((await user.fetch("/")).text).toContain("The login username is: bob");
    expect((await browser(before).fetch("/")).text).toContain("You are not logged in");
    expect(await sessions.list("admin")).toEqual([]);
  });

  it.each([
    ["", "Please enter a username."],
    [" \t\u00A0\u3000", "Please enter a username."],
    ["\u200B\u2060", "Please enter a username."],
    ["x".repeat(65), "64 characters at most; this one has 65"],
    ['a\u0000"b', "control characters"],
    ["two\nlines", "control characters"],
    ["\u009B", "control characters"],
  ])("refuses the name %j, says why, and keeps it in the field", async (name, message) => {
    const { browser, store } = setUp();
    const { response, text } = await browser().post(name);
    expect(response.status).toBe(400);
    expect(text).toMatch(new RegExp(`<p class="alarm" id="problem" role="alert">[^<]*${message}`));
    expect(text).toContain('aria-invalid="true"');
    expect(text).toContain('aria-describedby="problem hint"');
    // Browsers send the line ends of a form as CR LF.
    expect(text.replaceAll("\r\n", "\n")).toContain(`value="${escaped(name)}"`);
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(store.calls.total).toBe(0);
  });

  it.each<[string, RequestInit]>([
    ["no body", {}],
    ["no username", { body: new URLSearchParams({ name: "admin" }) }],
    ["JSON", { body: '{"username":"admin"}', headers: { "content-type": "application/json" } }],
    ["plain text", { body: "username=admin" }],
    ["no boundary", { body: "x", headers: { "content-type": "multipart/form-data" } }],
    ["a broken multipart body", { body: "--a\r\nx", headers: { "content-type": "multipart/form-data; boundary=a" } }],
    ["rubbish for a type", { body: "x", headers: { "content-type": ";;;" } }],
  ])("answers %s with the form and a message", async (_what, init) => {
    const { browser } = setUp();
    const { response, text } = await browser().fetch("/login", { method: "POST", ...init });
    expect(response.status).toBe(400);
    expect(text).toContain('role="alert"');
    expect(text).toContain("<form");
  });

  it("answers a file in the name's place with the form and a message", async () => {
    const { browser } = setUp();
    const body = new FormData();
    body.set("username", new File(["admin"], "name.txt"));
    expect((await browser().fetch("/login", { method: "POST", body })).response.status).toBe(400);
  });

  it.each([
    ["announced", (text: string) => ({ body: text, headers: { "content-length": String(text.length) } })],
    ["not announced", (text: string) => ({ body: new Blob([text]).stream(), duplex: "half" as const })],
  ])("refuses a huge body, its length %s, with the form and a message", async (_how, init) => {
    const { browser } = setUp();
    const { response, text } = await browser().fetch("/login", {
      method: "POST",
      ...init(`username=${"x".repeat(16 * 1024)}`),
    });
    expect(response.status).toBe(413);
    expect(text).toContain('role="alert"');
  });

  it.each<Record<string, string>>([
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site", origin: "http://localhost" },
    { "sec-fetch-site": "rubbish" },
    { origin: "http://elsewhere.test" },
    { origin: "http://localhost:81" },
    { origin: "null" },
  ])("refuses what another site sends: %o", async (headers) => {
    const { browser, store } = setUp();
    const { response, text } = await browser().post("admin", headers);
    expect(response.status).toBe(403);
    expect(text).toContain("came from another site");
    expect(store.calls.total).toBe(0);
  });

  it.each<Record<string, string>>([
    {},
    { "sec-fetch-site": "same-origin", origin: "null" },
    { "sec-fetch-site": "none" },
    { origin: "http://localhost" },
    { origin: "https://localhost" },
  ])("takes what this site, or no site, sends: %o", async (headers) => {
    const { browser } = setUp();
    expect((await browser().post("admin", headers)).response.status).toBe(303);
  });
});

describe("GET /logout", () => {
  it("logs out, on the server too, and goes to the first page", async () => {
    const { browser, store } = setUp();
    const user = browser();
    await user.post("admin");
    const before = user.cookie;
    const { response } = await user.fetch("/logout");
    expect([302, 303]).toContain(response.status);
    expect(response.headers.get("location")).toBe("/");
    expect(user.cookie).toBe("");
    expect((await user.fetch("/")).text).toContain("You are not logged in");
    expect((await browser(before).fetch("/")).text).toContain("You are not logged in");
    expect(await store.idsOfUser!("admin")).toEqual([]);
  });

  it("explains once what a sign-out did, and leaves no cookie behind", async () => {
    const { app, browser } = setUp();
    const user = browser();
    await user.post("admin");
    const signedOut = await app.request("/logout", { headers: { cookie: user.cookie } });
    const kept = signedOut.headers.getSetCookie().filter((line) => !line.includes("Max-Age=0"));
    expect(kept.map((line) => line.split("=")[0])).toEqual(["just-logged-out"]);
    const page = await app.request("/", { headers: { cookie: kept[0]!.split(";")[0]! } });
    const text = await page.text();
    expect(text).toContain("You are not logged in");
    expect(text).toContain("What just happened");
    expect(text).toMatch(/deleted your session’s record/);
    expect(page.headers.getSetCookie()).toEqual([expect.stringMatching(/^just-logged-out=; Max-Age=0/)]);
    expect((await user.fetch("/")).text).not.toContain("What just happened");
  });

  it("asks nothing of the store for a visitor", async () => {
    const { browser, store } = setUp();
    const { response } = await browser().fetch("/logout");
    expect(response.headers.get("location")).toBe("/");
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(store.calls.total).toBe(0);
  });

  it("does not log anybody out for another site", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("admin");
    const { response } = await user.fetch("/logout", { headers: { "sec-fetch-site": "cross-site" } });
    expect(response.status).toBe(403);
    expect((await user.fetch("/")).text).toContain("The login username is: admin");
  });
});

describe("createApp", () => {
  it.each(["/nowhere", "/login/", "//evil.test"])("has a page for what it does not have: %s", async (path) => {
    const { app } = setUp();
    const response = await app.request(`http://localhost${path}`);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("<h1>Page not found</h1>");
  });

  it("sends no script, lets none in, and is framed by nobody", async () => {
    const { browser } = setUp();
    for (const path of ["/", "/login", "/nowhere"]) {
      const { response, text } = await browser().fetch(path);
      const policy = response.headers.get("content-security-policy");
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain("unsafe");
      expect(text).not.toContain("<script");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  it("has the same frame around every page", async () => {
    const { browser } = setUp();
    const user = browser();
    const pages = [
      await user.fetch("/"),
      await user.fetch("/login"),
      await user.post(""),
      await user.fetch("/nowhere"),
    ];
    await user.post("admin");
    pages.push(await user.fetch("/"), await user.post("admin", { origin: "null" }));
    for (const { text } of pages) {
      expect(text).toContain('<html lang="en">');
      expect(text.match(/<title>[^<]+ – Sojourn<\/title>/g)).toHaveLength(1);
      expect(text.match(/<h1>/g)).toHaveLength(1);
      expect(text.match(/<main>/g)).toHaveLength(1);
    }
    expect(new Set(pages.map(({ text }) => /<title>(.*)<\/title>/.exec(text)![1])).size).toBe(pages.length);
  });

  it("keeps pages that depend on the session out of every cache", async () => {
    const { browser } = setUp();
    const user = browser();
    await user.post("admin");
    for (const path of ["/", "/login"]) {
      const { response } = await user.fetch(path);
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("vary")).toContain("Cookie");
    }
  });

  it("shows an outage as such, logs nobody out, and goes on afterwards", async () => {
    const { browser } = setUp({ read: ["ok", "error", "error"] });
    const user = browser();
    await user.post("admin");
    await user.fetch("/");
    const { cookie } = user;
    for (const path of ["/", "/logout"]) {
      const { response, text } = await user.fetch(path);
      expect(response.status).toBe(503);
      expect(text).toContain("can’t reach your session");
      expect(text).toContain("Nothing was lost");
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("set-cookie")).toBeNull();
    }
    expect(console.error).toHaveBeenCalledTimes(2);
    expect(user.cookie).toBe(cookie);
    expect((await user.fetch("/")).text).toContain("The login username is: admin");
  });

  it("does not say that somebody is logged in when that could not be stored", async () => {
    const { browser } = setUp({ create: ["error"] });
    const { response, text } = await browser().post("admin");
    expect(response.status).toBe(503);
    expect(text).toContain("can’t reach your session");
    expect(response.headers.get("set-cookie")).toBeNull();
  });

  it.each([
    ["ERR_SESSION_CONFLICT", 409, "changed elsewhere"],
    ["ERR_SESSION_DECODE", 500, "Something went wrong"],
  ] as const)("answers %s with its status, %i", async (code, status, text) => {
    const { app } = setUp();
    app.get("/fails", () => Promise.reject(new SessionError(code, "as planned")));
    const response = await app.request("/fails");
    expect(response.status).toBe(status);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.text()).toContain(text);
  });

  it("shows none of a mistake in the program", async () => {
    const { app } = setUp();
    app.get("/fails", () => Promise.reject(new TypeError("the inside of the program")));
    const response = await app.request("/fails");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("the inside of the program");
    expect(console.error).toHaveBeenCalledTimes(1);
  });
});
