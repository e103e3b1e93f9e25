import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { hasBrowser, logIn, openPage } from "../support/frameworks/browser.ts";
import { describeExample } from "../support/frameworks/framework.ts";

describeExample("chat", {}, (framework) => {
  /** Two tabs of somebody who has logged in, both in the chat. */
  async function twoTabs(username: string, url = framework.url): Promise<[Page, Page, BrowserContext]> {
    const { page, context } = await openPage(framework.browser, url);
    onTestFinished(() => context.close());
    await logIn(page, username);
    const other = await context.newPage();
    await other.goto("/");
    for (const tab of [page, other]) await expectShown(tab, "You are in the chat.");
    return [page, other, context];
  }

  const expectShown = (page: Page, text: string) => page.getByText(text).waitFor();

  async function say(page: Page, text: string): Promise<void> {
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  }

  it.skipIf(!hasBrowser)("shows what one says in the tabs of all, as text", async () => {
    const [ada, second] = await twoTabs("ada");
    const [eve] = await twoTabs("<i>eve");
    await say(eve, "<b>hello</b>");
    for (const tab of [ada, second, eve]) await expectShown(tab, "<i>eve: <b>hello</b>");
  });

  it.skipIf(!hasBrowser)("closes the socket of the other tab at a log-out, and says so there", async () => {
    const [page, other] = await twoTabs("grace");
    const [witness] = await twoTabs("linus");
    await page.getByRole("link", { name: "Log out" }).click();
    await page.getByRole("link", { name: "Log in" }).waitFor();
    await expectShown(other, "You have been logged out.");
    expect(await other.getByLabel("Message").isVisible()).toBe(false);
    await say(witness, "is anybody there?");
    await expectShown(witness, "linus: is anybody there?");
    expect(await other.getByRole("listitem").allTextContents()).toEqual([]);
    // The tab may log in again, and is back in the chat.
    await logIn(other, "grace");
    await expectShown(other, "You are in the chat.");
  });

  it.skipIf(!hasBrowser)("closes the socket of one process at a log-out in another", async () => {
    const SESSION_DIR = mkdtempSync(join(tmpdir(), "sojourn-chat-"));
    onTestFinished(() => rmSync(SESSION_DIR, { recursive: true, force: true }));
    const SECRET_KEY = randomBytes(32).toString("base64url");
    const [here, there] = [await start(), await start()];
    const { page, context } = await openPage(framework.browser, here.url);
    onTestFinished(() => context.close());
    await logIn(page, "ada");
    await expectShown(page, "You are in the chat.");
    const other = await context.newPage();
    // The browser sends the same cookie to every port of a host.
    await other.goto(there.url);
    await other.getByRole("link", { name: "Log out" }).click();
    await expectShown(page, "You have been logged out.");

    async function start() {
      const server = await framework.example.start({ SECRET_KEY, SESSION_DIR });
      onTestFinished(() => server.stop());
      return server;
    }
  });

  it("refuses a visitor's socket, and that of a page of another site", async () => {
    const { status, data } = await handshake();
    expect([status, data]).toEqual([200, { code: "ERR_SESSION_SIGN_IN", status: 401 }]);
    expect((await handshake({ origin: "https://evil.example" })).data).toEqual({
      code: "ERR_SESSION_ORIGIN",
      status: 403,
    });
  });

  it("refuses a name that is empty, missing, too long or no text with 400", async () => {
    for (const body of ["username=+", "", `username=${"a".repeat(65)}`, "username=a&username=b"]) {
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      const response = await fetch(`${framework.url}/login`, { method: "POST", body, headers });
      expect([response.status, await response.text()]).toEqual([
        400,
        expect.stringContaining("Please enter a username"),
      ]);
    }
  });

  /** Joins the chat by polling, as socket.io's protocol has it. */
  async function handshake(headers: Record<string, string> = {}): Promise<{ status: number; data: unknown }> {
    const url = `${framework.url}/socket.io/?EIO=4&transport=polling`;
    const opened = (await (await fetch(url, { headers })).text()).slice(1);
    const { sid } = JSON.parse(opened) as { sid: string };
    await fetch(`${url}&sid=${sid}`, { method: "POST", body: "40", headers });
    const answer = await fetch(`${url}&sid=${sid}`, { headers });
    const { data } = JSON.parse((await answer.text()).slice(2)) as { data: unknown };
    return { status: answer.status, data };
  }
});
