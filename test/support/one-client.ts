import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { HUNG_MS } from "./throwaway.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Runs a program that can import `./dist` and at most one client's package. Returns what it prints. */
export function withOnly(client: string | undefined, program: string, ...args: string[]): Promise<string> {
  return runProgram(program, args, (modulesFolder) => {
    if (client !== undefined) symlinkSync(join(ROOT, "node_modules", client), join(modulesFolder, client), "junction");
  });
}

/** The same, with an empty package of that version instead of the client's. */
export function withOld(client: string, version: string, program: string, ...args: string[]): Promise<string> {
  return runProgram(program, args, (modulesFolder) => {
    const packageFolder = join(modulesFolder, client);
    mkdirSync(packageFolder);
    // Like the exports of postgres.js, without package.json.
    const exports = { ".": "./index.cjs", "./promise": "./index.cjs" };
    writeFileSync(join(packageFolder, "package.json"), JSON.stringify({ name: client, version, exports }));
    writeFileSync(join(packageFolder, "index.cjs"), "");
  });
}

async function runProgram(program: string, args: string[], install: (modulesFolder: string) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "sojourn-one-client-"));
  try {
    cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    const modulesFolder = join(folder, "node_modules");
    mkdirSync(modulesFolder);
    install(modulesFolder);
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
