import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { createSessions, type Session, type Sessions, type SessionsOptions } from "sojourn";
import { bearerTokens } from "sojourn/bearer";
import { cookieStore } from "sojourn/cookie";
import { csrfProtection, type CsrfProtection } from "sojourn/csrf";
import { sessionMiddleware as expressMiddleware } from "sojourn/express";
import { sessionPlugin } from "sojourn/fastify";
import { sessionMiddleware as honoMiddleware } from "sojourn/hono";
import { memoryStore } from "sojourn/memory";
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from "vitest";

const KEY = "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-";
const OTHER_KEY = "uEo6iAaRkV_-mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4";
const BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36";

type Headers = Readonly<Record<string, string>>;
/** Sends a request, and gives the pair of the cookie that the response sets. */
type Ask = (method: string, path: string, headers?: Headers) => Promise<string>;

const endings: (() => unknown)[] = [];
let warned: MockInstance<typeof process.emitWarning>;
beforeEach(() => {
  warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(async () => {
  warned.mockRestore();
  for (const end of endings.splice(0).toReversed()) await end();
});

function answer(path: string, session: Session): string {
  if (path.endsWith("/login")) session.signIn("ada");
  if (path.endsWith("/logout")) session.signOut();
  return String(session.userId);
}

const pairOf = (lines: readonly string[]) => lines[0]?.split(";", 1)[0] ?? "";

const FRAMEWORKS: Readonly<Record<string, (sessions: Sessions, csrf?: CsrfProtection) => Ask | Promise<Ask>>> = {
  async Express(sessions, csrf) {
    const app = express();
    app.set("env", "test");
    app.use(expressMiddleware(sessions, { csrf }));
    app.use((req, res) => void res.send(answer(req.path, req.session)));
    const server = createServer(app).listen(0, "127.0.0.1");
    await once(server, "listening");
    endings.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    return (method, path, headers = {}) =>
      new Promise((resolve, reject) => {
        const asked = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent: false }, (res) => {
          res.resume().once("end", () => resolve(pairOf(res.headers["set-cookie"] ?? [])));
        });
        asked.once("error", reject).end();
      });
  },

  async Fastify(sessions, csrf) {
    const app = Fastify();
    await app.register(sessionPlugin(sessions, { csrf }));
    app.all("/*", (request) => answer(request.url, request.session));
    endings.push(() => app.close());
    return async (method, url, headers = {}) => {
      const { cookies } = await app.inject({ method: method as "GET", url, headers });
      return cookies[0] ? `${cookies[0].name}=${cookies[0].value}` : "";
    };
  },

  Hono(sessions, csrf) {
    const app = new Hono();
    app.use(honoMiddleware(sessions, { csrf }));
    app.all("/*", (c) => c.text(answer(c.req.path, (c.var as unknown as { session: Session }).session)));
    return async (method, path, headers = {}) => {
      const { host = "localhost" } = headers;
      const response = await app.request(new Request(`http://${host}${path}`, { method, headers }));
      return pairOf(response.headers.getSetCookie());
    };
  },
};

describe.each(Object.entries(FRAMEWORKS))("a diagnosis with %s", (framework, start) => {
  let count = 0;
  /** Warnings come once for each name. */
  const newName = () => `${framework.toLowerCase()}${(count += 1)}`;

  async function application(options: Partial<SessionsOptions> = {}, csrf?: CsrfProtection) {
    const name = options.cookie?.name ?? newName();
    const sessions = createSessions({
      secretKey: KEY,
      store: memoryStore(),
      diagnostics: true,
      ...options,
      cookie: { ...options.cookie, name },
    });
    endings.push(() => sessions.close());
    return { name, ask: await start(sessions, csrf) };
  }

  const given = () =>
    warned.mock.calls.map(([message, options]) => ({ message: String(message), ...(options as { code: string }) }));
  const codes = () => given().map(({ code }) => code);

  /** Waits for the warning, and gives its text. There is no other one. */
  async function diagnosis(code: string): Promise<string> {
    await vi.waitFor(() => expect(codes()).toEqual([code]), 20_000);
    return given()[0]!.message;
  }

  const page = { "user-agent": BROWSER, host: "shop.example", accept: "text/html" };
  const local = { ...page, host: "localhost:3000" };
  const https = { ...page, "x-forwarded-proto": "https" };
  const fetched = { "sec-fetch-mode": "cors", origin: "http://localhost:5173" };

  /** The diagnoses are loaded now: from here on each looks at the clock while its request is answered. */
  async function loaded(ask: Ask): Promise<void> {
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    await diagnosis("SOJOURN_MANY_COOKIES");
    warned.mockClear();
  }

  it("tells of Secure over plain HTTP, and not where the browser or a proxy says HTTPS", async () => {
    const { ask } = await application({ cookie: { secure: true } });
    await ask("POST", "/login", https);
    await ask("POST", "/login", { ...page, "sec-fetch-site": "same-origin" });
    await ask("POST", "/login", local);
    await ask("POST", "/login", page);
    expect(await diagnosis("SOJOURN_SECURE_OVER_HTTP")).toContain("cookie.secure");
  });

  it("tells in production too of a proxy that is not trusted, and of a token of another key that is replaced", async () => {
    const { name, ask } = await application({ diagnostics: false });
    const cookie = await ask("POST", "/login", local);
    const { ask: askNew } = await application({ diagnostics: false, secretKey: OTHER_KEY, cookie: { name } });
    await askNew("POST", "/login", { ...https, cookie });
    await vi.waitFor(() => expect(codes()).toHaveLength(2), 20_000);
    expect(codes()).toEqual(["SOJOURN_FOREIGN_COOKIE", "SOJOURN_UNTRUSTED_PROXY"]);
  });

  it("tells of a proxy that ends HTTPS and says nothing", async () => {
    const { ask } = await application();
    await ask("POST", "/login", page);
    await ask("POST", "/login", { ...page, "sec-fetch-site": "same-origin" });
    expect(await diagnosis("SOJOURN_SILENT_PROXY")).toContain("trustProxy");
  });

  it("tells of the cookie of HTTPS at a request that looks like HTTP, because the proxy is not trusted", async () => {
    const { name, ask } = await application();
    await ask("GET", "/", { ...page, cookie: `__Host-${name}=1abc` });
    expect(await diagnosis("SOJOURN_HTTPS_COOKIE")).toContain("trustProxy");
  });

  it("tells of the cookie of HTTP at a request over HTTPS", async () => {
    const { name, ask } = await application({ trustProxy: true });
    await ask("GET", "/", { ...https, cookie: `${name}=1abc` });
    expect(await diagnosis("SOJOURN_HTTP_COOKIE")).toContain("__Host-");
  });

  it("tells of a domain that is not the page's, whatever the case and the port of the right one", async () => {
    const { ask } = await application({ cookie: { domain: "example.com" } });
    for (const host of ["example.com:8080", "WWW.Example.com"]) await ask("POST", "/login", { ...page, host });
    await ask("POST", "/login", { ...page, host: "notexample.com" });
    expect(await diagnosis("SOJOURN_COOKIE_DOMAIN")).toContain("cookie.domain");
  });

  it("tells of a path that does not lead to the route", async () => {
    const { ask } = await application({ cookie: { path: "/shop" } });
    await ask("POST", "/shop/login", local);
    await ask("POST", "/shopping/login", local);
    expect(await diagnosis("SOJOURN_COOKIE_PATH")).toContain("cookie.path");
  });

  it("takes a host with a dot at its end for the same host", async () => {
    const { ask } = await application({ cookie: { domain: "example.com" } });
    for (const host of ["shop.example.com.", "example.com.:8080"]) await ask("POST", "/login", { ...page, host });
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    expect(await diagnosis("SOJOURN_MANY_COOKIES")).toContain("431");
  });

  it("takes a target that is a whole URL for a path", async () => {
    if (framework !== "Express") return;
    const { ask } = await application({ cookie: { path: "/shop" } });
    await ask("POST", "http://shop.example/shop/login", page);
    const { ask: askAll } = await application();
    await askAll("POST", "http://shop.example/login", page);
    await askAll("GET", "http://shop.example", page);
    await ask("POST", "http://shop.example/login", page);
    expect(await diagnosis("SOJOURN_COOKIE_PATH")).toContain("cookie.path");
  });

  it("tells of no form of another site that csrfProtection() has refused", async () => {
    const foreign = {
      ...local,
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      origin: "http://evil.example",
    };
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const { ask } = await application({}, csrfProtection());
    await ask("POST", "/pay", foreign);
    await ask("POST", "/pay", { ...foreign, "x-csrf-token": "forged" });
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    expect(await diagnosis("SOJOURN_MANY_COOKIES")).toContain("431");
    logged.mockRestore();
  });

  it("counts no cookies of cookieStore() among those that are too large", async () => {
    const { name, ask } = await application({ store: cookieStore() });
    const pieces = (n: number) => Array.from({ length: n }, (_, i) => `${name}.${i}=${"x".repeat(3900)}`).join("; ");
    await ask("GET", "/", { ...local, cookie: `${pieces(3)}; theme=dark` });
    expect(await diagnosis("SOJOURN_UNREADABLE_COOKIE")).toContain(name);
    warned.mockClear();
    await ask("GET", "/", { ...local, cookie: `${pieces(1)}; theme=${"x".repeat(9000)}` });
    await diagnosis("SOJOURN_MANY_COOKIES");
  });

  it("tells of a form of another site that comes without the cookie, and not of a link", async () => {
    const { ask } = await application();
    const foreign = { ...local, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    await ask("GET", "/", foreign);
    await ask("POST", "/pay", foreign);
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain('cookie.sameSite "lax"');
  });

  it("tells of a frame in a page of another site, and not of a preflight nor of an image", async () => {
    const { ask } = await application();
    const foreign = { ...local, "sec-fetch-site": "cross-site", origin: "http://bank.example" };
    await ask("OPTIONS", "/", { ...foreign, "sec-fetch-mode": "cors" });
    await ask("GET", "/logo", { ...foreign, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" });
    // Diagnoses come in the order of the requests.
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    await diagnosis("SOJOURN_MANY_COOKIES");
    warned.mockClear();
    await ask("GET", "/", { ...foreign, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" });
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain('cookie.sameSite "lax"');
  });

  it("tells of a form of another site where the browser sends Origin alone", async () => {
    const { ask } = await application();
    await ask("POST", "/pay", { ...page, origin: "http://shop.example" });
    await ask("POST", "/pay", { ...page, origin: "http://bank.example" });
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain("cookie.sameSite");
  });

  it("tells of a link of another site with SameSite=Strict", async () => {
    const { ask } = await application({ cookie: { sameSite: "strict" } });
    await ask("GET", "/", { ...local, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" });
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain('cookie.sameSite "strict"');
  });

  it("tells of a script of another port that was given the cookie, and sends no credentials", async () => {
    let ahead = 0;
    const { ask } = await application({ clock: () => Date.now() + ahead });
    const script = { ...local, ...fetched, "sec-fetch-site": "same-site" };
    await loaded(ask);
    await ask("POST", "/login", script);
    ahead = 10_000;
    await ask("GET", "/", script);
    expect(await diagnosis("SOJOURN_NO_CREDENTIALS")).toContain('credentials: "include"');
  });

  it("is not given for a script of another port: at its first visits, beside its sign-in, with its cookie, and after its sign-out", async () => {
    let ahead = 0;
    const { ask } = await application({ clock: () => Date.now() + ahead });
    const script = { ...local, ...fetched, "sec-fetch-site": "same-site" };
    await loaded(ask);
    for (let visit = 0; visit < 3; visit++) {
      await ask("GET", "/", script);
      ahead += 10_000;
    }
    const cookie = await ask("POST", "/login", script);
    await ask("GET", "/", script);
    ahead += 10_000;
    await ask("GET", "/", { ...script, cookie: "theme=dark" });
    await ask("GET", "/", { ...script, cookie });
    await ask("POST", "/logout", { ...script, cookie });
    await ask("GET", "/", script);
    // Diagnoses come in the order of the requests.
    await ask("POST", "/pay", { ...local, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" });
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain("cookie.sameSite");
  });

  it("tells of cookies that are too large or too many together", async () => {
    const { name, ask } = await application();
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    expect(await diagnosis("SOJOURN_MANY_COOKIES")).toContain("431");
    expect(name).not.toBe("theme");
    warned.mockClear();
    const { ask: askOther } = await application();
    await askOther("GET", "/", { ...local, cookie: Array.from({ length: 170 }, (_, i) => `c${i}=1`).join("; ") });
    await diagnosis("SOJOURN_MANY_COOKIES");
  });

  it("tells of two cookies of one name", async () => {
    const { ask } = await application();
    const [one, two] = [await ask("POST", "/login", local), await ask("POST", "/login", local)];
    await ask("GET", "/", { ...local, cookie: `${one}; ${two}` });
    expect(await diagnosis("SOJOURN_DUPLICATE_COOKIE")).toContain("cookie.path");
  });

  it("tells of a token of another key, though nothing replaces it", async () => {
    const { name, ask } = await application();
    const cookie = await ask("POST", "/login", local);
    const { ask: askNew } = await application({ secretKey: OTHER_KEY, cookie: { name } });
    await askNew("GET", "/", { ...local, cookie });
    expect(await diagnosis("SOJOURN_FOREIGN_COOKIE")).toContain("keep the old one in the list");
  });

  it("tells of a cookie that another library has made, without its value", async () => {
    const { name, ask } = await application();
    await ask("GET", "/", { ...local, cookie: `${name}=s%3Asecret.signature` });
    const message = await diagnosis("SOJOURN_OTHER_COOKIE");
    expect(message).toContain("cookie.name");
    expect(message).not.toContain("s%3Asecret");
  });

  it("tells of a session that the store has lost, without its token", async () => {
    const { name, ask } = await application();
    const cookie = await ask("POST", "/login", local);
    const { ask: askAfterRestart } = await application({ cookie: { name } });
    await askAfterRestart("GET", "/", { ...local, cookie });
    const message = await diagnosis("SOJOURN_UNKNOWN_SESSION");
    expect(message).toContain("memoryStore");
    expect(message).not.toContain(cookie.slice(-40));
  });

  it("tells of a session in cookies that no key opens, and not of one that opens", async () => {
    const { name, ask } = await application({ store: cookieStore() });
    const cookie = await ask("POST", "/login", local);
    await loaded(ask);
    await ask("GET", "/", { ...local, cookie });
    const changed = { secretKey: OTHER_KEY, store: cookieStore(), cookie: { name } };
    const { ask: askKept } = await application({ ...changed, secretKey: [OTHER_KEY, KEY] });
    await askKept("GET", "/", { ...local, cookie });
    const { ask: askNew } = await application(changed);
    await askNew("GET", "/", { ...local, cookie });
    const message = await diagnosis("SOJOURN_UNREADABLE_COOKIE");
    expect(message).toContain("keep the old one in the list");
    expect(message).not.toContain(cookie.slice(-40));
  });

  it("tells of clocks that differ", async () => {
    let ahead = 0;
    const clock = () => Date.now() + ahead;
    const { ask } = await application({ clock, store: memoryStore({ clock }) });
    const cookie = await ask("POST", "/login", local);
    ahead = -4000;
    await ask("GET", "/", { ...local, cookie });
    ahead = -60_000;
    await ask("GET", "/", { ...local, cookie });
    expect(await diagnosis("SOJOURN_CLOCKS_DIFFER")).toContain("NTP");
  });

  it("tells of a cookie that the next page comes without, by Sec-Fetch-Site or by the referrer", async () => {
    for (const own of [
      { ...local, "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate" },
      { ...page, referer: "http://shop.example/login" },
    ]) {
      const { ask } = await application();
      await ask("POST", "/login", own);
      await ask("GET", "/", { ...own, "user-agent": "Mozilla/5.0 of another browser" });
      expect(codes()).toEqual([]);
      await ask("GET", "/", own);
      expect(await diagnosis("SOJOURN_LOST_COOKIE")).toContain("developer tools");
      warned.mockClear();
    }
  });

  it("tells the clients of a proxy apart, or says nothing of a cookie that does not come back", async () => {
    const own = { ...local, "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate" };
    const [ada, eve] = ["198.51.100.1", "198.51.100.2"].map((address) => ({ ...own, "x-forwarded-for": address }));
    const { ask } = await application();
    await ask("POST", "/login", ada);
    await ask("GET", "/", eve);
    const { ask: askTrusted } = await application({ trustProxy: true });
    await askTrusted("POST", "/login", ada);
    await askTrusted("GET", "/", eve);
    await ask("GET", "/", { ...local, cookie: `theme=${"x".repeat(9000)}` });
    await diagnosis("SOJOURN_MANY_COOKIES");
    warned.mockClear();
    await askTrusted("GET", "/", ada);
    expect(await diagnosis("SOJOURN_LOST_COOKIE")).not.toContain("198.51.100");
  });

  it("is given at the first odd request, however many usual ones came before", async () => {
    let ahead = 0;
    const clock = () => Date.now() + ahead;
    const { name, ask } = await application({ clock, store: memoryStore({ clock }), cookie: { secure: true } });
    await ask("GET", "/", { ...local, cookie: `__Host-${name}=other` });
    await diagnosis("SOJOURN_OTHER_COOKIE");
    const cookie = await ask("POST", "/login", local);
    const next = async (code: string, action: () => unknown) => {
      expect(codes()).toHaveLength(1);
      warned.mockClear();
      for (let i = 0; i < 3; i++) await ask("GET", "/", { ...local, cookie: `${cookie}; theme=dark` });
      await action();
      await diagnosis(code);
    };
    await next("SOJOURN_DUPLICATE_COOKIE", () =>
      ask("GET", "/", { ...local, cookie: `${cookie}; __Host-${name}=other` }),
    );
    await next("SOJOURN_MANY_COOKIES", () =>
      ask("GET", "/", { ...local, cookie: `${cookie}; theme=${"x".repeat(9000)}` }),
    );
    await next("SOJOURN_CLOCKS_DIFFER", async () => {
      ahead = -60_000;
      await ask("GET", "/", { ...local, cookie });
      ahead = 0;
    });
    await next("SOJOURN_SECURE_OVER_HTTP", () => ask("POST", "/login", { ...page, cookie }));
    await next("SOJOURN_UNKNOWN_SESSION", async () => {
      const late = await ask("POST", "/login", local);
      await ask("POST", "/logout", { ...local, cookie: late });
      await ask("GET", "/", { ...local, cookie: late });
    });
  });

  it("is not given where the cookie comes back, nor for requests that were under way", async () => {
    let ahead = 0;
    const { ask } = await application({ clock: () => Date.now() + ahead });
    const own = { ...local, "sec-fetch-site": "same-origin" };
    await loaded(ask);
    const cookie = await ask("POST", "/login", { ...own, "sec-fetch-mode": "navigate" });
    await ask("GET", "/data", { ...own, "sec-fetch-mode": "cors" });
    await ask("GET", "/", { ...own, cookie, "sec-fetch-mode": "navigate" });
    ahead = 10_000;
    await ask("GET", "/", { ...own, "sec-fetch-mode": "navigate" });
    // Diagnoses come in the order of the requests.
    await ask("POST", "/pay", { ...local, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" });
    expect(await diagnosis("SOJOURN_SAME_SITE")).toContain("cookie.sameSite");
  });

  it("is given once, however many requests a client sends, and shows nothing that it has sent", async () => {
    const { name, ask } = await application();
    for (let i = 0; i < 30; i++) {
      const host = `evil${i}.example`;
      const hostile = { origin: `http://marker${i}.example`, referer: `http://marker${i}.example/` };
      await ask("POST", `/marker${i}`, { ...page, ...hostile, host, "user-agent": `Mozilla/marker${i}` });
      await ask("GET", `/marker${i}`, { ...page, cookie: `${name}=marker${i}` });
      await ask("GET", `/marker${i}`, { ...page, cookie: `${name}=marker${i}; ${name}=marker` });
      await ask("GET", "/", { ...page, host: "a/b:c@[", cookie: "=;;=" }).catch(() => {});
    }
    await vi.waitFor(() => expect(codes()).toHaveLength(3), 20_000);
    expect(codes().toSorted()).toEqual(["SOJOURN_DUPLICATE_COOKIE", "SOJOURN_OTHER_COOKIE", "SOJOURN_SAME_SITE"]);
    expect(given().filter(({ message }) => message.includes("marker"))).toEqual([]);
  });
});

it("a client that may send its token in a header is not told of a missing cookie", async () => {
  const name = "withBearer";
  const sessions = createSessions({ secretKey: KEY, store: memoryStore(), diagnostics: true, cookie: { name } });
  endings.push(() => sessions.close());
  const app = new Hono();
  app.use("/api/*", honoMiddleware(sessions, { bearer: bearerTokens() }));
  app.use(honoMiddleware(sessions));
  app.get("/*", (c) => c.text(answer(c.req.path, (c.var as unknown as { session: Session }).session)));
  const headers = { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" };
  await app.request("/api/me", { headers });
  expect((await app.request("/api/login", { headers: { ...headers, "x-forwarded-proto": "https" } })).status).toBe(200);
  // Diagnoses come in the order of the requests.
  await app.request("/page", { headers: { cookie: `${name}=other` } });
  await vi.waitFor(() => expect(warned).toHaveBeenCalled(), 20_000);
  expect(warned.mock.calls.map(([message]) => String(message))).toEqual([expect.stringContaining("has not made")]);
});

describe("the option diagnostics", () => {
  /** Whether an application with it tells of a foreign cookie. */
  async function tells(options: Partial<SessionsOptions>, name: string): Promise<boolean> {
    const sessions = createSessions({ secretKey: KEY, store: memoryStore(), ...options, cookie: { name } });
    const marker = createSessions({
      secretKey: KEY,
      store: memoryStore(),
      diagnostics: true,
      cookie: { name: `${name}2` },
    });
    endings.push(
      () => sessions.close(),
      () => marker.close(),
    );
    const [ask, askMarker] = [await FRAMEWORKS["Hono"]!(sessions), await FRAMEWORKS["Hono"]!(marker)];
    await ask("GET", "/", { cookie: `${name}=other` });
    await new Promise((resolve) => setImmediate(resolve));
    await askMarker("GET", "/", { cookie: `${name}2=other` });
    await vi.waitFor(() => expect(warned.mock.calls.map(String).join()).toContain(`${name}2`), 20_000);
    return warned.mock.calls.some(([message]) => String(message).includes(`named ${name} `));
  }

  it("is on by default, and off in production", async () => {
    expect(await tells({}, "byDefault")).toBe(true);
    vi.stubEnv("NODE_ENV", "production");
    try {
      expect(await tells({}, "inProduction")).toBe(false);
      expect(await tells({ diagnostics: true }, "turnedOn")).toBe(true);
    } finally {
      vi.unstubAllEnvs();
    }
    expect(await tells({ diagnostics: false }, "turnedOff")).toBe(false);
  });

  it("is off where the program may not read NODE_ENV, as on Deno without a permission", async () => {
    const { env } = process;
    const get = (target: object, key: string): unknown => {
      if (key === "NODE_ENV") throw new Error("NotCapable");
      return Reflect.get(target, key);
    };
    process.env = new Proxy(env, { get }) as NodeJS.ProcessEnv;
    try {
      expect(await tells({}, "withoutPermission")).toBe(false);
    } finally {
      process.env = env;
    }
  });

  it("is refused where it is no boolean", () => {
    const options = { secretKey: KEY, store: memoryStore(), diagnostics: "yes" as unknown as boolean };
    expect(() => createSessions(options)).toThrow("diagnostics must be true or false");
  });
});
