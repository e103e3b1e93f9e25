import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { HUNG_MS } from "./throwaway.ts";

/** Requires every entry of the package in a runtime of its own, which says what each exports. */
export function requireEntries(command: string): Promise<{ stdout: string; stderr: string }> {
  const program = fileURLToPath(new URL("../fixtures/require-entries.cjs", import.meta.url));
  // Warnings count: a flag in the environment must not hide them.
  const env = { ...process.env, NODE_OPTIONS: "", NODE_NO_WARNINGS: "" };
  return promisify(execFile)(command, [program], { timeout: HUNG_MS, env });
}
