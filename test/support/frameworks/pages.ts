import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canRun, prepareExample, type Suite } from "./example.ts";

/** The cases of `cases.mjs`: what each shows, and the function that checks it. */
type Cases = readonly (readonly [name: string, check: (site: unknown) => Promise<void>])[];

/**
 * Builds the application of `test/frameworks/<name>/`, which has pages in the ways of its framework, and reports the cases
 * that its `run.mjs` runs. `more` adds tests that build it again.
 */
export function describePages(name: string, of: string, cases: Cases, more: (suite: () => Suite) => void): void {
  describe.skipIf(!canRun(of))(`pages of ${of}`, () => {
    let suite: Suite;
    let example: ReturnType<typeof prepareExample>;
    let outcome: Map<string, string | null>;
    beforeAll(async () => {
      example = prepareExample(of);
      suite = example.suite(name);
      suite.run("build");
      outcome = await suite.cases();
    });
    afterAll(() => example?.close());

    it.each(cases.map(([one]) => one))("%s", (one) => expect(outcome.get(one)).toBeNull());

    it("compile with the types of the adapter", () => {
      expect(() => suite.run("types")).not.toThrow();
    });

    more(() => suite);
  });
}

/** Puts a page into the application that is not part of it, and says how the build ends. */
export function buildWith({ folder, run }: Suite, file: string, place: string): string {
  const from = join(folder, file);
  if (!existsSync(from)) throw new Error(`${from} is missing`);
  cpSync(from, join(folder, place));
  try {
    run("build");
    return "built";
  } catch (error) {
    return (error as Error).message;
  }
}
