import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { adapterContract, type AdapterContractOptions } from "sojourn/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { environmentFor, installPackages, nodeFor, runScript } from "../../scripts/examples.mjs";
import { canRun } from "../support/frameworks/example.ts";
import { describeExample } from "../support/frameworks/framework.ts";
import { casesOf } from "../support/runtimes.ts";

const FOLDER = fileURLToPath(new URL("nest", import.meta.url));
const SUITE_MS = 5 * 60_000;

describeExample("nest", { builds: true });

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
      ["gateways have the session, and lose their clients at its end", "gateways", 7],
      ["the applications of the guide do what it says", "guide", 3],
    ])("%s", (_, part, count) => {
      const cases = Array.from(outcome).filter(([name]) => name.startsWith(`${part}: `));
      expect(cases.filter(([, wrong]) => wrong !== null)).toEqual([]);
      expect(cases).toHaveLength(count);
    });
  });
});
