import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTime } from "./throwaway.ts";

/** Ends, after all tests, the servers of test files that were stopped before they could do so. */
export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-programs-"));
  const file = join(folder, "started");
  process.env["SOJOURN_TEST_PROGRAMS"] = file;
  return () => {
    for (const line of started(file)) {
      const [pid, began] = line.split(" ");
      if (began && startTime(Number(pid)) === began) end(Number(pid));
    }
    rmSync(folder, { recursive: true, force: true });
  };
}

function started(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").filter(Boolean);
  } catch {
    return []; // nothing was started
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
    console.error(`Ended a server that a test had left running (process ${pid})`);
  } catch {
    // It has just ended by itself.
  }
}
