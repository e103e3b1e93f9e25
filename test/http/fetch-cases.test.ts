import { describe, expect, it } from "vitest";
import { fetchCases } from "../fixtures/fetch-cases.mjs";

// The same that test/integration/runtimes.test.ts has other runtimes do.
describe("the fetch adapter on this Node", () => {
  it.each(fetchCases)("$name", async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
