import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const START = fileURLToPath(new URL("../../scripts/start.mjs", import.meta.url));

/** What the server's surroundings must not bring along. */
const OURS = { SECRET_KEY: undefined, HOST: undefined, SESSION_DIR: undefined, TRUST_PROXY: undefined };

/** Has something done in the end: of this test, unless it is told otherwise. */
export type Afterwards = (end: () => void | Promise<void>) => void;

/** A directory of its own to start servers in, so that none of them sees the `.env` or the sessions of another test. */
export function workingDirectory(afterwards: Afterwards = onTestFinished): string {
  const path = mkdtempSync(join(tmpdir(), "sojourn-login-"));
  afterwards(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface SpawnedServer {
  readonly child: ChildProcess;
  /** Where it listens, once it does. */
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

/** Runs `npm start`'s script in a directory, on a free port unless told otherwise. */
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
      // The last line that it prints.
      if (/^Sessions lie in .+\n/m.test(output.stdout)) resolve(/http:\S+/.exec(output.stdout)![0]);
    });
    void exit.then(() => reject(new Error(`The server ended before it listened:\n${output.stdout}${output.stderr}`)));
  });
  // Whoever starts a server that must fail waits for its exit alone.
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
