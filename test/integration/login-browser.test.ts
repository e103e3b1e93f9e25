import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Afterwards, type SpawnedServer, startServer, workingDirectory } from "../../examples/login/spawned.ts";
import { freePort, HUNG_MS } from "../support/throwaway.ts";

const { CHROMIUM_PATH, CI } = process.env;
/** A name that is no local one to the browser: over plain HTTP it then sends no Sec-Fetch-Site. */
const PLAIN_HOST = "sojourn.test";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`,
];

// Run in the page.
const FOCUSED = "document.activeElement?.id ?? ''";
const OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
/** The texts whose contrast to what lies behind them is below WCAG's AA. */
const FAINT = `(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (numbers(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [darker, lighter] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => a - b);
    if ((lighter + 0.05) / (darker + 0.05) < 4.5) faint.push(element.textContent);
  }
  return faint;
})()`;

describe.skipIf(!CHROMIUM_PATH && !CI)("the login application in a browser", () => {
  let browser: Browser;
  /** One for all tests but the one that kills it: each comes with cookies of its own. */
  let server: SpawnedServer;
  const endings: (() => void | Promise<void>)[] = [];
  beforeAll(async () => {
    if (!CHROMIUM_PATH) throw new Error("CHROMIUM_PATH must name a Chromium");
    const afterwards: Afterwards = (end) => void endings.unshift(end);
    server = await startServer(workingDirectory(afterwards), {}, afterwards);
    browser = await chromium.launch({ executablePath: CHROMIUM_PATH, args: ARGUMENTS });
    endings.unshift(() => browser.close());
  });
  afterAll(async () => {
    for (const end of endings) await end();
  });

  /** A page of a browser of its own, and what it complained about. */
  async function open(options: BrowserContextOptions = {}, host = "localhost") {
    const context = await browser.newContext({
      baseURL: server.url.replace("localhost", host),
      ...options,
    });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(HUNG_MS);
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    return { context, page, complaints };
  }

  async function logIn(page: Page, name: string): Promise<void> {
    await page.goto("/login");
    await page.getByLabel("Username").fill(name);
    await page.getByRole("button", { name: "Log in" }).click();
  }

  const heading = (page: Page) => page.getByRole("heading", { level: 1 }).textContent();
  const pathOf = (page: Page) => new URL(page.url()).pathname;

  it.each([
    ["with scripts on", {}, "localhost"],
    ["with scripts off", { javaScriptEnabled: false }, "localhost"],
    ["over plain HTTP to another machine's name", {}, PLAIN_HOST],
  ])("logs in and out, %s", async (_how, options, host) => {
    const { page, context, complaints } = await open(options, host);
    await page.goto("/");
    expect(await heading(page)).toBe("You are not logged in");
    expect(await context.cookies()).toEqual([]);

    await page.getByRole("link", { name: "Log in" }).click();
    await page.waitForURL("**/login");
    await page.getByLabel("Username").fill("admin");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL((url) => url.pathname === "/");
    expect(await heading(page)).toBe("The login username is: admin");
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({ name: "session", httpOnly: true, sameSite: "Lax", path: "/" });

    await page.reload();
    expect(await heading(page)).toBe("The login username is: admin");
    expect(await context.cookies()).toEqual([cookie]);

    await page.getByRole("link", { name: "Log out" }).click();
    await page.getByRole("link", { name: "Log in" }).waitFor();
    expect(pathOf(page)).toBe("/");
    expect(await heading(page)).toBe("You are not logged in");
    expect(await context.cookies()).toEqual([]);
    await page.getByRole("heading", { name: "What just happened" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Your session: none yet" }).waitFor();
    expect(complaints).toEqual([]);
  });

  it("keeps the browser logged in when the server is killed and started again", async () => {
    const directory = workingDirectory();
    const PORT = `${await freePort()}`;
    const mortal = await startServer(directory, { PORT });
    const context = await browser.newContext({ baseURL: mortal.url });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await logIn(page, "admin");
    await page.getByRole("link", { name: "Log out" }).waitFor();
    await mortal.stop("SIGKILL");
    await startServer(directory, { PORT });
    await page.reload();
    expect(await heading(page)).toBe("The login username is: admin");
  });

  it.each(["<script>alert(1)</script>", '" onmouseover="alert(1)', "<img src=x onerror=alert(1)>", "مدير 👩‍👩‍👧"])(
    "shows the name %j as text",
    async (name) => {
      const { page, complaints } = await open();
      await logIn(page, name);
      await page.getByRole("link", { name: "Log out" }).waitFor();
      expect(await heading(page)).toBe(`The login username is: ${name}`);
      await page.goto("/login");
      expect(await page.getByRole("strong").textContent()).toBe(name);
      expect(await page.locator("script, img").count()).toBe(0);
      expect(complaints).toEqual([]);
    },
  );

  it("can be used by keyboard alone", async () => {
    const { page } = await open();
    await page.goto("/");
    // Past the link to the first page.
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/login");
    expect(await page.evaluate(FOCUSED)).toBe("username");
    await page.keyboard.type("admin");
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Log out" }).waitFor();
    expect(await heading(page)).toBe("The login username is: admin");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Log in" }).waitFor();
    expect(await heading(page)).toBe("You are not logged in");
  });

  it("says what is wrong with a name, keeps it, and leads back to the field", async () => {
    const { page } = await open();
    const tooLong = "<b>".repeat(30);
    await logIn(page, tooLong);
    const alert = page.getByRole("alert");
    expect(await alert.textContent()).toBe("A username has 64 characters at most; this one has 90.");
    const field = page.getByRole("textbox", { name: "Username" });
    expect(await field.inputValue()).toBe(tooLong);
    expect(await page.evaluate(FOCUSED)).toBe("username");
    expect((await field.getAttribute("aria-describedby"))!.split(" ")).toContain(await alert.getAttribute("id"));
    expect(await page.title()).toMatch(/^Error: /);

    await field.fill("admin");
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Log out" }).waitFor();
    expect(await heading(page)).toBe("The login username is: admin");
  });

  it("brings up nobody's name when the next one goes back after logging out", async () => {
    const { page } = await open();
    await logIn(page, "admin");
    await page.getByRole("link", { name: "Log out" }).waitFor();
    await page.goto("/login");
    expect(await page.getByRole("strong").textContent()).toBe("admin");
    await page.goto("/");
    await page.getByRole("link", { name: "Log out" }).click();
    await page.getByRole("link", { name: "Log in" }).waitFor();
    await page.goBack();
    expect(await heading(page)).toBe("You are not logged in");
    await page.goBack();
    expect(await heading(page)).toBe("Log in");
    expect(await page.locator("body").textContent()).not.toContain("admin");
  });

  it("refuses a form that another site makes the browser send", async () => {
    const { page, context } = await open();
    const form = `<form method="post" action="${server.url}/login"><input name="username" value="mallory" />
      <button>Win a prize</button></form>`;
    await context.route("http://elsewhere.test/", (route) => route.fulfill({ contentType: "text/html", body: form }));
    await page.goto("http://elsewhere.test/");
    await page.getByRole("button").click();
    await page.waitForURL(`${server.url}/login`);
    expect(await heading(page)).toBe("Refused");
    expect(await context.cookies()).toEqual([]);
  });

  it.each(["light", "dark"] as const)("can be read in %s, and in a window of 320 pixels", async (colorScheme) => {
    const { page } = await open({ colorScheme, viewport: { width: 320, height: 640 } });
    const grounds = new Set();
    const look = async () => {
      expect([page.url(), await page.evaluate(OVERFLOWS)]).toEqual([page.url(), false]);
      expect([page.url(), await page.evaluate(FAINT)]).toEqual([page.url(), []]);
      grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
    };
    await page.goto("/");
    await look();
    await page.goto("/nowhere");
    await look();
    await logIn(page, "x".repeat(65));
    await page.getByRole("alert").waitFor();
    await look();
    await logIn(page, "W".repeat(64));
    await page.getByRole("link", { name: "Log out" }).waitFor();
    await look();
    await page.goto("/login");
    await look();
    expect([...grounds]).toEqual([colorScheme === "dark" ? "rgb(20, 23, 22)" : "rgb(244, 242, 236)"]);
  });
});
