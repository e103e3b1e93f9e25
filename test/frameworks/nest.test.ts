import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adapterContract, type AdapterContractOptions } from "sojourn/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { environmentFor, installPackages, nodeFor, runScript } from "../../scripts/examples.mjs";
import { expectLoginFlow, hasBrowser } from "../support/frameworks/browser.ts";
import { canRun } from "../support/frameworks/example.ts";
import { describeExample } from "../support/frameworks/framework.ts";
import { casesOf } from "../support/runtimes.ts";
import { freePort, startProgram } from "../support/throwaway.ts";

const FOLDER = fileURLToPath(new URL("nest", import.meta.url));
const SUITE_MS = 5 * 60_000;

describeExample("nest", { builds: true }, (framework) => {
  it("answers an empty name with a readable page, on Express", async () => {
    expect(await answerToNoName(framework.url)).toEqual(READABLE);
  });

  it("logs in and out on Fastify too", async () => {
    const { folder, node } = framework.example;
    const url = `http://127.0.0.1:${await freePort()}`;
    const directory = mkdtempSync(join(tmpdir(), "sojourn-nest-"));
    const server = await startProgram({
      name: "the example on Fastify",
      command: node,
      args: ["dist/main-fastify.js"],
      cwd: folder,
      env: {
        ...environmentFor(node),
        SECRET_KEY: randomBytes(32).toString("base64url"),
        SESSION_DIR: directory,
        PORT: new URL(url).port,
      },
      ready: async () => (await fetch(url)).ok,
    });
    try {
      expect(await answerToNoName(url)).toEqual(READABLE);
      if (hasBrowser) await expectLoginFlow(framework.browser, url);
    } finally {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

const READABLE = {
  status: 400,
  type: "text/html; charset=utf-8",
  body: expect.stringContaining("<h1>Please enter a username of at most 64 characters.</h1>") as unknown,
};

async function answerToNoName(url: string) {
  const response = await fetch(`${url}/login`, { method: "POST", body: new URLSearchParams({ username: " " }) });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
}

/** It has packages of its own: the example needs neither passport nor gateways. */
function prepareSuite(): string {
  installPackages(FOLDER);
  const node = nodeFor("nest")!;
  runScript("nest", "build", node, { cwd: FOLDER });
  return node;
}

const options = JSON.parse(readFileSync(`${FOLDER}/options.json`, "utf8")) as AdapterContractOptions;
const rules = adapterContract(() => Promise.reject(new Error("only the names are asked for")), options);

describe.skipIf(!canRun("nest"))("the module for NestJS", () => {
  let node: string;
  beforeAll(() => {
    node = prepareSuite();
  });

  describe.each(["express", "fastify"])("on %s", (platform) => {
    let outcome: Map<string, string | null>;
    beforeAll(async () => {
      outcome = await casesOf(node, ["--no-warnings", "dist/run.js", platform], {
        cwd: FOLDER,
        env: environmentFor(node),
        timeout: SUITE_MS,
      });
    });

    it.each(rules)("$name", ({ name }) => {
      expect(outcome.get(`contract: ${name}`)).toBeNull();
    });

    it.each([
      ["guards, interceptors, pipes, middleware, factories and errors have the session", "requests", 13],
      ["@nestjs/passport signs in and out", "passport", 1],
      ["gateways have the session, and lose their clients at its end", "gateways", 8],
      ["the applications of the guide do what it says", "guide", 3],
    ])("%s", (_, part, count) => {
      const cases = Array.from(outcome).filter(([name]) => name.startsWith(`${part}: `));
      expect(cases.filter(([, wrong]) => wrong !== null)).toEqual([]);
      expect(cases).toHaveLength(count);
    });
  });
});
