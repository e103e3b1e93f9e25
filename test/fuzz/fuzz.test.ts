import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TARGETS } from "./targets.ts";

const CORPUS = join(import.meta.dirname, "corpus");
/** Always the same inputs, so that a failure is the change's; `npm run fuzz` takes others. */
const SEED = 20_261_126;

interface Kept {
  readonly target: string;
  readonly because: string;
  readonly input: unknown;
}

const corpus = readdirSync(CORPUS).flatMap((file) => JSON.parse(readFileSync(join(CORPUS, file), "utf8")) as Kept[]);

describe("hostile input", () => {
  it.each(TARGETS)("holds what $name promises", async (target) => {
    const { failure } = await target.random({ seed: SEED, numRuns: target.runs });
    expect(failure?.report).toBeUndefined();
  });

  it.each(corpus)("that was found before does no harm: $target, $because", async ({ target, input }) => {
    const found = TARGETS.find(({ name }) => name === target);
    expect(found, `no target is called ${target}`).toBeDefined();
    await found!.one(input);
  });
});
