import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { hasBrowser, headingOf, logIn, openPage } from "../support/frameworks/browser.ts";
import { describeExample, describeSuite } from "../support/frameworks/framework.ts";
import { buildWith, describePages } from "../support/frameworks/pages.ts";
import { cases } from "./sveltekit-pages/cases.mjs";

describeExample("sveltekit", { builds: true }, (framework) => {
  it("sends nothing of the server to the browser", () => {
    const folder = join(framework.example.folder, "build/client");
    const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
    expect(scripts.length).toBeGreaterThan(5);
    const found = scripts.filter((name) =>
      /sojourn|createSessions|SECRET_KEY|node:crypto|ERR_SESSION/.test(readFileSync(join(folder, name), "utf8")),
    );
    expect(found).toEqual([]);
  });

  it.skipIf(!hasBrowser)("does not log out where the pointer rests on the link, which loads other pages", async () => {
    const { page, context } = await openPage(framework.browser, framework.url);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await logIn(page, "admin");
    await page.getByRole("link", { name: "Log out" }).hover();
    await page.getByRole("link", { name: "Log out" }).focus();
    await page.reload();
    expect(await headingOf(page)).toBe("The login username is: admin");
    expect(asked).not.toContain("/logout");
    await context.close();
  });

  it.skipIf(!hasBrowser)("shows what is wrong with a name, by a script and without", async () => {
    for (const javaScriptEnabled of [true, false]) {
      const { page, context } = await openPage(framework.browser, framework.url, { javaScriptEnabled });
      await page.goto("/login", { waitUntil: "networkidle" });
      await page.locator("input[name=username]").fill(" ");
      await page.locator("button").click();
      expect(await page.getByRole("alert").textContent()).toBe("Please enter a username of at most 64 characters.");
      await context.close();
    }
  });
});

describeSuite("sveltekit", { builds: true });

describePages("sveltekit-pages", "sveltekit", cases, (suite) => {
  it("fail to build where one is prerendered and uses the session, with the remedy", () => {
    expect(buildWith(suite(), "prerendered.txt", "src/routes/redirecting/+page.server.ts")).toContain(
      '/redirecting is prerendered, and uses the session: everybody would get the same page. Write export const prerender = false in it, or use the session only where building of "$app/env" is false',
    );
  });
});
