import { chromium, type Browser } from "playwright-core";
import { createSessions } from "sojourn";
import { cookieStore } from "sojourn/cookie";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { originOf, SECRET_KEY, ways } from "../support/http/servers.ts";
import { createStage } from "../support/http/stage.ts";

const { CHROMIUM_PATH, CI } = process.env;
const SIX_KB = "x".repeat(6000);

describe.skipIf(!CHROMIUM_PATH && !CI)("A session in the cookies of a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    if (!CHROMIUM_PATH) throw new Error("CHROMIUM_PATH must name a Chromium");
    browser = await chromium.launch({ executablePath: CHROMIUM_PATH, args: ["--no-sandbox", "--disable-gpu"] });
  });
  afterAll(() => browser.close());

  async function open(maxBytes = 8192) {
    const sessions = createSessions({ secretKey: SECRET_KEY, store: cookieStore({ maxBytes }) });
    const stage = createStage();
    const serving = { sessions, stage, lazy: false, personal: false, trustProxy: false };
    const way = ways.find(({ name }) => name === "node:http")!;
    const origin = originOf(await way.start(serving)).replace("127.0.0.1", "localhost");
    const context = await browser.newContext({ baseURL: origin });
    const page = await context.newPage();
    const names = async () => (await context.cookies()).map(({ name }) => name).toSorted();
    const visit = async (path: string) => {
      const response = await page.goto(path);
      return { status: response!.status(), body: await response!.text() };
    };
    return { visit, names, context };
  }

  it("is kept with 6 KB, replaced by a smaller one, refused with 12 KB, and cleared at the sign-out", async () => {
    const { visit, names, context } = await open();
    await visit("/login?username=ada");
    expect(await names()).toEqual(["session"]);
    await visit(`/add?k=big&v=${SIX_KB}`);
    expect(await names()).toEqual(["session", "session.1", "session.2"]);
    expect((await visit("/data")).body).toContain(SIX_KB);
    expect((await visit("/")).body).toBe("signed in as ada");

    expect((await visit(`/add?k=more&v=${SIX_KB}`)).status).toBe(413);
    expect((await visit("/data")).body).not.toContain('"more"');

    await visit("/add?k=big&v=small");
    expect(await names()).toEqual(["session"]);
    expect((await visit("/data")).body).toContain("small");

    await visit(`/add?k=big&v=${SIX_KB}`);
    expect((await visit("/logout")).body).toBe("anonymous");
    expect(await names()).toEqual([]);
    await context.close();
  });

  it("is anonymous without one of its cookies, and begins anew as a whole", async () => {
    const { visit, names, context } = await open();
    await visit("/login?username=ada");
    await visit(`/add?k=big&v=${SIX_KB}`);
    await context.clearCookies({ name: "session.1" });
    expect((await visit("/")).body).toBe("anonymous");
    await visit("/login?username=ada");
    expect(await names()).toEqual(["session"]);
    expect((await visit("/")).body).toBe("signed in as ada");
    expect((await visit("/data")).body).not.toContain(SIX_KB);
    await context.close();
  });

  it("keeps the largest session that can be configured: the browser sends all of it, and Node accepts its headers", async () => {
    const { visit, names, context } = await open(10_240);
    const large = "x".repeat(10_100);
    await visit(`/add?k=big&v=${large}`);
    expect(await names()).toHaveLength(4);
    expect(await visit("/data")).toMatchObject({ status: 200, body: expect.stringContaining(large) });
    expect((await visit("/logout")).body).toBe("anonymous");
    expect(await names()).toEqual([]);
    await context.close();
  });
});
