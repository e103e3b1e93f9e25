import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { environmentFor, folderOf, installExample, nodeFor, runScript } from "../../../scripts/examples.mjs";
import { npm } from "../../../scripts/setup.mjs";
import { casesOf } from "../runtimes.ts";
import { freePort, startProgram, type Program } from "../throwaway.ts";

/** The limit for all cases of a suite together. */
const SUITE_MS = 10 * 60_000;

/** An installed example, whose framework a test uses. */
export interface Example {
  readonly folder: string;
  /** The path of the Node that it runs on. */
  readonly node: string;
  /** Runs a script of its package.json, such as `build`, and throws with its output if it fails. */
  run(script: string): void;
  /** Starts it by `npm start`, on a free port, with its own secret key and session directory. */
  start(env?: NodeJS.ProcessEnv): Promise<Program & { readonly url: string }>;
  /**
   * Makes a folder with the example's packages and the files of `test/frameworks/<name>/`, by default of its own name. A
   * package.json there replaces that of the example.
   */
  suite(name?: string): Suite;
}

export interface Suite {
  readonly folder: string;
  run(script: string): void;
  /** Runs `run.mjs` of the folder, which prints a line of JSON for each case: its name, and what was wrong or `null`. */
  cases(words?: readonly string[]): Promise<Map<string, string | null>>;
}

/** Whether the example can be run here. Its tests are skipped otherwise, but not with `CI=true`. */
export const canRun = (name: string): boolean => Boolean(process.env["CI"]) || nodeFor(name) !== undefined;

/** Installs an example. Its folders are removed by `close`. */
export function prepareExample(name: string): Example & { close(): void } {
  const node = nodeFor(name);
  if (node === undefined) throw new Error(`The example ${name} needs a newer Node than ${process.version}`);
  installExample(name);
  const made: string[] = [];
  const folder = folderOf(name);
  return {
    folder,
    node,
    run: (script) => runScript(name, script, node),
    async start(env = {}) {
      const sessions = mkdtempSync(join(tmpdir(), "sojourn-example-"));
      made.push(sessions);
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const [command = "npm", ...args] = npm("start");
      const program = await startProgram({
        name: `the example ${name}`,
        command: command === process.execPath ? node : command,
        args,
        cwd: folder,
        env: {
          ...environmentFor(node),
          SECRET_KEY: randomBytes(32).toString("base64url"),
          SESSION_DIR: sessions,
          PORT: String(port),
          ...env,
        },
        ready: async () => (await fetch(url)).ok,
      });
      return Object.assign(program, { url });
    },
    suite(part = name) {
      const place = mkdtempSync(join(tmpdir(), `sojourn-${part}-`));
      made.push(place);
      for (const file of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(folder, file), join(place, file));
      copyPackages(join(folder, "node_modules"), join(place, "node_modules"));
      cpSync(fileURLToPath(new URL(`../../frameworks/${part}`, import.meta.url)), place, { recursive: true });
      for (const shared of ["own-cases.mjs", "pages.mjs"]) {
        cpSync(fileURLToPath(new URL(shared, import.meta.url)), join(place, shared));
      }
      return {
        folder: place,
        run: (script) => runScript(name, script, node, { cwd: place }),
        cases: (words = []) =>
          casesOf(node, ["run.mjs", ...words], { cwd: place, env: environmentFor(node), timeout: SUITE_MS }),
      };
    },
    close() {
      for (const one of made) rmSync(one, { recursive: true, force: true });
    },
  };
}

/** Copies node_modules. Hard links take neither time nor room. */
function copyPackages(from: string, to: string): void {
  if (spawnSync("cp", ["-al", from, to]).status === 0) return;
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}
