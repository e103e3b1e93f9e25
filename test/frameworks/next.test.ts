import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { adapterContract, type AdapterContractOptions } from "sojourn/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canRun, prepareExample } from "../support/frameworks/example.ts";
import { describeExample } from "../support/frameworks/framework.ts";

const FOLDER = new URL("next/", import.meta.url);

describeExample("next", { builds: true }, (framework) => {
  it("has nothing of the server in the scripts of its pages", () => {
    const folder = join(framework.example.folder, ".next/static");
    const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
    expect(scripts.length).toBeGreaterThan(3);
    const found = scripts.filter((name) =>
      /ERR_SESSION_|createSessions|secretKey|sojourn/.test(readFileSync(join(folder, name), "utf8")),
    );
    expect(found).toEqual([]);
  });
});

const options = JSON.parse(readFileSync(new URL("options.json", FOLDER), "utf8")) as AdapterContractOptions;
const rules = adapterContract(() => Promise.reject(new Error("only the names are asked for")), options);
const { pageCases } = (await import(new URL("page-cases.mjs", FOLDER).href)) as {
  pageCases(suite: object, server: { host: string }): { readonly name: string }[];
};

describe.skipIf(!canRun("next"))("the adapter for Next.js, in its production server", () => {
  let example: ReturnType<typeof prepareExample>;
  let outcome: Map<string, string | null>;
  beforeAll(async () => {
    example = prepareExample("next");
    const suite = example.suite();
    suite.run("build");
    outcome = await suite.cases();
  });
  afterAll(() => example?.close());

  it.each(rules)("$name", ({ name }) => {
    expect(outcome.get(name)).toBeNull();
  });

  it.each(pageCases({}, { host: "" }))("$name", ({ name }) => {
    expect(outcome.get(name)).toBeNull();
  });
});
