import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: "test/support/leftovers.ts",
    // One more than there are cores: many tests wait for a process, a socket or a server.
    maxWorkers: availableParallelism() + 1,
    // Tests listen to the warnings that they are about; nobody reads those on the console.
    execArgv: ["--no-warnings"],
    // A case's name and a value that differs are shown whole.
    chaiConfig: { truncateThreshold: 0 },
    // They end what hangs. No test takes as long, even where others keep the machine busy.
    testTimeout: 180_000,
    hookTimeout: 400_000,
  },
});
