import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Counts the tests for the closing line that scripts/test.mjs prints. A file that fails outside of any test (it can't
 * be loaded, a hook throws) and an unhandled error count as one failed test each, so that `0 failed` means all is well.
 */
// oxlint-disable-next-line import/no-default-export -- vitest loads a reporter by its default export
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const file = process.env.SOJOURN_TEST_COUNTS;
    if (!file) return;
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      const states = [...module.children.allTests()].map((test) => test.result().state);
      const failed = states.filter((state) => state === "failed").length;
      counts.passed += states.filter((state) => state === "passed").length;
      counts.skipped += states.filter((state) => state === "skipped").length;
      counts.failed += failed === 0 && module.state() === "failed" ? 1 : failed;
    }
    writeFileSync(file, JSON.stringify(counts));
  }
}
