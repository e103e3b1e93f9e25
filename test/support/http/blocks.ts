import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { HUNG_MS } from "../throwaway.ts";

const run = promisify(execFile);

export const ROOT = join(import.meta.dirname, "../../..");

/** A block of code in a document, and how it says that it is to be run. */
export interface Block {
  readonly how: string;
  readonly code: string;
}

export const document = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** The pages of a folder and of the folders in it. */
export function pagesIn(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  const pages = names.map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
  return pages.filter((page) => page.endsWith(".md")).toSorted();
}

/** The blocks of several pages, each with its page and its number there. */
export function blocksOfPages(pages: readonly string[]): (Block & { readonly page: string; readonly i: number })[] {
  return pages.flatMap((page) => blocksOf(document(page)).map((block, i) => ({ ...block, page, i: i + 1 })));
}

export function blocksOf(text: string): Block[] {
  const found = text.matchAll(/(?:<!-- run: (.*?) -->\n)?(?<!<!-- file: \S+ -->\n)```ts\n(.*?)```/gs);
  return Array.from(found, ([, how = "", code = ""]) => ({ how, code }));
}

export interface PageFile {
  readonly name: string;
  readonly code: string;
}

const IN_REPOSITORY = /^(?:examples|test)\//;

function allFilesOf(text: string): PageFile[] {
  const found = text.matchAll(/<!-- file: (\S+) -->\n```\w+\n(.*?)```/gs);
  return Array.from(found, ([, name = "", code = ""]) => ({ name, code }));
}

/** The files that a page shows one by one, and that exist on it alone. */
export function filesOf(text: string): PageFile[] {
  return allFilesOf(text).filter(({ name }) => !IN_REPOSITORY.test(name));
}

/** The files of the repository that a page shows, as a whole or in part. Their own tests compile and run them. */
export function quotesOf(text: string): PageFile[] {
  return allFilesOf(text).filter(({ name }) => IN_REPOSITORY.test(name));
}

/** A place to try blocks of code in. */
export interface Workshop {
  readonly env: NodeJS.ProcessEnv;
  file(name: string, code: string): string;
  /** What the compiler has against them; empty where they are right. */
  typeErrors(programs: readonly string[], files?: readonly string[]): Promise<string>;
  /** Runs a program, which must end well and complain of nothing. */
  run(program: string, env?: NodeJS.ProcessEnv): Promise<{ stdout: string; stderr: string }>;
  clear(): void;
}

export function workshop(): Workshop {
  // Inside the package, so that `sojourn` is the package itself.
  const folder = mkdtempSync(join(ROOT, "test/docs/.blocks-"));
  const scratch = mkdtempSync(join(tmpdir(), "sojourn-blocks-"));
  const SECRET_KEY = "SGVyZSdzIGEga2V5IGZvciB0aGUgUkVBRE1FJ3MgdGVzdHM";
  const env = { ...process.env, SECRET_KEY, TMPDIR: scratch, PORT: "0" };
  let programs = 0;

  function file(name: string, code: string): string {
    const path = join(folder, name);
    writeFileSync(path, code);
    return path;
  }

  return {
    env,
    file,

    async typeErrors(given, files = []) {
      given.forEach((program, i) => file(`types-${i}.ts`, `${program}\nexport {};\n`));
      file(
        "tsconfig.json",
        JSON.stringify({
          extends: join(ROOT, "tsconfig.json"),
          compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, jsx: "react-jsx" },
          include: ["types-*.ts", ...files],
          exclude: [],
        }),
      );
      const tsc = [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", folder];
      return (await run(process.execPath, tsc).catch((error: { stdout: string }) => error)).stdout;
    },

    run(program, more = {}) {
      const path = file(`program-${(programs += 1)}.ts`, program);
      const tsx = join(ROOT, "node_modules/tsx/dist/loader.mjs");
      return run(process.execPath, ["--import", tsx, path], {
        cwd: scratch,
        env: { ...env, ...more },
        timeout: HUNG_MS,
      });
    },

    clear() {
      for (const path of [folder, scratch]) rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Runs a page's server on a port that the system chooses, and returns where it is. */
export async function serveBlock({ env, file }: Workshop, name: string, code: string) {
  // The port has to be told to us; nothing else is added.
  const told = code.replace(
    /app\.listen\(.*\);/,
    'const server = $& server.once("listening", () => process.send!(server.address()));',
  );
  if (told === code) throw new Error(`the server of ${name} listens in another way than this helper knows`);
  const path = file(name, told);
  const server = spawn(process.execPath, ["--import", "tsx", path], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const address = await new Promise<{ port: number }>((resolve, reject) => {
    server.once("message", (message) => resolve(message as { port: number }));
    server.once("exit", (status) => reject(new Error(`the server ended with ${status}`)));
  });
  return { base: `http://127.0.0.1:${address.port}`, close: () => void server.kill() };
}

/** Runs a block to its end: a script closes what it has opened, an application would keep it open for as long as it runs. */
export function runBlock(place: Workshop, code: string, env?: NodeJS.ProcessEnv) {
  const end = /^await \w+\.close\(\);$/m.test(code) ? "" : "process.exit();\n";
  return place.run(`${code}\n${end}`, env);
}
