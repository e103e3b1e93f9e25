import { beforeAll, describe, expect, it } from "vitest";
import { DIFFERENCES, runSuite } from "../../scripts/express-session-suite.mjs";

/** A checkout of express-session with its tests. Without it, one is fetched from GitHub. */
const CHECKOUT = process.env["EXPRESS_SESSION_CHECKOUT"];

let results: ReturnType<typeof runSuite> | undefined;
beforeAll(() => {
  try {
    results = runSuite(CHECKOUT);
  } catch (error) {
    if (CHECKOUT) throw error;
    console.log(`express-session's tests are skipped, because they can't be fetched: ${(error as Error).message}`);
  }
});

describe("express-session's own tests, run against sojourn/express-session,", () => {
  it("fail only where the difference is deliberate, and each of those does fail", ({ skip }) => {
    if (!results) return skip();
    const { passed, failed } = results;
    expect(new Set(failed)).toEqual(new Set(Object.keys(DIFFERENCES)));
    expect([passed.length + failed.length, passed.filter((title) => Object.hasOwn(DIFFERENCES, title))]).toEqual([
      160,
      [],
    ]);
  });
});
