import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type BetterSqlite3 from "better-sqlite3";
import { until } from "./throwaway.ts";

/** The directory of the built better-sqlite3 package. Tests that need it are skipped if it is not set. */
export const BETTER_SQLITE3 = process.env.BETTER_SQLITE3_PATH;
/** The path of a Node.js that has node:sqlite. */
export const NODE22 = process.env.NODE22_PATH;

const FIXTURES = new URL("../fixtures/", import.meta.url);

export const betterSqlite3 = (path: string, options?: BetterSqlite3.Options): BetterSqlite3.Database => {
  const Database = createRequire(import.meta.url)(BETTER_SQLITE3!) as typeof BetterSqlite3;
  return new Database(path, options);
};

/** A process that uses a database. */
export interface Worker {
  readonly child: ChildProcess;
  /** The messages that it has reported since it was ready. */
  readonly messages: unknown[][];
  /** Resolves with the exit code or the signal, after all messages have arrived. */
  readonly ended: Promise<string>;
  /** Sends the message for which a job waits. */
  resume(): void;
  /** Waits for a message that begins with these values. */
  waitFor(...values: readonly unknown[]): Promise<unknown[]>;
}

const running = new Set<ChildProcess>();

/** Kills the processes that a test has left behind. */
export function killWorkers(): void {
  for (const child of running) child.kill("SIGKILL");
}

export interface WorkerOptions {
  readonly command?: string | undefined;
  readonly driver?: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** Starts processes, waits until all of them are ready, and lets them begin together. */
export async function startWorkers(
  path: string,
  jobs: readonly (readonly (string | number)[])[],
  { command = process.execPath, driver = "better-sqlite3", uid, gid }: WorkerOptions = {},
): Promise<Worker[]> {
  const workers = jobs.map((args) => {
    const script = fileURLToPath(new URL("sqlite-worker.mjs", FIXTURES));
    const child = spawn(command, ["--no-warnings", script, driver, path, ...args.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    running.add(child);
    child.stdin.on("error", () => {});
    const messages: unknown[][] = [];
    createInterface(child.stdout).on("line", (line) => messages.push(JSON.parse(line) as unknown[]));
    let outcome: string | undefined;
    const ended = new Promise<string>((resolve) => {
      child.on("close", (code, signal) => {
        running.delete(child);
        resolve((outcome = String(signal ?? code)));
      });
    });
    const waitFor = (...awaited: readonly unknown[]) =>
      until(`a worker reports ${awaited.join(" ")}`, () => {
        const found = messages.find((message) => awaited.every((value, index) => message[index] === value));
        if (!found && outcome !== undefined) throw new Error(`the worker has ended: ${outcome}`);
        return found;
      });
    return { child, messages, ended, resume: () => void child.stdin.write("resume\n"), waitFor };
  });
  await Promise.all(workers.map(({ waitFor }) => waitFor("ready")));
  for (const { messages, resume } of workers) {
    messages.length = 0;
    resume();
  }
  return workers;
}
