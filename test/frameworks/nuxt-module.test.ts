import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Browser } from "playwright-core";
import { hasBrowser, openBrowser, openPage } from "../support/frameworks/browser.ts";
import { canRun, prepareExample } from "../support/frameworks/example.ts";
import { freePort, startProgram } from "../support/throwaway.ts";

/** An application of Nuxt with the module, which the tests ask. */
const server = { url: "" };

interface Asking {
  readonly json?: unknown;
  readonly headers?: Record<string, string>;
}

/** A client that keeps the session's cookie. */
class Visitor {
  cookie = "";

  async ask(path: string, { json, headers }: Asking = {}) {
    const post = { method: "POST", body: JSON.stringify(json) };
    const response = await fetch(server.url + path, {
      headers: { ...(this.cookie && { cookie: this.cookie }), "content-type": "application/json", ...headers },
      ...(json === undefined ? {} : post),
    });
    const cookies = response.headers.getSetCookie();
    if (cookies[0] !== undefined) this.cookie = cookies[0].split(";")[0]!;
    const body = await response.text();
    const caching = response.headers.get("cache-control");
    return { status: response.status, body, cookies: cookies.length, caching, text: /<p>(.*?)<\/p>/.exec(body)?.[1] };
  }
}

const ADA = { user: { id: 7, name: "Ada", roles: ["reader"] }, secure: { token: "hidden" } };
const HTML = { headers: { accept: "text/html" } };

async function ada(): Promise<Visitor> {
  const visitor = new Visitor();
  await visitor.ask("/api/login", { json: ADA });
  return visitor;
}

describe.skipIf(!canRun("nuxt"))("the module for Nuxt", () => {
  const endings: (() => unknown)[] = [];
  let browser: Browser;
  beforeAll(async () => {
    const example = prepareExample("nuxt");
    endings.unshift(() => example.close());
    const application = example.suite("nuxt-module");
    application.run("build");
    application.run("types");
    const port = await freePort();
    server.url = `http://127.0.0.1:${port}`;
    const program = await startProgram({
      name: "the application of Nuxt",
      command: example.node,
      args: ["start.mjs"],
      cwd: application.folder,
      env: { ...process.env, PORT: String(port), NODE_OPTIONS: "" },
      ready: async () => (await fetch(server.url)).ok,
    });
    endings.unshift(() => program.stop());
    if (!hasBrowser) return;
    browser = await openBrowser();
    endings.unshift(() => browser.close());
  });
  afterAll(async () => {
    for (const end of endings) await end();
  });

  describe("the functions on the server", () => {
    it("sign in the user whose id is among the data, with a new token", async () => {
      const visitor = new Visitor();
      await visitor.ask("/api/visit");
      const before = visitor.cookie;
      const { body, cookies } = await visitor.ask("/api/login", { json: ADA });
      expect([JSON.parse(body), cookies]).toEqual([{ user: ADA.user, signedIn: "7" }, 1]);
      expect(visitor.cookie).not.toBe(before);
      expect((await visitor.ask("/api/visit")).body).toBe("2");
    });

    it("merge objects key by key, and replace lists", async () => {
      const visitor = await ada();
      const { body, cookies } = await visitor.ask("/api/login", { json: { user: { id: 7, roles: ["writer"] } } });
      expect(JSON.parse(body).user).toEqual({ id: 7, name: "Ada", roles: ["writer"] });
      expect(cookies).toBe(0);
    });

    it("take nothing of the former user over to another", async () => {
      const visitor = await ada();
      const { body } = await visitor.ask("/api/login", { json: { user: { id: 8 } } });
      expect(JSON.parse(body)).toEqual({ user: { id: 8 }, signedIn: "8" });
      expect((await visitor.ask("/api/_auth/session")).body).not.toContain("Ada");
    });

    it("replace all data", async () => {
      const visitor = await ada();
      const { body } = await visitor.ask("/api/replace", { json: { visits: 5 } });
      expect(JSON.parse(body)).toEqual({ visits: 5, id: expect.any(String) });
    });

    it("refuse a user without an id", async () => {
      expect((await new Visitor().ask("/api/login", { json: { user: { name: "Ada" } } })).status).toBe(500);
    });

    it("answer a visitor with 401 where a user is required, and a user with the data", async () => {
      expect((await new Visitor().ask("/api/account")).status).toBe(401);
      const visitor = await ada();
      expect(JSON.parse((await visitor.ask("/api/account")).body)).toEqual(ADA.user);
      await visitor.ask("/api/logout", { json: {} });
      expect((await visitor.ask("/api/account")).status).toBe(401);
    });

    it("answer 503, without a cookie, where the store fails", async () => {
      await new Visitor().ask("/api/failing", { json: true });
      try {
        expect(await new Visitor().ask("/api/visit")).toMatchObject({ status: 503, cookies: 0, caching: "no-store" });
      } finally {
        await new Visitor().ask("/api/failing", { json: false });
      }
    });
  });

  describe("a page that asks its own server", () => {
    it("shares its session with both requests, and sends the client one cookie", async () => {
      const visitor = new Visitor();
      expect(await visitor.ask("/fetching")).toMatchObject({ text: "visits: 1 2", cookies: 1, caching: "no-store" });
      expect(await visitor.ask("/fetching")).toMatchObject({ text: "visits: 3 4", cookies: 0, caching: "private" });
    });

    it("sends one cookie with the page of an error", async () => {
      const visitor = new Visitor();
      expect(await visitor.ask("/broken", HTML)).toMatchObject({ status: 418, cookies: 1, caching: "no-store" });
      expect((await visitor.ask("/api/visit")).body).toBe("2");
    });

    it("is not refused as a form of another site, where a link there led to it", async () => {
      expect(await new Visitor().ask("/api/post", { headers: { "sec-fetch-site": "cross-site" } })).toMatchObject({
        status: 200,
        body: "1",
        cookies: 1,
      });
    });

    it("gets the cookie of a request whose cookie it gives by hand, and the change is stored", async () => {
      const visitor = new Visitor();
      expect(JSON.parse((await visitor.ask("/api/raw")).body)).toEqual({ visits: 1, cookies: 1 });
      await visitor.ask("/api/visit");
      expect(JSON.parse((await visitor.ask("/api/raw")).body)).toEqual({ visits: 2, cookies: 0 });
      expect((await visitor.ask("/api/visit")).body).toBe("3");
    });
  });

  describe("useUserSession", () => {
    it("shows the data to the browser, without the key secure, and marks the page as private", async () => {
      const visitor = await ada();
      const page = await visitor.ask("/");
      expect(page).toMatchObject({ text: "Hello Ada", caching: "private" });
      const session = await visitor.ask("/api/_auth/session");
      expect(JSON.parse(session.body)).toEqual({ id: expect.any(String), userId: "7", user: ADA.user });
      expect(page.body + session.body).not.toContain("hidden");
      expect((await new Visitor().ask("/api/_auth/session")).body).toBe("{}");
    });

    it("shows nobody on pages that are prerendered, or that Nitro keeps for all", async () => {
      const visitor = await ada();
      for (const path of ["/prerendered", "/cached", "/cached", "/isr"]) {
        expect(await visitor.ask(path)).toMatchObject({ text: "Hello", cookies: 0 });
      }
    });

    it.skipIf(!hasBrowser).each(["/prerendered", "/cached", "/isr", "/"])(
      "shows the user in Chromium on %s",
      async (path) => {
        const { page, context, complaints } = await openPage(browser, server.url);
        const [name = "", value = ""] = (await ada()).cookie.split(/=(.*)/s);
        await context.addCookies([{ name, value, url: server.url }]);
        await page.goto(path);
        await page.getByText("Hello Ada").waitFor();
        expect(complaints).toEqual([]);
        await context.close();
      },
    );
  });

  it("throws where a route whose response Nitro keeps for everybody uses a session", async () => {
    expect((await (await ada()).ask("/api/kept")).status).toBe(500);
    expect((await new Visitor().ask("/api/kept")).status).toBe(500);
  });
});
