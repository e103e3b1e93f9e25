import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const START = fileURLToPath(new URL("../../scripts/start.mjs", import.meta.url));

/** Variables that the server must not inherit. */
const OURS = { SECRET_KEY: undefined, HOST: undefined, SESSION_DIR: undefined, TRUST_PROXY: undefined };

/** Runs a function at the end, by default at the end of the test. */
export type Afterwards = (end: () => void | Promise<void>) => void;

/** Creates a directory to start servers in, so that no test sees the `.env` or the sessions of another. */
export function workingDirectory(afterwards: Afterwards = onTestFinished): string {
  const path = mkdtempSync(join(tmpdir(), "sojourn-login-"));
  afterwards(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface SpawnedServer {
  readonly child: ChildProcess;
  /** The address, as soon as the server listens. */
  readonly url: string;
  readonly exit: Promise<Exit>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the script of `npm start` in a directory, by default on a free port. */
export function spawnServer(
  directory: string,
  env: Record<string, string> = {},
  afterwards: Afterwards = onTestFinished,
) {
  const child = spawn(process.execPath, [START], {
    cwd: directory,
    env: { ...process.env, ...OURS, TMPDIR: directory, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<Exit>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, ...output }));
  });
  afterwards(async () => {
    child.kill("SIGKILL");
    await exit;
  });

  const output = { stdout: "", stderr: "" };
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (output.stderr += chunk));
  const started = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output.stdout += chunk;
      // This is the last line that the server prints.
      if (/^Sessions are stored in .+\n/m.test(output.stdout)) resolve(/http:\S+/.exec(output.stdout)![0]);
    });
    void exit.then(() => reject(new Error(`The server ended before it listened:\n${output.stdout}${output.stderr}`)));
  });
  // A test of a server that must fail only waits for its exit.
  started.catch(() => undefined);
  return { child, exit, started };
}

export async function startServer(
  directory: string,
  env?: Record<string, string>,
  afterwards?: Afterwards,
): Promise<SpawnedServer> {
  const { child, exit, started } = spawnServer(directory, env, afterwards);
  return {
    child,
    exit,
    url: await started,
    stop(signal = "SIGTERM") {
      child.kill(signal);
      return exit;
    },
  };
}
