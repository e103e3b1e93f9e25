import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import Fastify from "fastify";
import { chromium, type Browser, type Page } from "playwright-core";
import { createSessions, type Session, type Sessions, type SessionsOptions } from "sojourn";
import { sessionMiddleware } from "sojourn/express";
import { sessionPlugin } from "sojourn/fastify";
import { memoryStore } from "sojourn/memory";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi, type MockInstance } from "vitest";

const { CHROMIUM_PATH, CI } = process.env;
/** To the browser it is no local host. */
const SHOP = "shop.test";
const BANK = "bank.test";

const FORM = (action: string) => `<form method="post" action="${action}"><button>Send</button></form>`;

function answer(path: string, session: Session): string {
  if (path === "/login") session.signIn("ada");
  // Without this the browser asks for an icon, with the cookie, at a time of its own.
  return `<link rel="icon" href="data:,"><title>${session.userId ?? "nobody"}</title>${FORM("/login")}`;
}

/** Starts an application, and gives its port. */
const FRAMEWORKS: Readonly<Record<string, (sessions: Sessions) => Promise<number>>> = {
  async Express(sessions) {
    const app = express();
    app.use(sessionMiddleware(sessions));
    app.use((req, res) => void res.send(answer(req.path, req.session)));
    return listen(createServer(app));
  },
  async Fastify(sessions) {
    const app = Fastify();
    app.addContentTypeParser("*", (_request, _body, done) => done(null));
    await app.register(sessionPlugin(sessions));
    app.all("/*", (request, reply) => reply.type("text/html").send(answer(request.url, request.session)));
    await app.listen({ port: 0, host: "127.0.0.1" });
    endings.push(() => app.close());
    return (app.server.address() as AddressInfo).port;
  },
};

const endings: (() => unknown)[] = [];

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  endings.push(() => (server.closeAllConnections(), server.close()));
  return (server.address() as AddressInfo).port;
}

describe.skipIf(!CHROMIUM_PATH && !CI)("a diagnosis in a browser", () => {
  let browser: Browser;
  let warned: MockInstance<typeof process.emitWarning>;
  let names = 0;

  beforeAll(async () => {
    if (!CHROMIUM_PATH) throw new Error("CHROMIUM_PATH must name a Chromium");
    const rules = `--host-resolver-rules=MAP ${SHOP} 127.0.0.1, MAP ${BANK} 127.0.0.1`;
    browser = await chromium.launch({ executablePath: CHROMIUM_PATH, args: ["--no-sandbox", "--disable-gpu", rules] });
  });
  afterAll(() => browser?.close());
  beforeEach(() => {
    warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  });
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
    warned.mockRestore();
  });

  const codes = () => warned.mock.calls.map(([, options]) => (options as { code?: string } | undefined)?.code);

  async function application(start: (sessions: Sessions) => Promise<number>, options: Partial<SessionsOptions> = {}) {
    const name = `browser${(names += 1)}`;
    const sessions = createSessions({
      secretKey: "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-",
      store: memoryStore(),
      ...options,
      cookie: { ...options.cookie, name },
    });
    endings.push(() => sessions.close());
    const context = await browser.newContext();
    endings.push(() => context.close());
    return { port: await start(sessions), page: await context.newPage() };
  }

  async function press(page: Page): Promise<void> {
    await Promise.all([page.waitForNavigation(), page.getByRole("button").click()]);
  }

  describe.each(Object.entries(FRAMEWORKS))("with %s", (framework, start) => {
    it("tells that Secure over plain HTTP is dropped, and not on localhost, where the cookie stays", async () => {
      const { port, page } = await application(start, { cookie: { secure: true } });
      await page.goto(`http://localhost:${port}/`);
      await press(page);
      await page.goto(`http://localhost:${port}/`);
      expect(await page.title()).toBe("ada");
      expect(codes()).toEqual([]);
      await page.goto(`http://${SHOP}:${port}/`);
      await press(page);
      await page.goto(`http://${SHOP}:${port}/`);
      expect(await page.title()).toBe("nobody");
      await vi.waitFor(() => expect(codes()).toContain("SOJOURN_SECURE_OVER_HTTP"), 20_000);
    });

    it("tells that SameSite keeps the cookie back from a form of another site", async () => {
      const { port, page } = await application(start);
      const bank = createServer((req, res) => {
        const to = new URL(req.url!, "http://bank").searchParams.get("to")!;
        res.writeHead(200, { "content-type": "text/html" }).end(FORM(to));
      });
      const bankPort = await listen(bank);
      for (const host of ["localhost", SHOP]) {
        await page.goto(`http://${host}:${port}/`);
        await press(page);
        await page.goto(`http://${host}:${port}/`);
        expect(await page.title()).toBe("ada");
      }
      expect(codes()).toEqual([]);
      // To localhost the browser says Sec-Fetch-Site, to the other host Origin alone.
      const host = framework === "Express" ? "localhost" : SHOP;
      await page.goto(`http://${BANK}:${bankPort}/?to=${encodeURIComponent(`http://${host}:${port}/result`)}`);
      await press(page);
      expect(await page.title()).toBe("nobody");
      await vi.waitFor(() => expect(codes()).toEqual(["SOJOURN_SAME_SITE"]), 20_000);
    });

    it("tells that a script of another port sends no cookie without credentials, once it was given one", async () => {
      let ahead = 0;
      const { port, page } = await application(start, { clock: () => Date.now() + ahead });
      const frontend = await listen(createServer((_req, res) => res.setHeader("content-type", "text/html").end("<p>")));
      await page.goto(`http://localhost:${frontend}/`);
      const send = (path: string, method: string) =>
        page.evaluate((given) => fetch(given.url, given).catch(() => {}), {
          url: `http://localhost:${port}${path}`,
          method,
        });
      await send("/", "GET");
      await send("/login", "POST");
      expect(codes()).toEqual([]);
      ahead = 10_000;
      await send("/", "GET");
      await vi.waitFor(() => expect(codes()).toEqual(["SOJOURN_NO_CREDENTIALS"]), 20_000);
    });

    it("tells that the cookies of a host are too large together", async () => {
      const { port, page } = await application(start);
      await page.goto(`http://localhost:${port}/`);
      await press(page);
      await page.evaluate('for (let i = 0; i < 3; i++) document.cookie = `big${i}=${"x".repeat(3000)}`');
      await page.goto(`http://localhost:${port}/`);
      expect(await page.title()).toBe("ada");
      await vi.waitFor(() => expect(codes()).toEqual(["SOJOURN_MANY_COOKIES"]), 20_000);
    });

    it("tells that the browser has forgotten the cookie, because the host has too many", async () => {
      const { port, page } = await application(start);
      await page.goto(`http://localhost:${port}/`);
      await press(page);
      // The browser chooses which of the old cookies it forgets.
      for (let round = 0; round < 20 && (await page.title()) === "ada"; round++) {
        await page.evaluate(`for (let i = 0; i < 200; i++) document.cookie = "c${round}_" + i + "=1"`);
        await page.goto(`http://localhost:${port}/`);
      }
      expect(await page.title()).toBe("nobody");
      await vi.waitFor(() => expect(codes()).toContain("SOJOURN_MANY_COOKIES"), 20_000);
    });

    it("tells that the next page comes without the cookie, which a browser with blocked cookies does", async () => {
      const { port, page } = await application(start);
      await page.goto(`http://localhost:${port}/`);
      // The same as a browser that blocks cookies: it has none when the next page is asked for.
      await press(page);
      await page.context().clearCookies();
      await page.evaluate('void location.assign("/")');
      await page.waitForURL(`http://localhost:${port}/`);
      await vi.waitFor(() => expect(codes()).toEqual(["SOJOURN_LOST_COOKIE"]), 20_000);
    });
  });
});
