import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium } from "playwright-core";
import { createSessions } from "sojourn";
import { csrfProtection } from "sojourn/csrf";
import { memoryStore } from "sojourn/memory";
import { withSession } from "sojourn/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const { CHROMIUM_PATH, CI } = process.env;
/** To the browser they are no local hosts: over plain HTTP it sends no Sec-Fetch-Site to them. */
const PLAIN = "shop.test";
const EVIL = "evil.test";

describe.skipIf(!CHROMIUM_PATH && !CI)("csrfProtection and a browser", () => {
  const sessions = createSessions({ secretKey: "mX3v9Kq0rTz7PwL1cYb5NdQ8hJ2sGf4uEo6iAaRkV_-", store: memoryStore() });
  /** Of the requests that arrived at `/pay`, the last one's headers. */
  let seen: Record<string, unknown> = {};
  const shop = createServer((req, res) => {
    if (req.url === "/pay") seen = { site: req.headers["sec-fetch-site"], origin: req.headers.origin };
    handle(req, res);
  });
  const handle = withSession(
    sessions,
    (req, res) => {
      if (req.method === "POST") return res.end("paid");
      const policy = req.url === "/no-referrer" ? { "referrer-policy": "no-referrer" } : {};
      return res.writeHead(200, { "content-type": "text/html", ...policy }).end(FORM("/pay"));
    },
    {
      csrf: csrfProtection(),
      onError: (error, _req, res) => res.writeHead((error as { status: number }).status).end("no"),
    },
  );
  const foreign = createServer((req, res) => {
    const { searchParams, pathname } = new URL(req.url!, "http://localhost");
    const form = FORM(searchParams.get("to")!);
    const page = pathname === "/sandbox" ? `<iframe sandbox="allow-forms" srcdoc='${form}'></iframe>` : form;
    if (pathname === "/redirect") res.writeHead(307, { location: searchParams.get("to")! }).end();
    else res.writeHead(200, { "content-type": "text/html" }).end(page);
  });
  const FORM = (action: string) => `<form method="post" action="${action}"><button>Pay</button></form>`;

  let browser: Browser;
  let shopPort: number;
  let foreignPort: number;
  const listen = async (server: Server) => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  };
  beforeAll(async () => {
    if (!CHROMIUM_PATH) throw new Error("CHROMIUM_PATH must name a Chromium");
    [shopPort, foreignPort] = [await listen(shop), await listen(foreign)];
    const rules = `--host-resolver-rules=MAP ${PLAIN} 127.0.0.1, MAP ${EVIL} 127.0.0.1`;
    browser = await chromium.launch({ executablePath: CHROMIUM_PATH, args: ["--no-sandbox", "--disable-gpu", rules] });
  });
  afterAll(async () => {
    await browser?.close();
    for (const server of [shop, foreign]) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** Presses the button of a page, and gives the status and what the browser has said of the request's page. */
  async function press(url: string): Promise<unknown[]> {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(url);
      const answered = page.waitForResponse((response) => response.url().endsWith("/pay"));
      const button = url.includes("/sandbox")
        ? page.frameLocator("iframe").getByRole("button")
        : page.getByRole("button");
      await button.click();
      return [(await answered).status(), seen["site"], seen["origin"]];
    } finally {
      await context.close();
    }
  }

  const to = (host: string) => encodeURIComponent(`http://${host}:${shopPort}/pay`);

  it("let forms of the same origin pass, with the header, without it, and without a referrer", async () => {
    expect(await press(`http://localhost:${shopPort}/`)).toEqual([200, "same-origin", `http://localhost:${shopPort}`]);
    expect(await press(`http://localhost:${shopPort}/no-referrer`)).toEqual([200, "same-origin", "null"]);
    expect(await press(`http://${PLAIN}:${shopPort}/`)).toEqual([200, undefined, `http://${PLAIN}:${shopPort}`]);
  });

  it("refuse forms of another site and another port, of a sandbox, and after a redirect of another site", async () => {
    const other = `http://127.0.0.1:${foreignPort}`;
    expect(await press(`${other}/?to=${to("localhost")}`)).toEqual([403, "cross-site", other]);
    const port = `http://localhost:${foreignPort}`;
    expect(await press(`${port}/?to=${to("localhost")}`)).toEqual([403, "same-site", port]);
    expect(await press(`${port}/sandbox?to=${to("localhost")}`)).toEqual([403, "cross-site", "null"]);
    const redirect = encodeURIComponent(`${other}/redirect?to=${to("localhost")}`);
    expect(await press(`${port}/?to=${redirect}`)).toEqual([403, "cross-site", "null"]);
  });

  it("refuse forms of another site where the browser sends Origin alone", async () => {
    const evil = `http://${EVIL}:${foreignPort}`;
    expect(await press(`${evil}/?to=${to(PLAIN)}`)).toEqual([403, undefined, evil]);
    expect(await press(`${evil}/sandbox?to=${to(PLAIN)}`)).toEqual([403, undefined, "null"]);
    // With no-referrer the browser hides the origin of a page of ours too: nothing tells it from the line above.
    expect(await press(`http://${PLAIN}:${shopPort}/no-referrer`)).toEqual([403, undefined, "null"]);
  });
});
