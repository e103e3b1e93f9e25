import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ROOT } from "../../scripts/setup.mjs";

/** Windows has no signals that npm can pass on. */
it.skipIf(process.platform === "win32")("npm start ends its server when npm is told to end", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sojourn-start-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const npm = spawn("npm", ["start", "--prefix", ROOT], {
    cwd: directory,
    env: { ...process.env, PORT: "0", SESSION_DIR: directory, SECRET_KEY: "nW3kz-8QfV1pLrT6yB0dHsXc5uJgEa2m" },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  onTestFinished(() => {
    try {
      process.kill(-npm.pid!, "SIGKILL");
    } catch {
      // The whole group has ended, as it should.
    }
  });

  // The pipe is the server's too: it ends when the last process that can write to it has ended.
  let output = "";
  for await (const chunk of npm.stdout.setEncoding("utf8")) {
    output += chunk;
    if (output.includes("Sessions are stored in")) npm.kill("SIGTERM");
  }
  expect(output).toContain("http://localhost:");
});
