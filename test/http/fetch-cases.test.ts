import { describe, expect, it } from "vitest";
import { fetchCases } from "../fixtures/fetch-cases.mjs";

// test/integration/runtimes.test.ts runs the same cases on other runtimes.
describe("the fetch adapter on this Node", () => {
  it.each(fetchCases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
