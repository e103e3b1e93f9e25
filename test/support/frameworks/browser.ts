import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { HUNG_MS } from "../throwaway.ts";

const { CHROMIUM_PATH } = process.env;
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

/** Whether there is a browser. Tests with one are skipped otherwise, but not with `CI=true`. */
export const hasBrowser = Boolean(CHROMIUM_PATH ?? process.env["CI"]);

/** Starts a browser. */
export async function openBrowser(): Promise<Browser> {
  if (!CHROMIUM_PATH) throw new Error("CHROMIUM_PATH must name a Chromium");
  return chromium.launch({ executablePath: CHROMIUM_PATH, args: ARGUMENTS });
}

/** Opens a page of a visitor of its own, who has no cookies yet. */
export async function openPage(
  browser: Browser,
  url: string,
  options: { javaScriptEnabled?: boolean } = {},
): Promise<{ page: Page; context: BrowserContext; complaints: string[] }> {
  const context = await browser.newContext({ baseURL: url, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(HUNG_MS);
  const complaints: string[] = [];
  // Browsers ask for it by themselves, and the examples have none.
  await context.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  return { page, context, complaints };
}

export const headingOf = (page: Page) => page.getByRole("heading", { level: 1 }).textContent();

/** Logs in by the form that each example has. */
export async function logIn(page: Page, username: string): Promise<void> {
  await page.goto("/login");
  await page.locator("input[name=username]").fill(username);
  await page.locator("button").first().click();
  await page.getByRole("link", { name: "Log out" }).waitFor();
}

/** The flow of every example: a visitor logs in by the link, is greeted by name, and logs out by the link. */
export async function expectLoginFlow(
  browser: Browser,
  url: string,
  options: { javaScriptEnabled?: boolean } = {},
): Promise<void> {
  const { page, context, complaints } = await openPage(browser, url, options);
  try {
    await page.goto("/");
    expect(await headingOf(page)).toBe("You are not logged in");
    expect(await context.cookies()).toEqual([]);

    await page.getByRole("link", { name: "Log in" }).click();
    await page.waitForURL("**/login");
    await page.locator("input[name=username]").fill("<b>admin");
    await page.locator("button").first().click();
    await page.getByRole("link", { name: "Log out" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/");
    expect(await headingOf(page)).toBe("The login username is: <b>admin");
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({ name: "session", httpOnly: true, sameSite: "Lax", path: "/" });

    await page.reload();
    expect(await headingOf(page)).toBe("The login username is: <b>admin");

    await page.getByRole("link", { name: "Log out" }).click();
    await page.getByRole("link", { name: "Log in" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/");
    expect(await headingOf(page)).toBe("You are not logged in");
    expect(await context.cookies()).toEqual([]);

    // The old cookie opens nothing any more.
    await context.addCookies([cookie!]);
    await page.goto("/");
    expect(await headingOf(page)).toBe("You are not logged in");
    expect(complaints).toEqual([]);
  } finally {
    await context.close();
  }
}
