import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { HUNG_MS } from "./throwaway.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What a program prints that has the library as `./dist` and at most one client's package, and nothing else. */
export function withOnly(client: string | undefined, program: string, ...args: string[]): Promise<string> {
  return printed(program, args, (modules) => {
    if (client !== undefined) symlinkSync(join(ROOT, "node_modules", client), join(modules, client), "junction");
  });
}

/** The same, where the client's package says that it is of that version, and has nothing in it. */
export function withOld(client: string, version: string, program: string, ...args: string[]): Promise<string> {
  return printed(program, args, (modules) => {
    const folder = join(modules, client);
    mkdirSync(folder);
    // As postgres.js has them: package.json is not among the exports.
    const exports = { ".": "./index.cjs", "./promise": "./index.cjs" };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: client, version, exports }));
    writeFileSync(join(folder, "index.cjs"), "");
  });
}

async function printed(program: string, args: string[], install: (modules: string) => void): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), "sojourn-one-client-"));
  try {
    cpSync(join(ROOT, "dist"), join(place, "dist"), { recursive: true });
    writeFileSync(join(place, "package.json"), JSON.stringify({ type: "module" }));
    const modules = join(place, "node_modules");
    mkdirSync(modules);
    install(modules);
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
