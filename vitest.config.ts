import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: "test/support/leftovers.ts",
    // One more than there are cores: many tests wait for a process, a socket or a server.
    maxWorkers: availableParallelism() + 1,
    // They end what hangs. No test takes as long, even where others keep the machine busy.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
