import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { adapterContract, type AdapterContractOptions } from "sojourn/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectLoginFlow, hasBrowser, openBrowser } from "./browser.ts";
import { canRun, prepareExample, type Example, type Suite } from "./example.ts";

/** What tests of a framework use. The properties are there once `beforeAll` is over. */
export interface Framework {
  readonly example: Example;
  /** The running example. */
  readonly url: string;
  readonly browser: Browser;
}

interface FrameworkOptions {
  /** Whether the example's package.json has a script `build`. Default `false`. */
  readonly builds?: boolean;
}

/**
 * Starts an example once, and tests what each of them has to do: the login flow of the seed in Chromium, with and without
 * JavaScript, refused forms, and no errors of types. `more` adds tests of the framework's own.
 */
export function describeExample(
  name: string,
  { builds = false }: FrameworkOptions = {},
  more?: (framework: Framework) => void,
): void {
  describe.skipIf(!canRun(name))(`the example ${name}`, () => {
    const endings: (() => unknown)[] = [];
    const framework = {} as { -readonly [Key in keyof Framework]: Framework[Key] };
    beforeAll(async () => {
      const example = prepareExample(name);
      endings.unshift(() => example.close());
      if (builds) example.run("build");
      const server = await example.start();
      endings.unshift(() => server.stop());
      Object.assign(framework, { example, url: server.url });
      if (!hasBrowser) return;
      framework.browser = await openBrowser();
      endings.unshift(() => framework.browser.close());
    });
    afterAll(async () => {
      for (const end of endings) await end();
    });

    it("has no errors of types", () => {
      expect(() => framework.example.run("types")).not.toThrow();
    });

    it("refuses to start without a secret key, and says how to make one", async () => {
      await expect(framework.example.start({ SECRET_KEY: "" })).rejects.toThrow(/sojourn keygen/);
    });

    it("has no error for a name that is too long", async () => {
      const body = new URLSearchParams({ username: "a".repeat(600) });
      const { status } = await fetch(`${framework.url}/login`, { method: "POST", body, redirect: "manual" });
      expect(status).toBeLessThan(500);
    });

    it("answers a visitor without a cookie, and tells shared caches not to keep the page", async () => {
      const { status, headers } = await fetch(framework.url);
      expect(status).toBe(200);
      expect(headers.getSetCookie()).toEqual([]);
      expect(`${headers.get("cache-control")}, vary: ${headers.get("vary")}`).toMatch(
        /private|no-store|vary: .*cookie/i,
      );
    });

    it("lets no link of another site log anybody out", async () => {
      const { status, headers } = await fetch(`${framework.url}/logout`, {
        redirect: "manual",
        headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" },
      });
      expect(status).toBe(403);
      expect(headers.getSetCookie()).toEqual([]);
    });

    it.skipIf(!hasBrowser).each([true, false])("logs in and out in Chromium (JavaScript: %s)", (javaScriptEnabled) =>
      expectLoginFlow(framework.browser, framework.url, { javaScriptEnabled }),
    );

    more?.(framework);
  });
}

/**
 * Runs the contract of adapters in the framework's own server: `run.mjs` of `test/frameworks/<name>/`, in a folder with the
 * packages of the example. `options.json` there has the options of the contract, which `run.mjs` reads too. `more` has the
 * names of the cases that `run.mjs` adds to those of the contract.
 */
export function describeSuite(
  name: string,
  {
    example: of = name,
    builds = false,
    more = [],
  }: { example?: string; builds?: boolean; more?: readonly string[] } = {},
): void {
  const file = new URL(`../../frameworks/${name}/options.json`, import.meta.url);
  const options = JSON.parse(readFileSync(file, "utf8")) as AdapterContractOptions;
  const names = adapterContract(neverStarted, options).map((one) => one.name);

  describe.skipIf(!canRun(of))(`the adapter for ${name}, in its own server`, () => {
    let suite: Suite;
    let example: ReturnType<typeof prepareExample>;
    let outcome: Map<string, string | null>;
    beforeAll(async () => {
      example = prepareExample(of);
      suite = example.suite(name);
      if (builds) suite.run("build");
      outcome = await suite.cases();
    });
    afterAll(() => example?.close());

    it.skipIf(!builds)("has no errors of types", () => {
      expect(() => suite.run("types")).not.toThrow();
    });

    it.each([...names, ...more])("%s", (one) => {
      expect(outcome.get(one), `the outcome, of ${outcome.size} in ${join(suite.folder, "run.mjs")}`).toBeNull();
    });
  });
}

function neverStarted(): never {
  throw new Error("only the names of the cases are asked for");
}
