import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type BetterSqlite3 from "better-sqlite3";
import { until } from "./throwaway.ts";

/** The folder of the better-sqlite3 package, built; tests that need it skip where there is none. */
export const BETTER_SQLITE3 = process.env.BETTER_SQLITE3_PATH;
/** A Node that has node:sqlite. */
export const NODE22 = process.env.NODE22_PATH;

const FIXTURES = new URL("../fixtures/", import.meta.url);

export const betterSqlite3 = (path: string, options?: BetterSqlite3.Options): BetterSqlite3.Database => {
  const Database = createRequire(import.meta.url)(BETTER_SQLITE3!) as typeof BetterSqlite3;
  return new Database(path, options);
};

/** A process that works on a database. */
export interface Worker {
  readonly child: ChildProcess;
  /** What it has said since it was ready, a line each. */
  readonly said: unknown[][];
  /** Fulfilled with how it ended, once all it said has arrived. */
  readonly ended: Promise<string>;
  /** Whatever it waits for has come. */
  goOn(): void;
  /** Waits until it has said this. */
  hear(...words: readonly unknown[]): Promise<unknown[]>;
}

const running = new Set<ChildProcess>();

/** Ends what a test has left behind. */
export function killWorkers(): void {
  for (const child of running) child.kill("SIGKILL");
}

export interface WorkerOptions {
  readonly command?: string | undefined;
  readonly driver?: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** Starts processes and, once all are there, lets them begin together. */
export async function startWorkers(
  path: string,
  jobs: readonly (readonly (string | number)[])[],
  { command = process.execPath, driver = "better-sqlite3", uid, gid }: WorkerOptions = {},
): Promise<Worker[]> {
  const workers = jobs.map((words) => {
    const script = fileURLToPath(new URL("sqlite-worker.mjs", FIXTURES));
    const child = spawn(command, ["--no-warnings", script, driver, path, ...words.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    running.add(child);
    child.stdin.on("error", () => {});
    const said: unknown[][] = [];
    createInterface(child.stdout).on("line", (line) => said.push(JSON.parse(line) as unknown[]));
    let over: string | undefined;
    const ended = new Promise<string>((resolve) => {
      child.on("close", (code, signal) => {
        running.delete(child);
        resolve((over = String(signal ?? code)));
      });
    });
    const hear = (...awaited: readonly unknown[]) =>
      until(`a worker says ${awaited.join(" ")}`, () => {
        const found = said.find((line) => awaited.every((word, index) => line[index] === word));
        if (!found && over !== undefined) throw new Error(`the worker has ended: ${over}`);
        return found;
      });
    return { child, said, ended, goOn: () => void child.stdin.write("go on\n"), hear };
  });
  await Promise.all(workers.map(({ hear }) => hear("ready")));
  for (const { said, goOn } of workers) {
    said.length = 0;
    goOn();
  }
  return workers;
}
