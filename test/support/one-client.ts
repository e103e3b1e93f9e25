import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { HUNG_MS } from "./throwaway.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What a program prints that has the library as `./dist` and at most one client's package, and nothing else. */
export async function withOnly(client: string | undefined, program: string, ...args: string[]): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), "sojourn-one-client-"));
  try {
    cpSync(join(ROOT, "dist"), join(place, "dist"), { recursive: true });
    writeFileSync(join(place, "package.json"), JSON.stringify({ type: "module" }));
    if (client !== undefined) {
      mkdirSync(join(place, "node_modules"));
      symlinkSync(join(ROOT, "node_modules", client), join(place, "node_modules", client), "junction");
    }
    const words = ["--input-type=module", "-e", program, "program", ...args];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, words, {
      cwd: place,
      timeout: HUNG_MS,
    });
    return stdout + stderr;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
