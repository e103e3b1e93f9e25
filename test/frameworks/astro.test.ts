import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { hasBrowser, openPage } from "../support/frameworks/browser.ts";
import { describeExample, describeSuite } from "../support/frameworks/framework.ts";
import { buildWith, describePages } from "../support/frameworks/pages.ts";
import { cases } from "./astro-pages/cases.mjs";

describeExample("astro", { builds: true }, (framework) => {
  it("sends nothing of the server to the browser", () => {
    const folder = join(framework.example.folder, "dist/client");
    const files = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
    const found = files.filter((name) =>
      /sojourn|ERR_SESSION|node:crypto/.test(readFileSync(join(folder, name), "utf8")),
    );
    expect(found).toEqual([]);
  });

  it.skipIf(!hasBrowser)("shows what is wrong with a name", async () => {
    const { page, context } = await openPage(framework.browser, framework.url);
    await page.goto("/login");
    await page.locator("input[name=username]").fill(" ");
    await page.locator("button").click();
    expect(await page.getByRole("alert").textContent()).toBe("Please enter a username of at most 64 characters.");
    await context.close();
  });
});

describeSuite("astro", { builds: true });

describePages("astro-pages", "astro", cases, (suite) => {
  it("fail to build where one is prerendered and uses the session, with the remedy", () => {
    expect(buildWith(suite(), "prerendered.txt", "src/pages/prerendered.astro")).toContain(
      '/prerendered is prerendered, and uses the session: everybody would get the same page. Write export const prerender = false in it, or output: "server" in astro.config',
    );
  });
});
