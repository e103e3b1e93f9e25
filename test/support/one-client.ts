import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { HUNG_MS } from "./throwaway.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Runs a program that can import `./dist` and at most one client's package. Returns what it prints. */
export async function withOnly(client: string | undefined, program: string, ...args: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-one-client-"));
  try {
    cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    if (client !== undefined) {
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(join(ROOT, "node_modules", client), join(folder, "node_modules", client), "junction");
    }
    const nodeArgs = ["--input-type=module", "-e", program, "program", ...args];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, nodeArgs, {
      cwd: folder,
      timeout: HUNG_MS,
    });
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
